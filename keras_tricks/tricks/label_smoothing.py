"""Trick: label_smoothing."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from keras_tricks.trick import BAG_OF_TRICKS, BAG_OF_TRICKS_URL, RunFacts, Source, Trick


class LabelSmoothing(Trick):
    """Mix each one-hot label with the uniform distribution.

    The network is no longer asked for infinite logits. It acts once, in the loss, also with mixup and CutMix, whose
    mixing it commutes with.
    """

    source: ClassVar = Source(BAG_OF_TRICKS, "5.2", BAG_OF_TRICKS_URL)
    group: ClassVar = "Regularization"

    epsilon: float = Field(0.1, ge=0, lt=1, description="Share given to the uniform distribution.")

    def change_loss(self, loss: Any, facts: RunFacts) -> Any:
        """Return the loss with smoothed labels."""
        return type(loss).from_config({**loss.get_config(), "label_smoothing": self.epsilon})
