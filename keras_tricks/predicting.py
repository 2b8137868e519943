"""Let a classifier predict its validation images, and gather what it got right and wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_tricks.data.image_folder import FileSplit
from keras_tricks.predictions import PredictionCounter, Predictions
from keras_tricks.training import Training


def predict_validation(training: Training) -> Predictions:
    """Predict each validation image once, with the weights that the model has.

    Of the images no more is kept than a batch and the thumbnails of the worst.

    Args:
        training: The built recipe; with several workers, the chief's: only this process predicts.
    """
    preprocessing, split = training.plan.evaluation, training.data_set.validation
    paths = [os.fsdecode(path) for path in split.paths.numpy()] if isinstance(split, FileSplit) else ()
    counter = PredictionCounter(training.data_set.class_names, paths)
    predict = _predict_function(training.model)
    mean, std = (np.asarray(value, np.float32) for value in (preprocessing.mean, preprocessing.std))
    for images, labels in training.validation_batches():
        logits = keras.ops.convert_to_numpy(predict(images))
        pixels = np.clip(np.round(images.numpy() * std + mean), 0, 255).astype(np.uint8)
        counter.add(logits, labels.numpy().argmax(axis=-1), pixels)
    return counter.predictions()


def _predict_function(model: keras.Model) -> Callable[[Any], Any]:
    """Return a compiled forward pass for this process and one device, also where a strategy has made the model."""
    if keras.backend.backend() != "tensorflow":
        return lambda images: model.predict_on_batch(images.numpy())
    import tensorflow as tf

    return tf.function(lambda images: model(images, training=False), reduce_retracing=True)
