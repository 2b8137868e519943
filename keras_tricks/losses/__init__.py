"""Losses that Keras lacks."""

from keras_tricks.losses.distillation import Distillation
from keras_tricks.losses.pixel_crossentropy import PixelCrossentropy

__all__ = ["Distillation", "PixelCrossentropy"]
