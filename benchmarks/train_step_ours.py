"""A subject: `fit` of a model of ours with adaptive gradient clipping and Nesterov momentum."""

from __future__ import annotations

import sys
import time

import keras
import numpy as np
from answering import answer_requests

from keras_tricks import models, optimizers
from keras_tricks.model_facts import model_facts
from keras_tricks.training import make_variables

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


class Stopwatch(keras.callbacks.Callback):
    """Measure from the first step's begin to the last one's end."""

    def on_train_batch_begin(self, batch, logs=None):
        """Start with the first step."""
        if batch == 0:
            self.begin = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Stop when the last step's values are there."""
        self.seconds = time.perf_counter() - self.begin


def multiplications(model: keras.Model) -> float:
    """Return the multiplications of convolutions and dense layers for one image, forward."""
    total = 0
    for layer in model.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None:
            places = np.prod(layer.output.shape[1:-1]) if len(kernel.shape) == 4 else 1
            total += np.prod(kernel.shape) * places
    return float(total)


def main() -> None:
    """Build, take the first step, and answer requests."""
    name, image_size, batch_size, precision = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    begin = time.perf_counter()
    keras.config.set_dtype_policy(POLICIES[precision])
    facts = model_facts(name)
    model = getattr(models, facts.builder)(
        input_shape=(image_size, image_size, 3), classes=1000, classifier_activation=None
    )
    sgd = optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=2e-5, no_decay=optimizers.NO_BIAS_DECAY)
    clips = "without-clipping" not in sys.argv
    optimizer = optimizers.AdaptiveGradientClipping(sgd, clipping=0.01) if clips else sgd
    model.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True))
    nothing = keras.ops.zeros((1, 1000))
    make_variables(model, nothing, nothing)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch_size, image_size, image_size, 3)).astype("float32")
    labels = np.eye(1000, dtype="float32")[rng.integers(0, 1000, batch_size)]
    built = time.perf_counter() - begin

    def run(steps: int) -> float:
        stopwatch = Stopwatch()
        model.fit(batches(steps), steps_per_epoch=steps, verbose=0, callbacks=[stopwatch])
        return stopwatch.seconds

    def batches(steps: int):
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            return tf.data.Dataset.from_tensors((images, labels)).repeat(steps)
        return ((images, labels) for _ in range(steps))

    first = run(1)
    # One more call, so that what fit builds at the second is built.
    run(2)
    answer_requests(
        run,
        batch_size,
        {
            "first_step_s": first,
            "build_s": built,
            # Forward, and backward for images and for weights.
            "operations_of_an_image": 3 * 2 * multiplications(model),
            "versions": f"Keras {keras.__version__} on {keras.backend.backend()}",
            "device": "GPU" if keras.distribution.list_devices("gpu") else "CPU",
        },
    )


if __name__ == "__main__":
    main()
