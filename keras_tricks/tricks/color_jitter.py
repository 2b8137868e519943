"""Trick: color_jitter."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from keras_tricks.trick import BAG_OF_TRICKS, BAG_OF_TRICKS_URL, RunFacts, Source, Trick


class ColorJitter(Trick):
    """Turn the hue and scale saturation and brightness of each image at random.

    Saturation and brightness are multiplied by numbers from [1 - strength, 1 + strength]; the hue is turned by up to
    the strength times half a turn, in the plane of the colours, as in MXNet, which the paper's models were trained in.
    """

    source: ClassVar = Source(BAG_OF_TRICKS, "2.1", BAG_OF_TRICKS_URL)
    group: ClassVar = "Augmentation"

    hue: float = Field(0.4, ge=0, le=1, description="Largest turn of the hue, in half turns.")
    saturation: float = Field(0.4, ge=0, le=1, description="Largest change of the saturation's factor.")
    brightness: float = Field(0.4, ge=0, le=1, description="Largest change of the brightness's factor.")

    def change_data(self, data: Any, facts: RunFacts) -> Any:
        """Add the jitter to the transforms of an image."""
        from keras_tricks.data import ColorJitter as Jitter

        return data.with_image_transform(Jitter(self.hue, self.saturation, self.brightness))
