"""Trick: head_dropout."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from keras_tricks.trick import NFNETS, NFNETS_URL, RunFacts, Source, Trick


class HeadDropout(Trick):
    """Drop features before the classifier.

    The larger an NFNet, the higher its published rate: 0.2 for F0, 0.3 for F1, 0.4 for F2 and F3, 0.5 from F4 on.
    Inception-V3 has 0.2 in the code of its authors and 0.5 in that of "Bag of Tricks".
    """

    source: ClassVar = Source(NFNETS, "A", NFNETS_URL)
    group: ClassVar = "Regularization"
    needs: ClassVar = frozenset({"classifier_dropout"})
    tasks: ClassVar = frozenset({"classification"})

    rate: float | None = Field(
        None, ge=0, lt=1, description="Share of features to drop; the model's published one if unset."
    )

    def change_model(self, arguments: dict[str, Any], facts: RunFacts) -> dict[str, Any]:
        """Ask the builder for the rate."""
        from keras_tricks.model_facts import model_facts

        published = model_facts(facts.model).dropout_rate
        return {**arguments, "dropout_rate": (published or 0.0) if self.rate is None else self.rate}
