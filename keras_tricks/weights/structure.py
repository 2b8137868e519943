"""What one of our models is, read from its layers: loaders refuse weights that are meant for another one."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal

import keras

from keras_tricks.layers import ScaledStandardizedConv2D, SkipInit

HEAD = "predictions"
"""Name of the classifier in all of our models."""

_BLOCK_END = re.compile(r"stage(\d+)_block\d+_add")


@dataclass(frozen=True)
class Structure:
    """What sets one of our models apart for those who load weights into it.

    Args:
        family: Which network it is. Inception-V3 and MobileNet are told by nothing else.
        depths: Number of blocks of each stage.
        bottleneck: Whether a block has 1x1 convolutions around its 3x3.
        deep_stem: Whether the stem has more than one convolution.
        large_stem: Whether the stem has strides, and so is one for large images.
        pooled_shortcuts: Whether strided shortcuts are pooled before their convolution.
        strided_first: Whether the first 1x1 convolution of a bottleneck has the stride.
        skip_gains: Whether branches have a skip gain.
        final_width: Filters of the convolution after the last stage; None where there is none.
    """

    family: Literal["resnet", "nfnet", "nf_resnet", "inception_v3", "mobilenet"]
    depths: tuple[int, ...] = ()
    bottleneck: bool = False
    deep_stem: bool = False
    large_stem: bool = True
    pooled_shortcuts: bool = False
    strided_first: bool = False
    skip_gains: bool = False
    final_width: int | None = None

    @property
    def resnet_variant(self) -> str:
        """The variant of a ResNet; `"B"` also for A without bottlenecks, which is the same network."""
        if self.pooled_shortcuts:
            return "D"
        if self.deep_stem:
            return "C"
        return "A" if self.strided_first else "B"


def structure_of(model: keras.Model) -> Structure:
    """Return the structure of one of our models.

    Args:
        model: What a builder of `keras_tricks.models` returned, or a copy of it.

    Raises:
        ValueError: If it is another model.
    """
    layers = {layer.name: layer for layer in model.layers}
    if "mixed10" in layers:
        return Structure("inception_v3")
    if "block13_conv2" in layers:
        return Structure("mobilenet")
    ends = [_BLOCK_END.fullmatch(name) for name in layers]
    depths = Counter(int(end[1]) for end in ends if end)
    if not depths or "stem_conv1" not in layers or "stage2_block1_conv1" not in layers:
        raise ValueError(
            "Expected a model that a builder of keras_tricks.models returned, not one around it. "
            f"Received: model={model.name!r} with the layers {', '.join(list(layers)[:5])}, ..."
        )
    family: Literal["resnet", "nfnet", "nf_resnet"] = "resnet"
    if isinstance(layers["stem_conv1"], ScaledStandardizedConv2D):
        family = "nfnet" if "final_conv" in layers else "nf_resnet"
    return Structure(
        family=family,
        depths=tuple(depths[stage] for stage in sorted(depths)),
        bottleneck="stage1_block1_conv3" in layers,
        deep_stem="stem_conv2" in layers,
        large_stem=layers["stem_conv1"].strides[0] > 1,
        pooled_shortcuts="stage2_block1_shortcut_pool" in layers,
        strided_first="stage1_block1_conv3" in layers and layers["stage2_block1_conv1"].strides[0] > 1,
        skip_gains=any(isinstance(layer, SkipInit) for layer in model.layers),
        final_width=layers["final_conv"].filters if "final_conv" in layers else None,
    )
