"""SegmentationPlan: how images with masks become batches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from keras_tricks import data
from keras_tricks.data.loading import parallel
from keras_tricks.data.segmentation import (
    SegmentationDataSet,
    SegmentationPreprocessing,
    segmentation_evaluation_batches,
    segmentation_training_batches,
)


@dataclass(frozen=True)
class SegmentationPlan:
    """How images with masks become batches: the value that the data stage of the tricks changes.

    Args:
        preprocessing: What happens to each image.
        outputs: Names of the model's outputs, each of which is compared with the mask; none where it has only one.
        image_transforms: What happens to the colours of each training image.
    """

    preprocessing: SegmentationPreprocessing
    outputs: tuple[str, ...] = ()
    image_transforms: tuple[data.ColorTransform, ...] = ()
    batch_transforms: tuple[()] = ()
    repeats: int = 1
    image_sizes: tuple[int, ...] = ()

    @property
    def evaluation(self) -> SegmentationPreprocessing:
        """What happens to each evaluation image."""
        return self.preprocessing

    def with_image_transform(self, transform: data.ColorTransform) -> SegmentationPlan:
        """Return a plan with one more transform of the images' colours."""
        return replace(self, image_transforms=(*self.image_transforms, transform))

    def with_scales(self, scales: tuple[float, float]) -> SegmentationPlan:
        """Return a plan whose training images have a random scale."""
        return replace(self, preprocessing=replace(self.preprocessing, scales=scales))

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
