"""What can be said of each model without building it."""

from __future__ import annotations

import difflib

from pydantic import BaseModel, ConfigDict


class Publication(BaseModel):
    """Where a model was published."""

    model_config = ConfigDict(frozen=True)

    paper: str
    url: str


class ModelFacts(BaseModel):
    """What can be said of a model without building it.

    Args:
        name: Name in recipes and on the command line, such as `"resnet50"`.
        builder: Attribute of `keras_tricks.models` that builds it, such as `"ResNet50"`.
        title: Name for people, such as `"ResNet-50"`.
        family: `"resnet"` (ImageNet sizes) or `"resnet_cifar"` (small images).
        features: What tricks may need of it: `"batch_norm"`, `"residual"`, `"bottleneck"`,
            `"resnet_variants"`.
        min_image_size: Smallest height and width, in pixels.
        max_image_size: Largest height and width, in pixels; None for no limit.
        default_image_size: Height and width that it was published with, in pixels.
        default_classes: Number of classes that it was published with.
        parameters: Number of trainable parameters of each variant at `default_classes` and three
            channels. The moving statistics of batch normalization are not counted, as in the
            published numbers.
        imagenet_weights: Whether `weights="imagenet"` works.
        source: Where it was published.

    Example:
        >>> model_facts("resnet50").parameters["D"]
        25576264
    """

    model_config = ConfigDict(frozen=True)

    name: str
    builder: str
    title: str
    family: str
    features: frozenset[str]
    min_image_size: int
    max_image_size: int | None = None
    default_image_size: int
    default_classes: int
    parameters: dict[str, int]
    imagenet_weights: bool = False
    source: Publication


RESIDUAL_LEARNING = Publication(
    paper="He et al. 2015, Deep Residual Learning for Image Recognition",
    url="https://arxiv.org/abs/1512.03385",
)


def _resnet(depth: int, parameters: int, deep_stem_parameters: int) -> ModelFacts:
    bottleneck = depth >= 50
    return ModelFacts(
        name=f"resnet{depth}",
        builder=f"ResNet{depth}",
        title=f"ResNet-{depth}",
        family="resnet",
        features=frozenset({"batch_norm", "residual", "resnet_variants"})
        | (frozenset({"bottleneck"}) if bottleneck else frozenset()),
        min_image_size=32,
        default_image_size=224,
        default_classes=1000,
        parameters={
            "A": parameters,
            "B": parameters,
            "C": deep_stem_parameters,
            "D": deep_stem_parameters,
        },
        imagenet_weights=bottleneck,
        source=RESIDUAL_LEARNING,
    )


def _resnet_cifar(depth: int, parameters: int) -> ModelFacts:
    return ModelFacts(
        name=f"resnet{depth}",
        builder=f"ResNet{depth}",
        title=f"ResNet-{depth} (CIFAR)",
        family="resnet_cifar",
        features=frozenset({"batch_norm", "residual", "resnet_variants"}),
        min_image_size=8,
        max_image_size=64,
        default_image_size=32,
        default_classes=10,
        parameters=dict.fromkeys("ABCD", parameters),
        source=RESIDUAL_LEARNING,
    )


MODELS: dict[str, ModelFacts] = {
    facts.name: facts
    for facts in (
        _resnet_cifar(20, 272_474),
        _resnet_cifar(56, 855_770),
        _resnet_cifar(110, 1_730_714),
        _resnet(18, 11_689_512, 11_708_744),
        _resnet(34, 21_797_672, 21_816_904),
        _resnet(50, 25_557_032, 25_576_264),
        _resnet(101, 44_549_160, 44_568_392),
        _resnet(152, 60_192_808, 60_212_040),
    )
}
"""Every model, by its name."""


def model_facts(name: str) -> ModelFacts:
    """Return what is known of a model.

    Args:
        name: One of `MODELS`, such as `"resnet50"`.

    Raises:
        ValueError: If there is no such model; the message names the close ones.
    """
    if name in MODELS:
        return MODELS[name]
    close = difflib.get_close_matches(str(name).lower(), MODELS)
    hint = f"Close to it: {', '.join(close)}. " if close else ""
    raise ValueError(f"Expected the name of a model, one of {', '.join(MODELS)}. {hint}Received: name={name!r}")
