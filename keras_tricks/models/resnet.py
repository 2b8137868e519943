"""ResNets in the variants A, B, C and D, for ImageNet and for small images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
from keras import layers

from keras_tricks.model_facts import model_facts
from keras_tricks.models.arguments import check_arguments
from keras_tricks.models.classifier import finish_model
from keras_tricks.models.dilation import Sampling, pool_shortcut, sample_stages
from keras_tricks.models.resnet_docstring import resnet_docstring

BASIC = ((3, 1), (3, 1))
BOTTLENECK = ((1, 1), (3, 1), (1, 4))
"""The convolutions of a residual branch: (kernel size, multiple of the stage's width)."""

ARCHITECTURES = {
    "resnet18": (BASIC, (2, 2, 2, 2)),
    "resnet34": (BASIC, (3, 4, 6, 3)),
    "resnet50": (BOTTLENECK, (3, 4, 6, 3)),
    "resnet101": (BOTTLENECK, (3, 4, 23, 3)),
    "resnet152": (BOTTLENECK, (3, 8, 36, 3)),
    "resnet20": (BASIC, (3, 3, 3)),
    "resnet56": (BASIC, (9, 9, 9)),
    "resnet110": (BASIC, (18, 18, 18)),
}
"""The branch and the number of residual units of each stage."""

STEM_WIDTHS = {"resnet": 64, "resnet_cifar": 16}
STEM_STRIDES = {"resnet": 4, "resnet_cifar": 1}

Normalize = Callable[..., layers.Layer]


def _convolve(x: Any, filters: int, kernel_size: int, stride: int, name: str, dilation: int = 1) -> Any:
    """Convolve without a bias; strided kernels are padded evenly, as in PyTorch and MXNet."""
    padding = "same"
    if stride > 1:
        padding = "valid"
        if kernel_size > 1:
            x = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    return layers.Conv2D(
        filters,
        kernel_size,
        strides=stride,
        padding=padding,
        dilation_rate=dilation,
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal"),
        name=name,
    )(x)


def _shortcut(x: Any, filters: int, sampling: Sampling, variant: str, norm: Normalize, name: str) -> Any:
    if sampling.reduction == 1 and x.shape[-1] == filters:
        return x
    stride = sampling.stride
    if variant == "D" and sampling.reduction > 1:
        x, stride = pool_shortcut(x, sampling, f"{name}_shortcut_pool"), 1
    x = _convolve(x, filters, 1, stride, f"{name}_shortcut_conv")
    return norm(name=f"{name}_shortcut_bn")(x)


def _residual_unit(
    x: Any,
    branch: Sequence[tuple[int, int]],
    width: int,
    sampling: Sampling,
    variant: str,
    zero_gamma: bool,
    norm: Normalize,
    name: str,
) -> Any:
    shortcut = _shortcut(x, width * branch[-1][1], sampling, variant, norm, name)
    strided = 1 if branch is BASIC or variant == "A" else 2
    for index, (kernel_size, multiple) in enumerate(branch, start=1):
        x = _convolve(
            x,
            width * multiple,
            kernel_size,
            sampling.stride if index == strided else 1,
            f"{name}_conv{index}",
            dilation=1 if kernel_size == 1 else sampling.before if index <= strided else sampling.after,
        )
        is_last = index == len(branch)
        gamma = "zeros" if is_last and zero_gamma else "ones"
        x = norm(gamma_initializer=gamma, name=f"{name}_bn{index}")(x)
        if not is_last:
            x = layers.Activation("relu", name=f"{name}_relu{index}")(x)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_output")(x)


def _stem(x: Any, family: str, variant: str, norm: Normalize) -> Any:
    width = STEM_WIDTHS[family]
    if family == "resnet_cifar":
        convolutions = ((width, 3, 1),)
    elif variant in ("C", "D"):
        convolutions = ((width // 2, 3, 2), (width // 2, 3, 1), (width, 3, 1))
    else:
        convolutions = ((width, 7, 2),)
    for index, (filters, kernel_size, stride) in enumerate(convolutions, start=1):
        x = _convolve(x, filters, kernel_size, stride, f"stem_conv{index}")
        x = norm(name=f"stem_bn{index}")(x)
        x = layers.Activation("relu", name=f"stem_relu{index}")(x)
    if family == "resnet":
        # After a ReLU, padding with zeros is padding with -inf: no maximum is below zero.
        x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
        x = layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)
    return x


def _builder(name: str) -> Callable[..., keras.Model]:
    facts = model_facts(name)
    branch, units = ARCHITECTURES[name]
    model_name, size, default_classes = name, facts.default_image_size, facts.default_classes

    def build(
        include_top: bool = True,
        weights: str | Path | None = None,
        input_shape: tuple[int | None, int | None, int] = (size, size, 3),
        pooling: str | None = None,
        classes: int = default_classes,
        classifier_activation: Any = "softmax",
        variant: str = "A",
        zero_gamma: bool = False,
        synchronized_batch_norm: bool = False,
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
        norm = partial(
            layers.BatchNormalization,
            momentum=0.9,
            epsilon=1e-5,
            synchronized=synchronized_batch_norm,
        )
        strides = (1, *(2 for _ in units[1:]))
        samplings = sample_stages(STEM_STRIDES[facts.family], strides, output_stride)
        inputs = keras.Input(input_shape, name="images")
        x = _stem(inputs, facts.family, variant, norm)
        for stage, (depth, sampling) in enumerate(zip(units, samplings, strict=True), start=1):
            for unit in range(1, depth + 1):
                x = _residual_unit(
                    x,
                    branch,
                    width=STEM_WIDTHS[facts.family] * 2 ** (stage - 1),
                    sampling=sampling if unit == 1 else sampling.next(),
                    variant=variant,
                    zero_gamma=zero_gamma,
                    norm=norm,
                    name=f"stage{stage}_block{unit}",
                )
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
        )

    build.__name__ = build.__qualname__ = facts.builder
    build.__doc__ = resnet_docstring(
        facts,
        units=units,
        channels=STEM_WIDTHS[facts.family] * 2 ** (len(units) - 1) * branch[-1][1],
    )
    return build


ResNet18 = _builder("resnet18")
ResNet34 = _builder("resnet34")
ResNet50 = _builder("resnet50")
ResNet101 = _builder("resnet101")
ResNet152 = _builder("resnet152")
ResNet20 = _builder("resnet20")
ResNet56 = _builder("resnet56")
ResNet110 = _builder("resnet110")
