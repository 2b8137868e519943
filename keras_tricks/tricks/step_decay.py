"""Trick: step_decay."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator

from keras_tricks.trick import BAG_OF_TRICKS, BAG_OF_TRICKS_URL, RunFacts, Source, Trick


class StepDecay(Trick):
    """Divide the learning rate at given epochs: the baseline's schedule.

    Epochs are counted from the start of the run, the warmup included.
    """

    source: ClassVar = Source(BAG_OF_TRICKS, "2.1", BAG_OF_TRICKS_URL)
    group: ClassVar = "Schedule"
    conflicts: ClassVar = frozenset({"cosine_decay", "poly_decay"})

    epochs: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (30, 60, 90), min_length=1, description="Epochs at which the rate drops."
    )
    factor: float = Field(0.1, gt=0, lt=1, description="What the rate is multiplied by at each drop.")

    @field_validator("epochs")
    @classmethod
    def _must_increase(cls, epochs: tuple[float, ...]) -> tuple[float, ...]:
        if list(epochs) != sorted(set(epochs)):
            raise ValueError("Expected epochs in increasing order, none twice")
        return epochs

    def change_learning_rate(self, learning_rate: float, facts: RunFacts) -> Any:
        """Return a schedule with drops at the given epochs."""
        from keras_tricks import schedules

        boundaries = [round(epoch * facts.steps_per_epoch) - facts.warmup_steps for epoch in self.epochs]
        return schedules.StepDecay(learning_rate, boundaries, factor=self.factor)
