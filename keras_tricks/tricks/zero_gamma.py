"""Trick: zero_gamma."""

from __future__ import annotations

from typing import Any, ClassVar

from keras_tricks.trick import BAG_OF_TRICKS, BAG_OF_TRICKS_URL, RunFacts, Source, Trick


class ZeroGamma(Trick):
    """Start every residual branch at zero.

    The gamma of the last batch normalization of each branch begins at 0, so that each block returns its input and
    the network is easier to train at first.
    """

    source: ClassVar = Source(BAG_OF_TRICKS, "3.1", BAG_OF_TRICKS_URL)
    group: ClassVar = "Large batches"
    needs: ClassVar = frozenset({"batch_norm", "residual"})

    def change_model(self, arguments: dict[str, Any], facts: RunFacts) -> dict[str, Any]:
        """Ask the builder for zero gammas."""
        return {**arguments, "zero_gamma": True}
