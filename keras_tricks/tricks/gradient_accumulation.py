"""Trick: gradient_accumulation."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from keras_tricks.trick import RunFacts, Source, Trick


class GradientAccumulation(Trick):
    """Work through each batch in several micro-batches, to train with batches that do not fit into the memory.

    The optimizer makes one step with the mean gradient of the batch, so that schedules, averages and the recipe's batch
    size mean what they say; only batch normalization sees the micro-batches. It needs the TensorFlow backend.
    """

    source: ClassVar = Source(
        "Huang et al. 2018, GPipe: Efficient Training of Giant Neural Networks using Pipeline Parallelism",
        "2.2",
        "https://arxiv.org/abs/1811.06965",
    )
    group: ClassVar = "Large batches"

    steps: int = Field(2, ge=1, le=4096, description="Micro-batches that make up a batch, on each replica.")

    def change_training(self, model: Any, facts: RunFacts) -> Any:
        """Return a model that trains in micro-batches."""
        from keras_tricks.distribute import ReplicaModel

        return ReplicaModel.of(model, accumulation_steps=self.steps)
