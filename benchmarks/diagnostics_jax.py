"""Measure what watching gradients costs on JAX, where the step itself has to hand out what is measured.

    KERAS_BACKEND=jax python benchmarks/diagnostics_jax.py resnet20:32 nfnet_tiny:16 --rounds 15

For each network there are three steps, which alternate: one that nobody watches, one that is watched but not asked, and
one that is asked. Shown are the medians of the times of the processor over all threads, of the clock, and the medians
of the ratios of the rounds, with their quartiles.
"""

from __future__ import annotations

import argparse
import time

import jax
import keras
import numpy as np

from keras_tricks import models, optimizers
from keras_tricks.callbacks import GradientMonitor
from keras_tricks.model_facts import model_facts

WAYS = ("not watched", "not asked", "asked")


class Steps:
    """The training steps of a network as `fit` makes them.

    Args:
        name: Name of the network.
        batch_size: Images in a batch.
        way: One of `WAYS`.
    """

    def __init__(self, name: str, batch_size: int, way: str):
        keras.utils.set_random_seed(0)
        facts = model_facts(name)
        self._model = getattr(models, facts.builder)(classifier_activation=None)
        optimizer = optimizers.SGD(1e-3, weight_decay=1e-4, no_decay=optimizers.NO_BIAS_DECAY)
        if "nf" in facts.features:
            optimizer = optimizers.AdaptiveGradientClipping(optimizer)
        self._model.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True))
        size, classes = facts.default_image_size, facts.default_classes
        images = np.random.default_rng(0).normal(size=(batch_size, size, size, 3)).astype("float32")
        self._batch = images, np.eye(classes, dtype="float32")[np.arange(batch_size) % classes]
        self._model.optimizer.build(self._model.trainable_variables)
        self._model.train_on_batch(*self._batch)
        variables = self._model.trainable_variables, self._model.non_trainable_variables
        every = *variables, self._model.optimizer.variables, self._model.metrics_variables
        # The step takes its arguments' memory: those of the model stay.
        self._state = tuple([jax.numpy.copy(variable.value) for variable in group] for group in every)
        self._monitor = None if way == "not watched" else GradientMonitor(self._model)
        self._asks = way == "asked"
        self._model.make_train_function()

    def measure(self) -> tuple[float, float]:
        """Return milliseconds of the processor and of the clock for one step."""
        if self._asks:
            self._monitor.want()
        processor, clock = time.process_time(), time.perf_counter()
        logs, self._state = self._model.train_function(self._state, iter([self._batch]))
        jax.block_until_ready((logs, self._state))
        if self._asks:
            measured, _ = self._monitor.read()
            assert np.isfinite(measured["gradient_norm"])
        return 1e3 * (time.process_time() - processor), 1e3 * (time.perf_counter() - clock)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["resnet20:32", "nfnet_tiny:16"], metavar="MODEL:BATCH")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    print(f"JAX {jax.__version__}, Keras {keras.__version__}, n={arguments.rounds} rounds\n")
    print("| network | step | processor, ms | clock, ms | processor's ratio | clock's ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    for word in arguments.models:
        name, _, batch_size = word.partition(":")
        steps = [Steps(name, int(batch_size or 32), way) for way in WAYS]
        for each in steps:
            each.measure()
        times = np.array([[each.measure() for each in steps] for _ in range(arguments.rounds)])
        ratios = np.quantile(times / times[:, :1], [0.25, 0.5, 0.75], axis=0)
        for place, way in enumerate(WAYS):
            processor, clock = np.median(times[:, place], axis=0)
            shown = ["{1:.3f} ({0:.3f} to {2:.3f})".format(*ratios[:, place, kind]) for kind in range(2)]
            print(f"| {word} | {way} | {processor:.1f} | {clock:.1f} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
