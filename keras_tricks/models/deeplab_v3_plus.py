"""DeepLabV3+ for semantic segmentation, on any backbone."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import keras
from keras import layers

from keras_tricks.layers import ResizeLike
from keras_tricks.models.arguments import check_count
from keras_tricks.models.fcn import auxiliary_head
from keras_tricks.models.feature_pyramid import feature_strides
from keras_tricks.models.segmentation_head import (
    Head,
    Normalization,
    classify,
    head_for,
    segmenter,
)

RATES_AT_16 = (6, 12, 18)
"""The dilations of the parallel convolutions at an output stride of 16."""


def DeepLabV3Plus(  # noqa: N802
    backbone: keras.Model,
    classes: int,
    *,
    dilation_rates: Sequence[int] | None = None,
    filters: int = 256,
    low_level_filters: int = 48,
    auxiliary: bool = False,
    dropout_rate: float = 0.1,
    normalization: Normalization | None = None,
    classifier_activation: Any = None,
    name: str = "deeplab_v3_plus",
) -> keras.Model:
    """Build DeepLabV3+: parallel dilated convolutions, and a decoder that looks at the first stage again.

    The last stage goes through a 1x1 convolution, three dilated 3x3 convolutions and the mean over the image, all side
    by side, which a 1x1 convolution brings together. The result is resized to the first stage, put beside its maps
    (brought to 48 channels), and goes through two 3x3 convolutions and a 1x1 to the classes, whose logits are resized
    to the images. Each convolution but the last has batch normalization and a ReLU; where the backbone has no
    normalization, a standardized kernel and the backbone's activation with its gamma.

    keras-hub's `DeepLabV3ImageSegmenter` takes our backbones too (see `keras_tricks.models.hub`), but only images
    whose sides are multiples of the output stride; it has batch normalization that cannot be synchronized over
    replicas or left out, lacks the two convolutions of the decoder, and resizes 256 channels to the size of the images
    instead of the classes.

    Args:
        backbone: What `keras_tricks.models.backbone` returned, with an `output_stride` of 16 or 8 in the paper.
        classes: Number of classes.
        dilation_rates: Those of the parallel convolutions. Defaults to None: 6, 12 and 18 at an output stride of 16,
            twice that at 8, half at 32, and so on, at least 1.
        filters: Channels of each convolution of the head. Defaults to 256.
        low_level_filters: Channels that the first stage is brought to. Defaults to 48.
        auxiliary: Whether the last stage but one has a head as in `FCN`. Defaults to False.
        dropout_rate: Share of the features dropped after the parallel convolutions, in [0, 1). Defaults to 0.1.
        normalization: `"batch"`, `"synchronized"` (over all replicas) or `"none"`. Defaults to None, as in the
            backbone; `"batch"` for a frozen one.
        classifier_activation: Activation over the classes. Defaults to None, which returns logits.
        name: Name of the model.

    Returns:
        A functional `keras.Model` from `(batch, height, width, channels)`, of any size, to
        `(batch, height, width, classes)` in float32, also under mixed precision; with an auxiliary head the dictionary
        of `"predictions"` and `"auxiliary"`. The layers of the backbone keep their names; the last convolution is
        `predictions`.

    Raises:
        ValueError: If an argument is wrong.

    Example:

        model = DeepLabV3Plus(backbone("nf_resnet26", weights, output_stride=16), classes=32)

    Source: Chen et al. 2018, Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation,
    arXiv 1802.02611, sections 3 and 4.1, without its separable convolutions, as for its ResNets.
    """
    head = head_for(backbone, normalization, dropout_rate, classes)
    check_count("filters", filters)
    check_count("low_level_filters", low_level_filters)
    if dilation_rates is None:
        output_stride = list(feature_strides(backbone).values())[-1]
        dilation_rates = [max(1, rate * 16 // output_stride) for rate in RATES_AT_16]
    if not dilation_rates or any(not isinstance(rate, Integral) or rate < 1 for rate in dilation_rates):
        raise ValueError(f"Expected integers of at least 1. Received: dilation_rates={dilation_rates!r}")
    low, last = backbone.output["stage1"], list(backbone.output.values())[-1]
    x = _parallel(head, last, dilation_rates, filters)
    low = head.convolve(low, low_level_filters, 1, "decoder_low")
    x = ResizeLike(name="decoder_resized")([x, low])
    x = layers.Concatenate(name="decoder_concatenated")([x, low])
    for index in (1, 2):
        x = head.convolve(x, filters, 3, f"decoder{index}")
    outputs = [classify(x, backbone.input, classes, "predictions", classifier_activation)]
    if auxiliary:
        outputs.append(auxiliary_head(head, backbone, classes, classifier_activation))
    return segmenter(backbone, outputs, name)


def _parallel(head: Head, x: Any, rates: Sequence[int], filters: int) -> Any:
    mean = layers.GlobalAveragePooling2D(keepdims=True, name="parallel_mean")(x)
    mean = head.convolve(mean, filters, 1, "parallel_mean")
    branches = [
        head.convolve(x, filters, 1, "parallel_point"),
        *(head.convolve(x, filters, 3, f"parallel{i}", int(rate)) for i, rate in enumerate(rates, start=1)),
        ResizeLike(name="parallel_mean_resized")([mean, x]),
    ]
    x = layers.Concatenate(name="parallel_concatenated")(branches)
    x = head.convolve(x, filters, 1, "parallel_together")
    return head.drop(x, "dropout")
