"""Losses that Keras lacks."""

from keras_tricks.losses.distillation import Distillation
from keras_tricks.losses.pixel_crossentropy import PixelCrossentropy
from keras_tricks.losses.retinanet_loss import RetinaNetLoss

__all__ = ["Distillation", "PixelCrossentropy", "RetinaNetLoss"]
