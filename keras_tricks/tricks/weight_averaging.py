"""Trick: weight_averaging."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from keras_tricks.trick import NFNETS, NFNETS_URL, RunFacts, Source, Trick


class WeightAveraging(Trick):
    """Validate and keep an exponential moving average of the weights.

    After optimizer step t = 0, 1, 2, ... the average keeps min(decay, (1 + t) / (10 + t)) of itself. The training goes
    on with the raw weights; validation, `model.keras`, `evaluate` and `predict` have the average. The published decay
    averages over some 100,000 steps; short runs want less.
    """

    source: ClassVar = Source(NFNETS, "A", NFNETS_URL)
    group: ClassVar = "Averaging"
    conflicts: ClassVar = frozenset({"checkpoint_averaging"})

    decay: float = Field(0.99999, ge=0, lt=1, description="Share of the average that a step keeps, in the long run.")

    def callbacks(self, facts: RunFacts) -> list[Any]:
        """Return the callback that averages."""
        from keras_tricks.callbacks import WeightAveraging as Callback

        return [Callback(self.decay)]
