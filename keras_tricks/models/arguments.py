"""Checks of the arguments that every model builder takes."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import keras

from keras_tricks.model_facts import ModelFacts


def check_arguments(
    facts: ModelFacts,
    *,
    include_top: bool,
    weights: str | Path | None,
    input_shape: Sequence[int | None],
    pooling: str | None,
    classes: int,
    classifier_activation: Any,
    variant: str,
) -> None:
    """Raise an error for the first argument of a model builder that is wrong.

    The arguments other than `facts` are those of the builders, such as `ResNet50`.

    Args:
        facts: The model that is to be built.

    Raises:
        ValueError: If an argument is wrong; the message says what was expected.
    """
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "Expected keras.config.image_data_format() to be 'channels_last'. "
            f"Received: image_data_format={keras.config.image_data_format()!r}"
        )
    if variant not in facts.parameters:
        raise ValueError(f"Expected variant to be one of {', '.join(facts.parameters)}. Received: variant={variant!r}")
    _check_input_shape(facts, input_shape)
    if pooling not in (None, "avg", "max"):
        raise ValueError(f"Expected pooling to be None, 'avg' or 'max'. Received: pooling={pooling!r}")
    if include_top:
        if not isinstance(classes, Integral) or classes < 1:
            raise ValueError(f"Expected classes to be an integer of at least 1. Received: classes={classes!r}")
        keras.activations.get(classifier_activation)
    if weights == "imagenet":
        _check_imagenet(facts, include_top, input_shape, classes, classifier_activation, variant)
    elif weights is not None:
        _check_weights_file(weights)


def check_backbone(backbone: keras.Model) -> None:
    """Raise an error if an argument is no backbone.

    Args:
        backbone: What was given.

    Raises:
        ValueError: If `keras_tricks.models.backbone` did not return it.
    """
    if not isinstance(backbone.output, dict) or "stage1" not in backbone.output:
        raise ValueError(
            f"Expected backbone to be what keras_tricks.models.backbone returned. Received: backbone={backbone.name!r}"
        )


def check_rate(name: str, rate: float) -> None:
    """Raise an error if an argument is not a share that may be dropped.

    Args:
        name: Name of the argument.
        rate: What was given.

    Raises:
        ValueError: If it is not a number in [0, 1).
    """
    if isinstance(rate, bool) or not isinstance(rate, Real) or not 0 <= rate < 1:
        raise ValueError(f"Expected {name} to be a number in [0, 1). Received: {name}={rate!r}")


def check_count(name: str, count: int) -> None:
    """Raise an error if an argument is not a number of things.

    Args:
        name: Name of the argument.
        count: What was given.

    Raises:
        ValueError: If it is not an integer of at least 1.
    """
    if isinstance(count, bool) or not isinstance(count, Integral) or count < 1:
        raise ValueError(f"Expected {name} to be an integer of at least 1. Received: {name}={count!r}")


def _check_input_shape(facts: ModelFacts, input_shape: Sequence[int | None]) -> None:
    smallest, largest = facts.min_image_size, facts.max_image_size
    is_shape = (
        isinstance(input_shape, Sequence)
        and len(input_shape) == 3
        and all(size is None or isinstance(size, Integral) for size in input_shape)
        and (input_shape[2] or 0) >= 1
    )
    if not is_shape:
        raise ValueError(
            "Expected input_shape to be (height, width, channels), where the height and the width "
            f"may be None. Received: input_shape={input_shape!r}"
        )
    sizes = [size for size in input_shape[:2] if size is not None]
    if any(size < smallest for size in sizes):
        raise ValueError(
            f"Expected images of at least {smallest}x{smallest} pixels for {facts.title}. "
            f"Received: input_shape={input_shape!r}"
        )
    if largest is not None and any(size > largest for size in sizes):
        raise ValueError(
            f"Expected images of at most {largest}x{largest} pixels for {facts.title}, whose stem "
            "does not shrink them; the ImageNet models take larger ones. "
            f"Received: input_shape={input_shape!r}"
        )


def _check_imagenet(
    facts: ModelFacts,
    include_top: bool,
    input_shape: Sequence[int | None],
    classes: int,
    classifier_activation: Any,
    variant: str,
) -> None:
    if not facts.imagenet_weights:
        raise ValueError(
            f"Expected weights to be None or the path of a file: no ImageNet weights are published "
            f"for {facts.title}. Received: weights='imagenet'"
        )
    if "resnet_variants" in facts.features and variant != "A":
        raise ValueError(
            "Expected variant='A' with weights='imagenet': the published weights are for the "
            f"original ResNet. Received: variant={variant!r}"
        )
    if input_shape[2] != 3:
        raise ValueError(f"Expected three channels with weights='imagenet'. Received: input_shape={input_shape!r}")
    if include_top and classes != 1000:
        raise ValueError(
            "Expected classes=1000 with weights='imagenet' and include_top=True; "
            f"include_top=False takes any head. Received: classes={classes!r}"
        )
    if include_top and classifier_activation not in (None, "softmax"):
        raise ValueError(
            "Expected classifier_activation to be None or 'softmax' with weights='imagenet'. "
            f"Received: classifier_activation={classifier_activation!r}"
        )


def _check_weights_file(weights: str | Path) -> None:
    is_weights_file = str(weights).endswith((".weights.h5", ".keras"))
    if not is_weights_file or not Path(weights).is_file():
        raise ValueError(
            "Expected weights to be None, 'imagenet' or the path of an existing .weights.h5 or "
            f".keras file. Received: weights={str(weights)!r}"
        )
