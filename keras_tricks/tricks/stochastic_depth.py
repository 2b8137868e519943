"""Trick: stochastic_depth."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from keras_tricks.trick import NFNETS, NFNETS_URL, RunFacts, Source, Trick


class StochasticDepth(Trick):
    """Skip residual branches at random, the deeper the more often.

    Each image of a batch skips by itself. The rate grows linearly from 0 at the first block to almost `rate` at the
    last. What is kept is not scaled up, as in the NFNets.
    """

    source: ClassVar = Source(NFNETS, "A", NFNETS_URL)
    group: ClassVar = "Regularization"
    needs: ClassVar = frozenset({"nf"})

    rate: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Share of skips that the last block comes close to; the model's published one if unset.",
    )

    def change_model(self, arguments: dict[str, Any], facts: RunFacts) -> dict[str, Any]:
        """Ask the builder for the rate."""
        from keras_tricks.model_facts import model_facts

        published = model_facts(facts.model).stochastic_depth_rate
        return {**arguments, "stochastic_depth_rate": (published or 0.0) if self.rate is None else self.rate}
