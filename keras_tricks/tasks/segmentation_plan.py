"""SegmentationPlan: how images with masks become batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras_tricks.data.loading import parallel
from keras_tricks.data.segmentation import (
    SegmentationDataSet,
    segmentation_evaluation_batches,
    segmentation_training_batches,
)
from keras_tricks.tasks.placed_plan import PlacedPlan


@dataclass(frozen=True)
class SegmentationPlan(PlacedPlan):
    """How images with masks become batches: the value that the data stage of the tricks changes.

    Args:
        outputs: Names of the model's outputs, each of which is compared with the mask; none where it has only one.
    """

    outputs: tuple[str, ...] = ()

    def training_batches(self, data_set: SegmentationDataSet, batch_size: int, seed: int, **stream: Any) -> Any:
        """Return training batches; see `data.segmentation.segmentation_training_batches`."""
        return self._for_each_output(
            segmentation_training_batches(
                data_set, self.preprocessing, batch_size, seed, image_transforms=self.image_transforms, **stream
            )
        )

    def evaluation_batches(self, data_set: SegmentationDataSet, batch_size: int) -> Any:
        """Return each validation image once, whole."""
        return self._for_each_output(segmentation_evaluation_batches(data_set, self.evaluation, batch_size))

    def _for_each_output(self, batches: Any) -> Any:
        if not self.outputs:
            return batches
        return parallel(batches, lambda images, masks: (images, dict.fromkeys(self.outputs, masks)))
