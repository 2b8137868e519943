"""Trick: gradient_clipping."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from keras_tricks.trick import RunFacts, Source, Trick


class GradientClipping(Trick):
    """Clip the global norm of the gradient.

    If the norm of all gradients in one vector exceeds `max_norm`, all are scaled down together to that norm. It is the
    gradient of the whole batch that is clipped, summed over replicas. With adaptive_gradient_clipping it comes first.
    """

    source: ClassVar = Source(
        "Pascanu et al. 2013, On the difficulty of training recurrent neural networks",
        "3.2",
        "https://arxiv.org/abs/1211.5063",
    )
    group: ClassVar = "Large batches"

    max_norm: float = Field(1.0, gt=0, le=1e6, description="Largest norm of the whole gradient.")

    def change_optimizer(self, optimizer: Any, facts: RunFacts) -> Any:
        """Return an optimizer that clips for this one."""
        from keras_tricks import optimizers

        return optimizers.GradientClipping(optimizer, max_norm=self.max_norm)
