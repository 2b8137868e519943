"""PlacedPlan: what the plans of detection and segmentation share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from keras_tricks import data


@dataclass(frozen=True)
class PlacedPlan:
    """Base of how images that are scaled with what belongs to them become batches.

    Args:
        preprocessing: What happens to each image, a `PlacedPreprocessing`.
        image_transforms: What happens to the colours of each training image.
        batch_transforms: What happens to each training batch after that.
        repeats: Copies of each image in a training batch: one.
        image_sizes: Sizes of the images of each epoch: none, as they do not grow.
    """

    preprocessing: Any
    image_transforms: tuple[data.ColorTransform, ...] = ()
    batch_transforms: tuple[Any, ...] = ()
    repeats: int = 1
    image_sizes: tuple[int, ...] = ()

    @property
    def evaluation(self) -> Any:
        """What happens to each evaluation image."""
        return self.preprocessing

    def with_image_transform(self, transform: data.ColorTransform) -> Self:
        """Return a plan with one more transform of the images' colours."""
        return replace(self, image_transforms=(*self.image_transforms, transform))

    def with_scales(self, scales: tuple[float, float]) -> Self:
        """Return a plan whose training images have a random scale."""
        return replace(self, preprocessing=replace(self.preprocessing, scales=scales))
