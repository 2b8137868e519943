"""A forward pass for predictions while a strategy may hold the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


def predict_function(model: keras.Model) -> Callable[[Any], Any]:
    """Return a compiled forward pass for this process and one device, also where a strategy has made the model."""
    if keras.backend.backend() != "tensorflow":
        return lambda images: model.predict_on_batch(images.numpy())
    import tensorflow as tf

    return tf.function(lambda images: model(images, training=False), reduce_retracing=True)
