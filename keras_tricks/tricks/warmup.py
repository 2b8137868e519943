"""Trick: warmup."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from keras_tricks.trick import BAG_OF_TRICKS, BAG_OF_TRICKS_URL, RunFacts, Source, Trick


class Warmup(Trick):
    """Start with a small learning rate while the weights are far from anything useful.

    `gradual` raises the rate linearly, step by step, from 0 to its full value; `constant` keeps a small fraction of it
    for the whole warmup. The schedule behind it begins when the warmup ends.
    """

    source: ClassVar = Source(BAG_OF_TRICKS, "3.1", BAG_OF_TRICKS_URL)
    group: ClassVar = "Large batches"

    epochs: float = Field(5, ge=0, description="Length of the warmup in epochs.")
    kind: Literal["gradual", "constant"] = Field("gradual", description="How the rate behaves meanwhile.")
    constant_fraction: float = Field(0.1, gt=0, le=1, description="Share of the full rate during a constant warmup.")

    def change_learning_rate(self, learning_rate: Any, facts: RunFacts) -> Any:
        """Put the warmup in front of the schedule."""
        from keras_tricks import schedules

        return schedules.Warmup(
            learning_rate,
            facts.warmup_steps,
            kind=self.kind,
            constant_fraction=self.constant_fraction,
        )
