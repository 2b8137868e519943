"""Trick: mixup."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from keras_tricks.trick import BAG_OF_TRICKS, BAG_OF_TRICKS_URL, RunFacts, Source, Trick


class Mixup(Trick):
    """Train on weighted sums of two images and of their labels.

    The weight of a batch, or of each image, is drawn from Beta(alpha, alpha); the partner of an image is the one at the
    mirrored place in the batch. It pays with longer training: the paper went from 120 to 200 epochs.
    """

    source: ClassVar = Source(BAG_OF_TRICKS, "5.4", BAG_OF_TRICKS_URL)
    group: ClassVar = "Regularization"

    alpha: float = Field(0.2, ge=0, le=10, description="Parameter of the Beta distribution; 0 mixes nothing.")
    per_image: bool = Field(False, description="Draw a weight for each image, not for the batch, as NFNets do.")

    def change_data(self, data: Any, facts: RunFacts) -> Any:
        """Add mixup to the transforms of a batch."""
        from keras_tricks.data import MixUp

        return data.with_batch_transform(MixUp(self.alpha, self.per_image))
