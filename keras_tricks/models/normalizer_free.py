"""Residual networks without normalization: the block, the stages and the builder of NFNets and NF-ResNets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

import keras

from keras_tricks.layers import (
    ACTIVATION_GAMMAS,
    ScaledActivation,
    ScaledStandardizedConv2D,
    SkipInit,
    SqueezeExcite,
    StochasticDepth,
)
from keras_tricks.model_facts import LARGEST_SMALL_IMAGE, model_facts
from keras_tricks.models.arguments import check_arguments, check_rate
from keras_tricks.models.classifier import finish_model
from keras_tricks.models.dilation import Sampling, pool_shortcut, sample_stages
from keras_tricks.models.normalizer_free_docstring import normalizer_free_docstring


@dataclass(frozen=True)
class Architecture:
    """What sets one network without normalization apart from another.

    Args:
        depths: Number of blocks of each stage.
        widths: Output channels of each stage.
        stem: Filters and strides of each convolution of the stem.
        stem_kernel_size: Height and width of their kernels.
        stem_pool: Whether a max pool follows the stem.
        small_stem: Filters of each 3x3 convolution, without strides, that are the stem for small images.
        strides: Stride of the first block of each stage.
        bottleneck_ratio: Width of a branch as a share of its stage's.
        group_width: Channels of each group of the 3x3 convolutions; None for one group.
        convolutions: Number of 3x3 convolutions of a branch, 1 or 2.
        pooled_shortcut: Whether strided shortcuts are pooled before their convolution, which then has no stride.
        squeeze_ratio: Ratio of squeeze and excite; None for none.
        final_width: Filters of the last convolution; None for none.
        default_activation: The activation that it was published with.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    stem: tuple[tuple[int, int], ...]
    small_stem: tuple[int, ...]
    stem_kernel_size: int = 3
    stem_pool: bool = False
    strides: tuple[int, ...] = (1, 2, 2, 2)
    bottleneck_ratio: float = 0.5
    group_width: int | None = None
    convolutions: int = 2
    pooled_shortcut: bool = True
    squeeze_ratio: float | None = 0.5
    final_width: int | None = None
    default_activation: str = "gelu"

    @property
    def stem_stride(self) -> int:
        """What the stem for large images divides height and width by."""
        return math.prod(stride for _, stride in self.stem) * (2 if self.stem_pool else 1)


@dataclass(frozen=True)
class Choices:
    """The arguments of a builder that reach into the blocks.

    Args:
        architecture: The network.
        convolve: Makes a convolution.
        activation: Name of the activation.
        gamma: Its gamma.
        alpha: Scale of the residual branches.
        timm_resnet: Whether to be what timm calls an NF-ResNet, which differs from the published one.
    """

    architecture: Architecture
    convolve: Callable[..., keras.layers.Layer]
    activation: str
    gamma: float
    alpha: float
    timm_resnet: bool

    def activate(self, x: Any, name: str) -> Any:
        """Apply the activation without its gamma, which the convolutions that follow multiply their kernels by."""
        return ScaledActivation(self.activation, gamma=1.0, name=name)(x)


def _stem(x: Any, choices: Choices, small_images: bool) -> Any:
    architecture = choices.architecture
    kernel_size, convolutions = architecture.stem_kernel_size, architecture.stem
    if small_images:
        kernel_size, convolutions = 3, tuple((filters, 1) for filters in architecture.small_stem)
    # timm's NF-ResNets multiply the first kernel by gamma too, though no activation stands before it.
    scale = choices.gamma if choices.timm_resnet else 1.0
    for index, (filters, stride) in enumerate(convolutions, start=1):
        if index > 1:
            x = choices.activate(x, f"stem_act{index}")
            scale = choices.gamma
        x = choices.convolve(filters, kernel_size, strides=stride, scale=scale, name=f"stem_conv{index}")(x)
    if not architecture.stem_pool or small_images:
        return x
    if choices.timm_resnet:
        # Every other one of all 3x3 windows: padded evenly, and with -inf, unlike a strided pool.
        x = keras.layers.MaxPooling2D(3, strides=1, padding="same", name="stem_pool_windows")(x)
        return keras.layers.MaxPooling2D(1, strides=2, name="stem_pool")(x)
    return keras.layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x)


def _block(
    x: Any, width: int, sampling: Sampling, expected_std: float, drop_rate: float, choices: Choices, name: str
) -> Any:
    architecture, gamma = choices.architecture, choices.gamma
    group_width = architecture.group_width or int(width * architecture.bottleneck_ratio)
    groups = int(width * architecture.bottleneck_ratio) // group_width
    inner = groups * group_width
    first = partial(choices.convolve, scale=gamma / expected_std)
    convolve = partial(choices.convolve, scale=gamma)

    branch = choices.activate(x, f"{name}_act1")
    shortcut = x
    if sampling.reduction > 1 or x.shape[-1] != width:
        shortcut, shortcut_stride = branch, sampling.stride
        if sampling.reduction > 1 and (architecture.pooled_shortcut or choices.timm_resnet):
            shortcut, shortcut_stride = pool_shortcut(shortcut, sampling, f"{name}_shortcut_pool"), 1
        shortcut = first(width, 1, strides=shortcut_stride, name=f"{name}_shortcut_conv")(shortcut)
    branch = first(inner, 1, name=f"{name}_conv1")(branch)
    places = (("2", sampling.stride, sampling.before), ("2b", 1, sampling.after))
    for place, strides, dilation in places[: architecture.convolutions]:
        branch = choices.activate(branch, f"{name}_act{place}")
        branch = convolve(inner, 3, strides=strides, dilation_rate=dilation, groups=groups, name=f"{name}_conv{place}")(
            branch
        )
    branch = choices.activate(branch, f"{name}_act3")
    gain = "zeros" if choices.timm_resnet else "ones"
    branch = convolve(width, 1, gain_initializer=gain, name=f"{name}_conv3")(branch)

    # The factors of samples and channels are multiplied with each other before they meet the images.
    factor = branch
    if architecture.squeeze_ratio is not None:
        factor = SqueezeExcite(architecture.squeeze_ratio, scale=2.0, gate_only=True, name=f"{name}_se")(factor)
    if drop_rate > 0:
        factor = StochasticDepth(drop_rate, name=f"{name}_drop")(factor)
    if choices.timm_resnet:
        factor = keras.layers.Rescaling(choices.alpha, name=f"{name}_skip")(factor)
    else:
        factor = SkipInit(scale=choices.alpha, name=f"{name}_skip")(factor)
    if architecture.squeeze_ratio is not None:
        factor = keras.layers.Multiply(name=f"{name}_gate")([branch, factor])
    return keras.layers.Add(name=f"{name}_add")([shortcut, factor])


