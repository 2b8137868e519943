"""Metrics that Keras lacks."""

from keras_tricks.metrics.segmentation import MeanIoU, PixelAccuracy

__all__ = ["MeanIoU", "PixelAccuracy"]
