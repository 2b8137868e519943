"""Trick: cutmix."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from keras_tricks.trick import RunFacts, Source, Trick


class Cutmix(Trick):
    """Paste a box of one image into another and mix the labels by area.

    With mixup on as well, each batch gets one of the two, by a fair draw, or each half of a batch one of them. The box
    is that of the whole batch, or each image's own.
    """

    source: ClassVar = Source(
        "Yun et al. 2019, CutMix: Regularization Strategy to Train Strong Classifiers",
        "3.1",
        "https://arxiv.org/abs/1905.04899",
    )
    group: ClassVar = "Regularization"
    tasks: ClassVar = frozenset({"classification"})

    alpha: float = Field(1.0, ge=0, le=10, description="Parameter of the Beta distribution; 0 pastes nothing.")
    per_image: bool = Field(False, description="Draw a box for each image, not for the batch, as NFNets do.")
    beside_mixup: Literal["either", "halves"] = Field(
        "either",
        description="With mixup on: either of the two for a batch, or mixup for one half of it and CutMix for the "
        "other, as published for NFNets.",
    )

    def change_data(self, data: Any, facts: RunFacts) -> Any:
        """Add CutMix to the transforms of a batch."""
        from keras_tricks.data import CutMix

        return data.with_batch_transform(CutMix(self.alpha, self.per_image, self.beside_mixup))
