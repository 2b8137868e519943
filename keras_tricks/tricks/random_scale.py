"""Trick: random_scale."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from keras_tricks.trick import RunFacts, Source, Trick


class RandomScale(Trick):
    """Scale each training image with its boxes or its mask at random, and cut out or fill up the square.

    A detector's scale is that of an image that fits into the square as a whole; a segmenter's that of the image in its
    own size, or with its short side as the recipe says.
    """

    source: ClassVar = Source(
        "Zhao et al. 2017, Pyramid Scene Parsing Network", "5.1", "https://arxiv.org/abs/1612.01105"
    )
    group: ClassVar = "Augmentation"
    tasks: ClassVar = frozenset({"detection", "segmentation"})

    least: float = Field(0.5, ge=0.05, le=1, description="Least scale.")
    largest: float = Field(2.0, ge=1, le=20, description="Largest scale.")

    def change_data(self, data: Any, facts: RunFacts) -> Any:
        """Give the training images their scales."""
        return data.with_scales((self.least, self.largest))
