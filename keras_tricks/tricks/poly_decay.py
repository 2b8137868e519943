"""Trick: poly_decay."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from keras_tricks.trick import RunFacts, Source, Trick

DEEPLAB = Source(
    "Chen et al. 2016, DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, and "
    "Fully Connected CRFs",
    "4.1",
    "https://arxiv.org/abs/1606.00915",
)


class PolyDecay(Trick):
    """Lower the learning rate by a power of the share of steps that is left, to 0 at the end of the run.

    The usual schedule of segmentation, also that of Bag of Tricks: (1 - t / T) ** power. The steps of a warmup are not
    part of it: t and T are counted after it.
    """

    source: ClassVar = DEEPLAB
    group: ClassVar = "Schedule"
    conflicts: ClassVar = frozenset({"cosine_decay", "step_decay"})

    power: float = Field(0.9, gt=0, le=10, description="Power of the share that is left; 1 lowers the rate evenly.")

    def change_learning_rate(self, learning_rate: float, facts: RunFacts) -> Any:
        """Return Keras's PolynomialDecay over the steps after the warmup, if there are any."""
        import keras

        if facts.warmup_steps >= facts.total_steps:
            return learning_rate
        return keras.optimizers.schedules.PolynomialDecay(
            learning_rate, facts.total_steps - facts.warmup_steps, end_learning_rate=0.0, power=self.power
        )
