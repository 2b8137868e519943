"""Networks that shrink images less than published: strides of their last stages become dilations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from operator import mul
from typing import Any, NamedTuple

import keras

from keras_tricks.layers import DilatedAveragePooling2D


class Sampling(NamedTuple):
    """How a block shrinks its maps, or reads values further apart because they are not shrunk.

    Args:
        reduction: The stride that the block was published with.
        stride: The stride that it has.
        before: Dilation of its convolutions up to the one that has, or had, the stride.
        after: Dilation of those behind it.
    """

    reduction: int
    stride: int
    before: int
    after: int

    def next(self) -> Sampling:
        """Return the sampling of the blocks that follow in the same stage."""
        return Sampling(1, 1, self.after, self.after)


def sample_stages(stem_stride: int, strides: Sequence[int], output_stride: int | None) -> list[Sampling]:
    """Return the sampling of the first block of each stage.

    Where a stride is left out, what follows reads values that are as far apart as the stride was long. Its results, at
    every so manieth place, are those of the network with strides, as far as its padding is even and nothing but
    convolutions and pools mixes places.

    Args:
        stem_stride: What the stem divides height and width by.
        strides: Stride of the first block of each stage.
        output_stride: What the whole network is to divide them by; None for what it was published with.

    Raises:
        ValueError: If the network cannot have that output stride.
    """
    totals = list(accumulate(strides, mul, initial=stem_stride))[2:]
    if output_stride is None:
        output_stride = totals[-1]
    if isinstance(output_stride, bool) or output_stride not in totals:
        raise ValueError(
            f"Expected output_stride to be None or one of {', '.join(map(str, sorted(set(totals))))}. "
            f"Received: output_stride={output_stride!r}"
        )
    samplings, total, dilation = [], stem_stride, 1
    for reduction in strides:
        stride = reduction if total * reduction <= output_stride else 1
        before, dilation = dilation, dilation * (reduction // stride)
        total *= stride
        samplings.append(Sampling(reduction, stride, before, dilation))
    return samplings


def pool_shortcut(x: Any, sampling: Sampling, name: str) -> Any:
    """Average 2x2 values of the input of a block that shrinks its maps, or did before it was dilated.

    Args:
        x: The input.
        sampling: That of the block.
        name: Name of the layer.
    """
    if sampling.stride == 1:
        return DilatedAveragePooling2D(sampling.before, name=name)(x)
    # "same" rounds odd sizes up and leaves the padding out of the average.
    return keras.layers.AveragePooling2D(2, padding="same", name=name)(x)
