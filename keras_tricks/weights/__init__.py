"""Published weights for our models."""

from keras_tricks.weights.deepmind import load_deepmind
from keras_tricks.weights.imagenet import (
    copy_applications_weights,
    imagenet_preprocessing,
    load_imagenet_weights,
)
from keras_tricks.weights.keras_file import load_keras_file
from keras_tricks.weights.sources import load
from keras_tricks.weights.timm import copy_timm_weights, load_timm

__all__ = [
    "copy_applications_weights",
    "copy_timm_weights",
    "imagenet_preprocessing",
    "load",
    "load_deepmind",
    "load_imagenet_weights",
    "load_keras_file",
    "load_timm",
]
