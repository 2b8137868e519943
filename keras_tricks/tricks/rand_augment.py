"""Trick: rand_augment."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from keras_tricks.trick import RunFacts, Source, Trick

FULL_SIZE = 224
"""Height and width in pixels of the images that the published lengths in pixels are for."""


class RandAugment(Trick):
    """Change each image by a few operations, drawn from sixteen: turns, shears, tones, cutouts.

    Each image has a draw of its own. With mixup or CutMix it comes after the mixing, as published for NFNets. Lengths
    in pixels are as published, and on images of up to 64 pixels in proportion to 224.
    """

    source: ClassVar = Source(
        "Cubuk et al. 2019, RandAugment: Practical Automated Data Augmentation with a Reduced Search Space",
        "3",
        "https://arxiv.org/abs/1909.13719",
    )
    group: ClassVar = "Augmentation"
    tasks: ClassVar = frozenset({"classification"})

    layers: int = Field(4, ge=0, le=16, description="Operations on each image; 0 changes nothing.")
    magnitude: float | None = Field(
        None, ge=0, le=30, description="Strength of all operations, 10 being full; the model's published one if unset."
    )

    def strength(self, model: str) -> float | None:
        """The magnitude; None if neither given nor published.

        Args:
            model: Name of the model.
        """
        from keras_tricks.model_facts import model_facts

        return model_facts(model).rand_augment_magnitude if self.magnitude is None else self.magnitude

    def change_data(self, data: Any, facts: RunFacts) -> Any:
        """Add the operations to the transforms of an image."""
        from keras_tricks.data import RandAugment as Operations
        from keras_tricks.model_facts import LARGEST_SMALL_IMAGE

        magnitude = self.strength(facts.model)
        if self.layers == 0 or magnitude is None:
            return data
        scale = facts.image_size / FULL_SIZE if facts.image_size <= LARGEST_SMALL_IMAGE else 1.0
        operations = Operations(self.layers, magnitude, translate_pixels=100 * scale, cutout_pixels=40 * scale)
        return data.with_image_transform(operations)
