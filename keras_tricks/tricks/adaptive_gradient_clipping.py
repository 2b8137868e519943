"""Trick: adaptive_gradient_clipping."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from keras_tricks.trick import NFNETS, NFNETS_URL, RunFacts, Source, Trick


class AdaptiveGradientClipping(Trick):
    """Clip the gradient of each unit to a share of the norm of its weights.

    Networks without normalization need it at large batches and high learning rates. The kernel of the classifier is not
    clipped. Smaller batches take larger values: 0.01 at 4096, 0.02 to 0.08 at 1024 to 256.
    """

    source: ClassVar = Source(NFNETS, "4", NFNETS_URL)
    group: ClassVar = "Large batches"

    clipping: float = Field(0.01, gt=0, le=10, description="Largest ratio of a unit's gradient norm to its norm.")
    eps: float = Field(1e-3, gt=0, le=1, description="Norm that a unit counts with at least.")

    def change_optimizer(self, optimizer: Any, facts: RunFacts) -> Any:
        """Return an optimizer that clips for this one."""
        from keras_tricks import optimizers

        return optimizers.AdaptiveGradientClipping(optimizer, clipping=self.clipping, eps=self.eps)
