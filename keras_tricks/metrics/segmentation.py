"""Pixel accuracy and mean intersection over union, from one confusion matrix over all batches and replicas."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import keras
import numpy as np
from keras import ops

CARRY = 2.0**22
"""Counts up to twice as large as this are kept apart from what is larger: float32 has every integer up to 2**24."""


class ConfusionMatrixMetric(keras.metrics.Metric):
    """Count how often each class is predicted where each class is.

    The counts are exact up to `2**46` pixels of one kind, in float32, where one sum would stop at `2**24`; a batch of a
    replica may have `2**23` of them. The matrices of replicas are added.

    Args:
        classes: Number of classes.
        ignore_class: The label of pixels that do not count. Defaults to 255.
        name: Name of the metric.
        dtype: Type of the result.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, classes: int, ignore_class: int = 255, name: str | None = None, dtype: Any = None):
        super().__init__(name=name, dtype=dtype)
        for argument, value in (("classes", classes), ("ignore_class", ignore_class)):
            if isinstance(value, bool) or not isinstance(value, Integral):
                raise ValueError(f"Expected an integer. Received: {argument}={value!r}")
        if classes < 1:
            raise ValueError(f"Expected at least one class. Received: classes={classes}")
        self.classes = int(classes)
        self.ignore_class = int(ignore_class)
        shape = (self.classes, self.classes)
        self.low = self.add_variable(shape, initializer="zeros", dtype="float32", name="low")
        self.high = self.add_variable(shape, initializer="zeros", dtype="float32", name="high")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count the pixels of a batch.

        Args:
            y_true: Class of each pixel (batch, height, width); one that is neither a class nor ignored makes the
                result NaN.
            y_pred: Logits or probabilities (batch, height, width, classes).
            sample_weight: None; pixels are left out by `ignore_class`.
        """
        if sample_weight is not None:
            raise ValueError(f"Expected no weights: pixels are left out by ignore_class. Received: {sample_weight=}")
        if y_pred.shape[-1] != self.classes:
            raise ValueError(
                f"Expected predictions for {self.classes} classes. Received: y_pred of shape {tuple(y_pred.shape)}"
            )
        labels = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        predicted = ops.reshape(ops.cast(ops.argmax(y_pred, axis=-1), "int32"), (-1,))
        known = (labels >= 0) & (labels < self.classes)
        counts = ops.segment_sum(
            ops.cast(known, "float32"),
            ops.where(known, labels, 0) * self.classes + predicted,
            num_segments=self.classes**2,
        )
        strange = ops.any(ops.logical_not(known) & (labels != self.ignore_class))
        counts = counts + ops.where(strange, float("nan"), 0.0)
        low = self.low + ops.reshape(counts, self.low.shape)
        carried = ops.floor(low / CARRY)
        self.low.assign(low - carried * CARRY)
        self.high.assign(self.high + carried)

    def confusion_matrix(self) -> np.ndarray:
        """Return the counts (class, predicted class) in float64."""
        low, high = (ops.convert_to_numpy(variable).astype(np.float64) for variable in (self.low, self.high))
        return high * CARRY + low

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"classes": self.classes, "ignore_class": self.ignore_class}

    def _matrix(self) -> Any:
        return ops.cast(self.high * CARRY + self.low, "float32")


@keras.saving.register_keras_serializable(package="keras_tricks")
class PixelAccuracy(ConfusionMatrixMetric):
    """Return the share of pixels whose class is predicted, of those that count; 0 where there are none.

    Args:
        classes: Number of classes.
        ignore_class: The label of pixels that do not count. Defaults to 255.
        name: Name of the metric.
        dtype: Type of the result.

    Example:

        model.compile(metrics=[PixelAccuracy(150), MeanIoU(150)])

    Source: Long et al. 2015, arXiv 1411.4038, section 5.
    """

    def __init__(self, classes: int, ignore_class: int = 255, name: str = "pixel_accuracy", dtype: Any = None):
        super().__init__(classes, ignore_class, name, dtype)

    def result(self) -> Any:
        """Return the share."""
        matrix = self._matrix()
        return ops.cast(ops.divide_no_nan(ops.trace(matrix), ops.sum(matrix)), self.dtype)


@keras.saving.register_keras_serializable(package="keras_tricks")
class MeanIoU(ConfusionMatrixMetric):
    """Return the mean over the classes of intersection over union.

    The intersection of a class are the pixels of it that are predicted as it, the union those of it or predicted as it.
    A class that has no pixel and is predicted nowhere is left out of the mean, as in `keras.metrics.MeanIoU`; one that
    is predicted without being there counts 0. Without any class the result is 0.

    Args:
        classes: Number of classes.
        ignore_class: The label of pixels that do not count, whatever is predicted there. Defaults to 255.
        name: Name of the metric.
        dtype: Type of the result.

    Example:

        model.compile(metrics=[MeanIoU(150)])

    Source: Long et al. 2015, arXiv 1411.4038, section 5; Everingham et al. 2010, "The Pascal Visual Object Classes
    (VOC) Challenge".
    """

    def __init__(self, classes: int, ignore_class: int = 255, name: str = "mean_iou", dtype: Any = None):
        super().__init__(classes, ignore_class, name, dtype)

    def result(self) -> Any:
        """Return the mean."""
        matrix = self._matrix()
        intersection = ops.diagonal(matrix)
        union = ops.sum(matrix, axis=0) + ops.sum(matrix, axis=1) - intersection
        present = ops.cast(union != 0, "float32")
        ratios = ops.divide_no_nan(intersection, union)
        return ops.cast(ops.divide_no_nan(ops.sum(ratios), ops.sum(present)), self.dtype)

    def class_ious(self) -> np.ndarray:
        """Return intersection over union of each class in float64, NaN for those left out of the mean."""
        matrix = self.confusion_matrix()
        intersection = np.diagonal(matrix)
        union = matrix.sum(0) + matrix.sum(1) - intersection
        return np.divide(intersection, union, out=np.full(self.classes, np.nan), where=union != 0)
