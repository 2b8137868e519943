"""Time training on one and two logical CPU devices, and what safe loss scaling and the trainer cost beside stock Keras.

    python benchmarks/replicas.py

All subjects are in one process and take turns in rounds of a few steps of `fit`; each row is the median of the ratios
of the rounds, with quartiles. Two logical devices share the same cores: their rate says what the division costs, not
what a second machine brings. Loss scaling is measured in float32 arithmetic, where it is a larger part of a step.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

ACCUMULATION = 4
PAIRS = {
    "trainer, 1 device": ("keras 1", "trainer 1"),
    "trainer, 2 devices": ("keras 2", "trainer 2"),
    "safe loss scaling, 1 device": ("keras scaled 1", "safe 1"),
    "safe loss scaling, 2 devices": ("keras scaled 2", "safe 2"),
    "trainer and safe loss scaling, 1 device": ("keras scaled 1", "both 1"),
    "trainer and safe loss scaling, 2 devices": ("keras scaled 2", "both 2"),
    f"accumulation over {ACCUMULATION}, 1 device, against Keras's own": ("keras accumulates 1", "accumulates 1"),
    f"accumulation over {ACCUMULATION}, 1 device, against none": ("trainer 1", "accumulates 1"),
    f"accumulation over {ACCUMULATION}, 2 devices, against none": ("trainer 2", "accumulates 2"),
    "2 devices against 1, trainer": ("trainer 1", "trainer 2"),
    "2 devices against 1, Keras": ("keras 1", "keras 2"),
}


@dataclass
class Subject:
    """A model in training.

    Args:
        model: The compiled model.
        batches: Its batches, without end.
        steps: Steps a round.
    """

    model: Any
    batches: Any
    steps: int
    seconds: list[float] = field(default_factory=list)

    def round(self) -> None:
        """Train for some steps."""
        begin = time.perf_counter()
        self.model.fit(self.batches, steps_per_epoch=self.steps, epochs=1, verbose=0)
        self.seconds.append(time.perf_counter() - begin)


def main() -> None:
    """Measure and print a table."""
    options = _options()
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    pairs = {what: pair for what, pair in PAIRS.items() if options.only in what}
    needed = {name for pair in pairs.values() for name in pair}
    subjects = {name: make() for name, make in _subjects(options).items() if name in needed}
    for subject in subjects.values():
        subject.round()
        subject.seconds.clear()
    for place in range(options.rounds):
        order = list(subjects.values())
        for subject in order if place % 2 else order[::-1]:
            subject.round()
    print(f"{platform.machine()}, {os.cpu_count()} cores, TensorFlow {tf.__version__}, Keras {keras.__version__}")
    print(f"{options.model}, {options.image_size} px, batch {options.batch_size}, n={options.rounds} rounds\n")
    print("| what | ms a step, without | ms a step, with | overhead (median, quartiles) |")
    print("| --- | --- | --- | --- |")
    for what, (without, with_it) in pairs.items():
        print(_row(what, subjects[without], subjects[with_it], options.steps))


def _row(what: str, without: Subject, with_it: Subject, steps: int) -> str:
    ratios = [ours / theirs - 1 for ours, theirs in zip(with_it.seconds, without.seconds, strict=True)]
    low, middle, high = (f"{100 * value:+.1f}" for value in statistics.quantiles(ratios, n=4))
    times = (f"{1e3 * statistics.median(subject.seconds) / steps:.1f}" for subject in (without, with_it))
    return f"| {what} | {' | '.join(times)} | {middle} % ({low} to {high}) |"


def _subjects(options: argparse.Namespace) -> dict[str, Callable[[], Subject]]:
    """Return a function for each subject that makes it."""
    from keras_tricks import optimizers
    from keras_tricks.distribute import ReplicaModel, choose_replicas

    def sgd(**arguments: Any) -> Any:
        return optimizers.SGD(0.01, **arguments)

    def scaled() -> Any:
        return keras.optimizers.LossScaleOptimizer(sgd())

    def safe() -> Any:
        return optimizers.LossScaleOptimizer(sgd())

    def accumulating() -> Any:
        return sgd(gradient_accumulation_steps=ACCUMULATION)

    def make(optimizer: Callable[[], Any], replicas: int, trainer: dict[str, int] | None, parts: int) -> Subject:
        keras.utils.set_random_seed(0)
        with choose_replicas(replicas).scope():
            model = _network(options)
            if trainer is not None:
                model = ReplicaModel.of(model, **trainer)
            model.compile(optimizer(), keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        return Subject(model, _batches(options, options.batch_size // parts), options.steps * parts)

    def subject(
        optimizer: Callable[[], Any], replicas: int, trainer: dict[str, int] | None, parts: int = 1
    ) -> Callable[[], Subject]:
        return lambda: make(optimizer, replicas, trainer, parts)

    subjects = {"keras accumulates 1": subject(accumulating, 1, None, ACCUMULATION)}
    for replicas in (1, 2):
        subjects |= {
            f"keras {replicas}": subject(sgd, replicas, None),
            f"trainer {replicas}": subject(sgd, replicas, {}),
            f"keras scaled {replicas}": subject(scaled, replicas, None),
            f"safe {replicas}": subject(safe, replicas, None),
            f"both {replicas}": subject(safe, replicas, {}),
            f"accumulates {replicas}": subject(sgd, replicas, {"accumulation_steps": ACCUMULATION}),
        }
    return subjects


def _network(options: argparse.Namespace) -> Any:
    from keras_tricks import models
    from keras_tricks.model_facts import model_facts

    size = options.image_size
    builder = getattr(models, model_facts(options.model).builder)
    return builder(input_shape=(size, size, 3), classes=10, classifier_activation=None)


def _batches(options: argparse.Namespace, size: int) -> Any:
    generator = np.random.default_rng(0)
    images = generator.normal(size=(options.batch_size, options.image_size, options.image_size, 3)).astype("float32")
    labels = np.eye(10, dtype="float32")[generator.integers(0, 10, options.batch_size)]
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(size, drop_remainder=True).repeat().prefetch(2)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nf_resnet20", help="a model of `keras-tricks models`")
    parser.add_argument("--image-size", type=int, default=32, help="height and width in pixels")
    parser.add_argument("--batch-size", type=int, default=64, help="images of a step, over both devices")
    parser.add_argument("--only", default="", help="measure the rows that have this in their names")
    parser.add_argument("--steps", type=int, default=5, help="steps of a round")
    parser.add_argument("--rounds", type=int, default=15, help="rounds to measure")
    return parser.parse_args()


if __name__ == "__main__":
    main()
