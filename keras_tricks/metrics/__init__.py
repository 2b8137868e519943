"""Metrics that Keras lacks."""

from keras_tricks.metrics.detection import DetectionMetrics
from keras_tricks.metrics.segmentation import MeanIoU, PixelAccuracy

__all__ = ["DetectionMetrics", "MeanIoU", "PixelAccuracy"]
