"""Trick: mixup."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from keras_tricks.trick import BAG_OF_TRICKS, BAG_OF_TRICKS_URL, RunFacts, Source, Trick


class Mixup(Trick):
    """Train on weighted sums of two images and of their labels.

    The weight of a batch, or of each image, is drawn from Beta(alpha, alpha); the partner of an image is the one at the
    mirrored place in the batch. It pays with longer training: the paper went from 120 to 200 epochs. A detector keeps
    the boxes of both images, with their weights in the loss, and always draws a weight for each image.
    """

    source: ClassVar = Source(BAG_OF_TRICKS, "5.4", BAG_OF_TRICKS_URL)
    group: ClassVar = "Regularization"
    tasks: ClassVar = frozenset({"classification", "detection"})

    alpha: float = Field(0.2, ge=0, le=10, description="Parameter of the Beta distribution; 0 mixes nothing.")
    per_image: bool = Field(False, description="Draw a weight for each image, not for the batch, as NFNets do.")

    def change_data(self, data: Any, facts: RunFacts) -> Any:
        """Add mixup to the transforms of a batch."""
        return data.with_mixup(self.alpha, self.per_image)
