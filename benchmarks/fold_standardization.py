"""Time inference of a model as it is trained, and folded.

    python benchmarks/fold_standardization.py --model nfnet_f0 --size 192 256

Both are compiled graphs that take a batch in turns, one call each, in an order that alternates, so that what disturbs
the machine disturbs both. The ratio is the median over the pairs of calls, with the quartiles beside it.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_tricks import fold_standardization, models
from keras_tricks.model_facts import model_facts

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def main() -> None:
    """Measure and print the table."""
    options = _options()
    keras.config.set_dtype_policy(POLICIES[options.precision])
    facts = model_facts(options.model)
    print(
        f"{facts.title}, {options.precision}, {keras.backend.backend()} backend of Keras {keras.__version__}, "
        f"{platform.processor() or platform.machine()}, {options.calls} pairs of calls\n"
    )
    print("| image | batch | as trained, ms | folded, ms | ratio | quartiles | largest difference |")
    print("|---|---|---|---|---|---|---|")
    for size in options.size or [facts.test_image_size or facts.default_image_size]:
        for batch_size in options.batch_size:
            print(_row(facts.builder, size, batch_size, options.calls), flush=True)


def _row(builder: str, size: int, batch_size: int, calls: int) -> str:
    keras.utils.set_random_seed(0)
    model = getattr(models, builder)(input_shape=(size, size, 3), classes=1000, classifier_activation=None)
    _open_branches(model)
    images = np.random.default_rng(0).normal(size=(batch_size, size, size, 3)).astype("float32")
    subjects = [_compiled(network, images) for network in (model, fold_standardization(model))]
    expected, outputs = (run() for run in subjects)
    difference = np.abs(outputs - expected).max() / np.abs(expected).max()
    for run in subjects:
        run()
    times: tuple[list[float], list[float]] = ([], [])
    for call in range(calls):
        for index in (0, 1) if call % 2 == 0 else (1, 0):
            begin = time.perf_counter()
            subjects[index]()
            times[index].append(time.perf_counter() - begin)
    ratios = [trained / folded for trained, folded in zip(*times, strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4)
    trained, folded = (f"{statistics.median(values) * 1e3:.1f}" for values in times)
    return (
        f"| {size} | {batch_size} | {trained} | {folded} | {ratio:.2f} | {low:.2f} to {high:.2f} | {difference:.1e} |"
    )


def _open_branches(model: keras.Model) -> None:
    """Let the residual branches reach the outputs: skip gains start at zero."""
    for weight in model.weights:
        if weight.name == "skip_gain":
            weight.assign(1.0)


def _compiled(model: keras.Model, images: Any) -> Callable[[], np.ndarray]:
    if keras.backend.backend() != "tensorflow":
        return lambda: model.predict_on_batch(images)
    import tensorflow as tf

    function, tensor = tf.function(lambda batch: model(batch, training=False)), tf.constant(images)
    return lambda: function(tensor).numpy()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nfnet_f0", help="a model of `keras-tricks models`")
    parser.add_argument("--size", type=int, nargs="+", help="height and width in pixels; the published test images'")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[1], help="images of a call")
    parser.add_argument("--precision", choices=POLICIES, default="float32")
    parser.add_argument("--calls", type=int, default=31, help="pairs of calls to measure")
    return parser.parse_args()


if __name__ == "__main__":
    main()
