"""Measure what the diagnostics of a run cost, as shares of a training step.

    python benchmarks/diagnostics.py resnet20:128 nfnet_tiny:64 --calls 50

Each part is called by itself many times: what a `GradientMonitor` adds to a step that nobody asks about, what it adds
to one that is measured, and the look at all weights that each row takes. A row is due 20 times an epoch: what a run
pays is shown for epochs of 200 steps. Times are those of the processor, over all threads, so that other programs on the
machine count little; differences of whole steps are lost in their noise.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tricks import models, optimizers
from keras_tricks.callbacks import GradientMonitor, InputWait
from keras_tricks.callbacks.training_health import _squares_of_weights
from keras_tricks.model_facts import model_facts

STEPS_PER_EPOCH, ROWS_PER_EPOCH = 200, 20


def network(name: str) -> keras.Model:
    """Return a compiled network with adaptive gradient clipping, as its recipes have it without normalization."""
    keras.utils.set_random_seed(0)
    facts = model_facts(name)
    model = getattr(models, facts.builder)(classifier_activation=None)
    optimizer: Any = optimizers.SGD(1e-3, weight_decay=1e-4, no_decay=optimizers.NO_BIAS_DECAY)
    if "nf" in facts.features:
        optimizer = optimizers.AdaptiveGradientClipping(optimizer)
    model.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def milliseconds(call: Callable[[], Any], calls: int) -> float:
    """Return the median of the processor's time for a call, after one that may trace."""
    call()
    times = []
    for _ in range(calls):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return 1e3 * float(np.median(times))


def measure(name: str, batch_size: int, calls: int) -> str:
    """Return the row of a network."""
    facts = model_facts(name)
    size, classes = facts.default_image_size, facts.default_classes
    generator = np.random.default_rng(0)
    images = tf.constant(generator.normal(size=(batch_size, size, size, 3)).astype("float32"))
    labels = tf.constant(np.eye(classes, dtype="float32")[generator.integers(0, classes, batch_size)])
    model = network(name)
    look = _squares_of_weights(model)
    monitor = GradientMonitor(model)
    step = tf.function(lambda: model.train_step((images, labels))["loss"], autograph=False)
    gradients = [tf.random.normal(each.shape) for each in model.trainable_variables]

    @tf.function(autograph=False)
    def hooks() -> None:
        monitor._look_at_norm(gradients, model.trainable_variables)
        if monitor._clipping is not None:
            monitor._look_at_clipping(gradients, model.trainable_variables)

    nothing = tf.function(lambda: tf.constant(0), autograph=False)

    def measured() -> None:
        monitor.want()
        hooks()
        monitor.read()

    of_step = milliseconds(lambda: float(step()), max(3, calls // 5))
    empty = milliseconds(nothing, calls)
    idle, full = (milliseconds(call, calls) - empty for call in (hooks, measured))
    row = milliseconds(look, calls)
    share = ROWS_PER_EPOCH / STEPS_PER_EPOCH
    cost = (idle * (1 - share) + (full + row) * share) / of_step
    return (
        f"| {name}, batch {batch_size} | {of_step:.0f} | {idle:.3f} | {full:.2f} | {row:.2f} | "
        f"{100 * (full + row) / of_step:.2f} % | {100 * cost:.3f} % |"
    )


def input_wait(rounds: int, batches: int = 2000) -> str:
    """Return what a batch costs without and with the watch, in turn, and what the watch adds."""
    plain = tf.data.Dataset.from_tensors((tf.zeros((128, 32, 32, 3)), tf.zeros((128, 10)))).repeat(batches)
    watched = InputWait().of(plain)

    def microseconds(dataset: tf.data.Dataset) -> float:
        iterator = iter(dataset)
        next(iterator)
        start = time.process_time()
        for _ in iterator:
            pass
        return 1e6 * (time.process_time() - start) / (batches - 1)

    found = np.array([[microseconds(plain), microseconds(watched)] for _ in range(rounds)])
    alone, under_watch = np.median(found, axis=0)
    quarters = np.percentile(found[:, 1] - found[:, 0], [25, 50, 75])
    return (
        f"A batch of a Python loop: {alone:.0f} microseconds, {under_watch:.0f} under watch; the watch adds "
        f"{quarters[1]:.0f} (medians of n={rounds} pairs; quartiles {quarters[0]:.0f} and {quarters[2]:.0f})."
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["resnet20:128", "nfnet_tiny:64"], metavar="MODEL:BATCH")
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=15, help="pairs of loops over batches, without and with a watch")
    arguments = parser.parse_args()
    print("| network | step, ms | not asked, ms | measured, ms | look at weights, ms | step with a row | epoch |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for word in arguments.models:
        name, _, batch_size = word.partition(":")
        print(measure(name, int(batch_size or 128), arguments.calls), flush=True)
    print(f"\n{input_wait(arguments.rounds)}")


if __name__ == "__main__":
    main()
