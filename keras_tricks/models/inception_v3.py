"""Inception-V3."""

from __future__ import annotations

from typing import Any

from keras import layers

from keras_tricks.models.batch_normalized import Convolve, batch_normalized_builder

Convolution = tuple[int, int, int]
"""Filters, height and width of the kernel."""
Step = Convolution | tuple[Convolution, ...]
"""A convolution, or several side by side whose outputs are joined."""
Branch = tuple[Step, ...]


def _mixed_a(pooled: int) -> tuple[Branch, ...]:
    return (
        ((64, 1, 1),),
        ((48, 1, 1), (64, 5, 5)),
        ((64, 1, 1), (96, 3, 3), (96, 3, 3)),
        ((pooled, 1, 1),),
    )


def _mixed_c(width: int) -> tuple[Branch, ...]:
    return (
        ((192, 1, 1),),
        ((width, 1, 1), (width, 1, 7), (192, 7, 1)),
        ((width, 1, 1), (width, 7, 1), (width, 1, 7), (width, 7, 1), (192, 1, 7)),
        ((192, 1, 1),),
    )


_SPLIT = ((384, 1, 3), (384, 3, 1))
_MIXED_E: tuple[Branch, ...] = (
    ((320, 1, 1),),
    ((384, 1, 1), _SPLIT),
    ((448, 1, 1), (384, 3, 3), _SPLIT),
    ((192, 1, 1),),
)

BLOCKS: tuple[tuple[int, tuple[Branch, ...]], ...] = (
    (1, _mixed_a(32)),
    (1, _mixed_a(64)),
    (1, _mixed_a(64)),
    (2, (((384, 3, 3),), ((64, 1, 1), (96, 3, 3), (96, 3, 3)))),
    (1, _mixed_c(128)),
    (1, _mixed_c(160)),
    (1, _mixed_c(160)),
    (1, _mixed_c(192)),
    (2, (((192, 1, 1), (320, 3, 3)), ((192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3)))),
    (1, _MIXED_E),
    (1, _MIXED_E),
)
"""Stride and branches of each block: 35x35, 17x17 and 8x8 maps, figures 5, 6 and 7 of the paper.

The last branch of a block without a stride begins with an average pool. A block with a stride has it in the last
convolution of each branch, and a max pool as one branch more.
"""


def _stem(x: Any, convolve: Convolve) -> Any:
    x = convolve(x, 32, 3, "stem_conv1", strides=2, padding="valid")
    x = convolve(x, 32, 3, "stem_conv2", padding="valid")
    x = convolve(x, 64, 3, "stem_conv3")
    x = layers.MaxPooling2D(3, strides=2, name="stem_pool1")(x)
    x = convolve(x, 80, 1, "stem_conv4", padding="valid")
    x = convolve(x, 192, 3, "stem_conv5", padding="valid")
    return layers.MaxPooling2D(3, strides=2, name="stem_pool2")(x)


def _branch(x: Any, steps: Branch, stride: int, convolve: Convolve, name: str) -> list[Any]:
    """Return what a branch ends in: one tensor, or those of convolutions side by side."""
    ends = [x]
    for number, step in enumerate(steps, start=1):
        if isinstance(step[0], tuple):
            ends = [
                convolve(ends[0], filters, (height, width), f"{name}_conv{number}{letter}")
                for letter, (filters, height, width) in zip("ab", step, strict=True)
            ]
            continue
        filters, height, width = step
        strides, padding = (stride, "valid") if stride > 1 and number == len(steps) else (1, "same")
        ends = [convolve(ends[0], filters, (height, width), f"{name}_conv{number}", strides, padding)]
    return ends


def _body(x: Any, convolve: Convolve) -> Any:
    """A stem of five convolutions and eleven blocks of branches side by side, each convolution with
    batch normalization without gamma and a ReLU. It is the network of `keras.applications`, layer by
    layer. It has no auxiliary classifier, which is for training alone; "Bag of Tricks" (GluonCV's
    code) trained without one, too. Theirs has gammas, and average pools that count their padding.
    """
    x = _stem(x, convolve)
    for block, (stride, branches) in enumerate(BLOCKS):
        ends: list[Any] = []
        for number, steps in enumerate(branches, start=1):
            start = x
            if stride == 1 and number == len(branches):
                start = layers.AveragePooling2D(3, strides=1, padding="same", name=f"mixed{block}_pool")(x)
            ends += _branch(start, steps, stride, convolve, f"mixed{block}_branch{number}")
        if stride > 1:
            ends.append(layers.MaxPooling2D(3, strides=stride, name=f"mixed{block}_pool")(x))
        x = layers.Concatenate(name=f"mixed{block}")(ends)
    return x


InceptionV3 = batch_normalized_builder("inception_v3", _body, activation="relu", gamma=False, maps=(8, 8, 2048))
