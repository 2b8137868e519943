"""Published weights for our models."""

from keras_tricks.weights.imagenet import (
    copy_applications_weights,
    imagenet_preprocessing,
    load_imagenet_weights,
)

__all__ = ["copy_applications_weights", "imagenet_preprocessing", "load_imagenet_weights"]