def _plan(
    architecture: Architecture, alpha: float, samplings: Sequence[Sampling]
) -> Iterator[tuple[str, int, Sampling, float]]:
    """Yield the name, width, sampling and expected standard deviation of the input of each block."""
    expected_std = 1.0
    for stage, (depth, width, sampling) in enumerate(
        zip(architecture.depths, architecture.widths, samplings, strict=True), start=1
    ):
        for block in range(1, depth + 1):
            yield f"stage{stage}_block{block}", width, sampling if block == 1 else sampling.next(), expected_std
            # A transition block's shortcut is a convolution, so the variance starts again from 1.
            expected_std = math.hypot(1.0 if block == 1 else expected_std, alpha)


def _check(activation: str, alpha: float, dropout_rate: float, stochastic_depth_rate: float) -> None:
    known = [name for name in ACTIVATION_GAMMAS if name != "glu"]
    if activation not in known:
        raise ValueError(f"Expected activation to be one of {', '.join(known)}. Received: activation={activation!r}")
    if isinstance(alpha, bool) or not isinstance(alpha, Real) or not 0 < alpha < math.inf:
        raise ValueError(f"Expected alpha to be a finite number above 0. Received: alpha={alpha!r}")
    for name, rate in (("dropout_rate", dropout_rate), ("stochastic_depth_rate", stochastic_depth_rate)):
        check_rate(name, rate)


def normalizer_free_builder(name: str, architecture: Architecture) -> Callable[..., keras.Model]:
    """Return the function that builds one network, with the signature of `keras.applications`.

    Args:
        name: Name of the model in `model_facts.MODELS`.
        architecture: What sets it apart.
    """
    facts = model_facts(name)
    model_name, size, default_classes = name, facts.default_image_size, facts.default_classes

    def build(
        include_top: bool = True,
        weights: str | Path | None = None,
        input_shape: tuple[int | None, int | None, int] = (size, size, 3),
        pooling: str | None = None,
        classes: int = default_classes,
        classifier_activation: Any = "softmax",
        variant: str = "original",
        activation: str = architecture.default_activation,
        alpha: float = 0.2,
        dropout_rate: float = 0.0,
        stochastic_depth_rate: float = 0.0,
        small_images: bool | None = None,
        split_groups: bool | None = None,
        output_stride: int | None = None,
        name: str = model_name,
    ) -> keras.Model:
        check_arguments(
            facts,
            include_top=include_top,
            weights=weights,
            input_shape=input_shape,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            variant=variant,
        )
        _check(activation, alpha, dropout_rate, stochastic_depth_rate)
        if small_images is None:
            small_images = all(side is not None and side <= LARGEST_SMALL_IMAGE for side in input_shape[:2])
        timm = variant == "timm"
        timm_resnet = timm and facts.family == "nf_resnet"
        choices = Choices(
            architecture,
            convolve=partial(
                ScaledStandardizedConv2D,
                padding="symmetric" if timm_resnet else "same",
                epsilon=1e-5 if timm else 1e-4,
                epsilon_mode="add" if timm else "floor",
                split_groups=split_groups,
            ),
            activation="gelu_erf" if timm and activation == "gelu" else activation,
            gamma=ACTIVATION_GAMMAS[activation],
            alpha=alpha,
            timm_resnet=timm_resnet,
        )
        stem_stride = 1 if small_images else architecture.stem_stride
        samplings = sample_stages(stem_stride, architecture.strides, output_stride)
        inputs = keras.Input(input_shape, name="images")
        x = _stem(inputs, choices, small_images)
        blocks = list(_plan(architecture, alpha, samplings))
        for index, (block, width, sampling, expected_std) in enumerate(blocks):
            drop_rate = stochastic_depth_rate * index / len(blocks)
            x = _block(x, width, sampling, expected_std, drop_rate, choices, block)
        if architecture.final_width is not None:
            x = choices.convolve(architecture.final_width, 1, name="final_conv")(x)
        # timm's NF-ResNets end without gamma: theirs is in the kernels, and none follows.
        last_gamma = 1.0 if timm_resnet else None
        x = ScaledActivation(choices.activation, gamma=last_gamma, name="final_act")(x)
        return finish_model(
            inputs,
            x,
            facts,
            name=name,
            weights=weights,
            include_top=include_top,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            dropout_rate=dropout_rate,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        )

    build.__name__ = build.__qualname__ = facts.builder
    build.__doc__ = normalizer_free_docstring(facts, architecture)
    return build
