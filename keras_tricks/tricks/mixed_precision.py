"""Trick: mixed_precision."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from keras_tricks.trick import BAG_OF_TRICKS, BAG_OF_TRICKS_URL, RunFacts, Source, Trick


class MixedPrecision(Trick):
    """Compute in 16 bits and keep the weights in 32.

    `float16` also scales the loss, so that small gradients do not vanish, and skips steps in which a gradient overflows
    on any replica; `bfloat16` has the range of 32 bits and needs no scaling. It saves time on GPUs and TPUs, and costs
    time on CPUs.
    """

    source: ClassVar = Source(BAG_OF_TRICKS, "3.2", BAG_OF_TRICKS_URL)
    group: ClassVar = "Precision"

    dtype: Literal["float16", "bfloat16"] = Field("float16", description="Type of the computation.")

    def change_precision(self, policy: str, facts: RunFacts) -> str:
        """Return Keras's mixed policy of this type."""
        return f"mixed_{self.dtype}"

    def change_optimizer(self, optimizer: Any, facts: RunFacts) -> Any:
        """Return an optimizer that scales the loss, for float16."""
        if self.dtype != "float16":
            return optimizer
        from keras_tricks import optimizers

        return optimizers.LossScaleOptimizer(optimizer)
