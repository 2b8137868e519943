"""Trick: progressive_resizing."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from keras_tricks.trick import RunFacts, Source, Trick

_MULTIPLE = 4
"""Pixels of which the sizes between the first and the last are multiples."""


class ProgressiveResizing(Trick):
    """Begin with small training images, and let them grow to their full size.

    The sizes grow in equal steps, each for an equal share of the epochs, and the last epochs have the full size: with
    the defaults a quarter of them for each of four sizes, as published. Validation is at the full size, or that of
    test_resolution, from the start. The published schedule raises dropout, RandAugment and mixup with the size too;
    here they stay, and the pixels of borders and RandAugment shrink with the images.
    """

    source: ClassVar = Source(
        "Tan and Le 2021, EfficientNetV2: Smaller Models and Faster Training",
        "4.2",
        "https://arxiv.org/abs/2104.00298",
    )
    group: ClassVar = "Schedule"
    tasks: ClassVar = frozenset({"classification"})

    initial_size: int | None = Field(
        None, ge=8, le=2048, description="Height and width at first, in pixels; half of the image size if unset."
    )
    sizes: int = Field(4, ge=2, le=16, description="How many sizes there are, with the full one.")
    growing_share: float = Field(0.75, gt=0, lt=1, description="Share of the epochs before the full size.")

    def first_size(self, image_size: int) -> int:
        """The height and width of the images in the first epoch, in pixels.

        Args:
            image_size: The full size.
        """
        return self.initial_size or image_size // 2

    def size_of_each_epoch(self, image_size: int, epochs: int) -> tuple[int, ...]:
        """The height and width of the images in each epoch, in pixels; in the last one they are full.

        Args:
            image_size: The full size.
            epochs: Epochs of the run.
        """
        first, growing = self.first_size(image_size), min(round(self.growing_share * epochs), epochs - 1)
        stages = [epoch * (self.sizes - 1) // growing for epoch in range(growing)]
        exact = [first + (image_size - first) * stage / (self.sizes - 1) for stage in stages]
        rounded = [max(first, min(_MULTIPLE * round(size / _MULTIPLE), image_size)) for size in exact]
        return (*rounded, *[image_size] * (epochs - growing))

    def change_data(self, data: Any, facts: RunFacts) -> Any:
        """Give the training images of each epoch their size."""
        return data.with_image_sizes(self.size_of_each_epoch(facts.image_size, facts.epochs))

    def change_model(self, arguments: dict[str, Any], facts: RunFacts) -> dict[str, Any]:
        """Ask the builder for a model of any image size."""
        return {**arguments, "input_shape": (None, None, 3)}
