"""Trick: pca_noise."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from keras_tricks.trick import BAG_OF_TRICKS, BAG_OF_TRICKS_URL, RunFacts, Source, Trick


class PcaNoise(Trick):
    """Add to each image a random colour along the principal components of ImageNet's colours.

    It imitates light of other brightness and colour (Krizhevsky et al. 2012, section 4.1).
    """

    source: ClassVar = Source(BAG_OF_TRICKS, "2.1", BAG_OF_TRICKS_URL)
    group: ClassVar = "Augmentation"

    std: float = Field(0.1, ge=0, le=10, description="Standard deviation of the components' coefficients.")

    def change_data(self, data: Any, facts: RunFacts) -> Any:
        """Add the noise to the transforms of an image."""
        from keras_tricks.data import PcaNoise as Noise

        return data.with_image_transform(Noise(self.std))
