"""Trick: sharpness_aware."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from keras_tricks.trick import RunFacts, Source, Trick


class SharpnessAware(Trick):
    """Step along the gradient at the worst point near the weights (SAM), which leads to flat minima.

    Each step climbs by `rho` along the gradient, takes the gradient there, and steps from where it was: twice the work.
    With an `ascent_share` below 1 it climbs along the gradient of that part of the batch only, from which training
    metrics and BatchNorm statistics come too: 1 + share times the work, as published for NFNets. The images are every
    1/share-th of the batch; replicas pick the same as one device, for which each must pick an even number.
    `per_replica` lets each replica climb along its own gradient, as the published code does; then the result depends on
    the number of replicas. It needs the TensorFlow backend.
    """

    source: ClassVar = Source(
        "Foret et al. 2020, Sharpness-Aware Minimization for Efficiently Improving Generalization",
        "2",
        "https://arxiv.org/abs/2010.01412",
    )
    group: ClassVar = "Regularization"

    rho: float = Field(0.05, gt=0, le=10, description="Length of the climb.")
    ascent: Literal["reduced", "per_replica"] = Field(
        "reduced", description="Whose gradient to climb along: the whole batch's, or each replica's own."
    )
    ascent_share: float = Field(1.0, gt=0, le=1, description="Share of the batch whose gradient is climbed along.")

    def change_training(self, model: Any, facts: RunFacts) -> Any:
        """Return a model that takes its gradients so."""
        from keras_tricks import distribute

        method = distribute.SharpnessAware(self.rho, self.ascent, self.ascent_share)
        return distribute.ReplicaModel.of(model, gradient_method=method)
