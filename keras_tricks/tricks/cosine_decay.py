"""Trick: cosine_decay."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from keras_tricks.trick import BAG_OF_TRICKS, BAG_OF_TRICKS_URL, RunFacts, Source, Trick


class CosineDecay(Trick):
    """Lower the learning rate along half a cosine, step by step, to 0 at the end of the run.

    The steps of a warmup are not part of the cosine: 0.5 * (1 + cos(pi * t / T)) with t and T counted after it.
    """

    source: ClassVar = Source(BAG_OF_TRICKS, "5.1", BAG_OF_TRICKS_URL)
    group: ClassVar = "Schedule"
    conflicts: ClassVar = frozenset({"poly_decay", "step_decay"})

    final_fraction: float = Field(0.0, ge=0, lt=1, description="Share of the full rate that is left at the end.")

    def change_learning_rate(self, learning_rate: float, facts: RunFacts) -> Any:
        """Return Keras's CosineDecay over the steps after the warmup, if there are any."""
        import keras

        if facts.warmup_steps >= facts.total_steps:
            return learning_rate
        return keras.optimizers.schedules.CosineDecay(
            learning_rate, facts.total_steps - facts.warmup_steps, alpha=self.final_fraction
        )
