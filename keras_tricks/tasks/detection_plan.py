"""DetectionPlan: how images with boxes become batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import tensorflow as tf

from keras_tricks.data.detection import (
    DetectionDataSet,
    DetectionMixUp,
    detection_evaluation_batches,
    detection_training_batches,
)
from keras_tricks.data.loading import parallel
from keras_tricks.tasks.placed_plan import PlacedPlan


class DetectionPlan(PlacedPlan):
    """How images with boxes become batches: the value that the data stage of the tricks changes.

    The targets of a batch are one float32 tensor (batch, places, 6): left, top, right and bottom in pixels, label, and
    weight; a place without a box has the label -1.
    """

    def with_mixup(self, alpha: float, per_image: bool) -> DetectionPlan:
        """Return a plan that mixes images and keeps the boxes of both.

        Args:
            alpha: Parameter of the Beta distribution.
            per_image: Of no account: each image has a weight of its own.
        """
        return replace(self, batch_transforms=(*self.batch_transforms, DetectionMixUp(alpha)))

    def training_batches(self, data_set: DetectionDataSet, batch_size: int, seed: int, **stream: Any) -> Any:
        """Return training batches; see `data.detection.detection_training_batches`."""
        batches = detection_training_batches(
            data_set,
            self.preprocessing,
            batch_size,
            seed,
            batch_transforms=self.batch_transforms,
            image_transforms=self.image_transforms,
            **stream,
        )
        return parallel(batches, lambda images, targets: (images, packed(targets)))

    def evaluation_batches(self, data_set: DetectionDataSet, batch_size: int) -> Any:
        """Return each validation image once."""
        batches = detection_evaluation_batches(data_set, self.evaluation, batch_size)
        return parallel(batches, lambda images, targets: (images, packed(targets)))


def packed(targets: dict[str, tf.Tensor]) -> tf.Tensor:
    """Return boxes, labels and weights as one tensor (batch, places, 6), for a loss."""
    labels = tf.cast(targets["labels"], tf.float32)
    return tf.concat([targets["boxes"], labels[..., None], targets["weights"][..., None]], axis=-1)
