"""Trick: repeated_augmentation."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from keras_tricks.trick import RunFacts, Source, Trick


class RepeatedAugmentation(Trick):
    """Put several differently augmented copies of each image into a batch.

    The batch stays as large as it is, so an epoch sees so many times fewer images. Each image file is decoded once for
    all its copies; with four copies the input pipeline makes half as many images again a second.
    """

    source: ClassVar = Source(
        "Fort et al. 2021, Drawing Multiple Augmentation Samples Per Image During Training",
        "2",
        "https://arxiv.org/abs/2105.13343",
    )
    group: ClassVar = "Augmentation"
    tasks: ClassVar = frozenset({"classification"})

    repeats: int = Field(4, ge=1, le=64, description="Copies of each image in a batch; 1 changes nothing.")

    def change_data(self, data: Any, facts: RunFacts) -> Any:
        """Repeat each image of a batch."""
        return data.with_repeats(self.repeats)
