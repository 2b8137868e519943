"""Trick: linear_scaling."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from keras_tricks.trick import BAG_OF_TRICKS, BAG_OF_TRICKS_URL, RunFacts, Source, Trick


class LinearScaling(Trick):
    """Scale the learning rate with the batch size.

    A larger batch has a less noisy gradient, so that a larger step is safe: the recipe's learning rate, given for
    `base_batch_size`, is multiplied by batch_size / base_batch_size.
    """

    source: ClassVar = Source(BAG_OF_TRICKS, "3.1", BAG_OF_TRICKS_URL)
    group: ClassVar = "Large batches"

    base_batch_size: int = Field(256, ge=1, description="Batch size that the learning rate is given for.")

    def change_learning_rate(self, learning_rate: float, facts: RunFacts) -> float:
        """Multiply the rate by batch_size / base_batch_size."""
        from keras_tricks.schedules import linear_scaling

        return linear_scaling(facts.batch_size, learning_rate, self.base_batch_size)
