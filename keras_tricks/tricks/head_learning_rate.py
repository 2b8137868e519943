"""Trick: head_learning_rate."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from keras_tricks.trick import RunFacts, Trick
from keras_tricks.tricks.poly_decay import DEEPLAB

BACKBONE = ("stem_*", "stage*_*", "mixed*_*", "block*_*", "final_*")
"""Names of the layers of our networks without their heads."""


class HeadLearningRate(Trick):
    """Train what is new on a backbone at a multiple of the learning rate.

    What loaded weights know is changed with care, and the head, which starts at random, learns fast: the layers of a
    detector or segmenter beside its backbone, auxiliary head included, or a classifier's last layer. GluonCV trains the
    heads of its FCNs so.
    """

    source: ClassVar = DEEPLAB
    group: ClassVar = "Schedule"

    multiplier: float = Field(10.0, gt=0, le=1000, description="What the rate of the head is multiplied by.")

    def change_optimizer(self, optimizer: Any, facts: RunFacts) -> Any:
        """Return the optimizer with a rate of its own for every variable that is not the backbone's."""
        config = optimizer.get_config()
        own = dict.fromkeys(BACKBONE, 1.0) | {"*": self.multiplier}
        config["rate_multipliers"] = config["rate_multipliers"] | own
        return type(optimizer).from_config(config)
