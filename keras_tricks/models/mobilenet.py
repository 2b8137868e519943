"""MobileNet, the first, of full width."""

from __future__ import annotations

from typing import Any

from keras import layers

from keras_tricks.models.batch_normalized import Convolve, batch_normalized_builder

BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)
"""Filters of the 1x1 convolution and stride of the depthwise one, block by block."""


def _body(x: Any, convolve: Convolve) -> Any:
    """MobileNet v1 of width 1.0: a 3x3 stem and 13 blocks of a depthwise 3x3 and a 1x1 convolution,
    each with batch normalization and a ReLU that ends at 6. It is the network of
    `keras.applications`, layer by layer. That of "Bag of Tricks" (GluonCV's) has as many parameters;
    its ReLUs have no end, its strided kernels are padded evenly, and its epsilon is 1e-5.
    """
    x = convolve(x, 32, 3, "stem_conv1", strides=2)
    for block, (filters, stride) in enumerate(BLOCKS, start=1):
        if stride > 1:
            x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"block{block}_pad")(x)
        padding = "valid" if stride > 1 else "same"
        x = convolve(x, None, 3, f"block{block}_conv1", strides=stride, padding=padding)
        x = convolve(x, filters, 1, f"block{block}_conv2")
    return x


MobileNet = batch_normalized_builder("mobilenet", _body, activation="relu6", gamma=True, maps=(7, 7, 1024))
