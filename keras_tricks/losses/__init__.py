"""Losses that Keras lacks."""

from keras_tricks.losses.distillation import Distillation

__all__ = ["Distillation"]
