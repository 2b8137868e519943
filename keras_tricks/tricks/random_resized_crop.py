"""Trick: random_resized_crop."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from keras_tricks.trick import BAG_OF_TRICKS, BAG_OF_TRICKS_URL, RunFacts, Source, Trick


class RandomResizedCrop(Trick):
    """Train on a part of random area and aspect, resized to the full size.

    The first of ten tries that fits into the image is taken, else the largest central part. Photographs are cropped so
    without this trick too, with the values that are its defaults; small images, which are padded and cropped without
    it, are then no longer padded. Test images are as without it.
    """

    source: ClassVar = Source(BAG_OF_TRICKS, "2.1", BAG_OF_TRICKS_URL)
    group: ClassVar = "Augmentation"
    tasks: ClassVar = frozenset({"classification"})

    min_area: float = Field(0.08, gt=0, le=1, description="Least share of the image's area; the largest is 1.")
    aspect: float = Field(4 / 3, ge=1, le=10, description="Largest ratio of the longer to the shorter side.")
    interpolation: Literal["bilinear", "bicubic"] = Field(
        "bilinear", description="How the part is resized: bilinear, or bicubic, as published for NFNets."
    )

    def change_data(self, data: Any, facts: RunFacts) -> Any:
        """Crop the training images so."""
        return data.with_random_area(
            area=(self.min_area, 1.0), aspect=(1 / self.aspect, self.aspect), interpolation=self.interpolation
        )
