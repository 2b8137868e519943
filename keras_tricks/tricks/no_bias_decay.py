"""Trick: no_bias_decay."""

from __future__ import annotations

from typing import Any, ClassVar

from keras_tricks.trick import BAG_OF_TRICKS, BAG_OF_TRICKS_URL, RunFacts, Source, Trick


class NoBiasDecay(Trick):
    """Let weight decay act on the kernels of convolutions and dense layers only.

    Biases, the gamma and beta of normalizations, gains and skip gains are left alone.
    """

    source: ClassVar = Source(BAG_OF_TRICKS, "3.1", BAG_OF_TRICKS_URL)
    group: ClassVar = "Large batches"

    def change_optimizer(self, optimizer: Any, facts: RunFacts) -> Any:
        """Return the optimizer with these variables excluded from weight decay."""
        from keras_tricks.optimizers import NO_BIAS_DECAY

        config = optimizer.get_config()
        config["no_decay"] = (*config["no_decay"], *NO_BIAS_DECAY)
        return type(optimizer).from_config(config)
