"""Trick: resnet_variant."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from keras_tricks.trick import BAG_OF_TRICKS, BAG_OF_TRICKS_URL, RunFacts, Source, Trick


class ResnetVariant(Trick):
    """Tweak the ResNet's stem and its downsampling blocks.

    B moves the stride of a bottleneck from its 1x1 to its 3x3 convolution, C also replaces the 7x7 of the stem by three
    3x3, D also pools before the 1x1 of the shortcut instead of striding. Without this trick it is A, the original.
    """

    source: ClassVar = Source(BAG_OF_TRICKS, "4", BAG_OF_TRICKS_URL)
    group: ClassVar = "Architecture"
    needs: ClassVar = frozenset({"resnet_variants"})

    variant: Literal["B", "C", "D"] = Field("D", description="Which of the paper's variants.")

    def change_model(self, arguments: dict[str, Any], facts: RunFacts) -> dict[str, Any]:
        """Ask the builder for the variant."""
        return {**arguments, "variant": self.variant}
