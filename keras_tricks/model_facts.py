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
        family: `"resnet"`, `"nf_resnet"` or `"nfnet"` (ImageNet sizes), or one of these with `_cifar`
            (small images); `"inception_v3"` or `"mobilenet"`.
        features: What tricks may need of it: `"batch_norm"`, `"residual"`, `"bottleneck"`,
            `"resnet_variants"`, `"nf"` (no normalization), `"classifier_dropout"`.
        min_image_size: Smallest height and width, in pixels.
        max_image_size: Largest height and width, in pixels; None for no limit.
        default_image_size: Height and width of the training images that it was published with, in pixels.
        test_image_size: Height and width of the test images that it was published with, in pixels;
            None where they are those of the training.
        default_classes: Number of classes that it was published with.
        parameters: Number of trainable parameters of each variant at `default_classes` and three
            channels. The moving statistics of batch normalization are not counted, as in the
            published numbers.
        dropout_rate: Dropout before the classifier that it was published with; None where none was.
        stochastic_depth_rate: Stochastic depth that it was published with; None where none was.
        rand_augment_magnitude: Magnitude of RandAugment that it was published with; None for none.
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
    test_image_size: int | None = None
    default_classes: int
    parameters: dict[str, int]
    dropout_rate: float | None = None
    stochastic_depth_rate: float | None = None
    rand_augment_magnitude: int | None = None
    imagenet_weights: bool = False
    source: Publication


RESIDUAL_LEARNING = Publication(
    paper="He et al. 2015, Deep Residual Learning for Image Recognition",
    url="https://arxiv.org/abs/1512.03385",
)

NF_RESNETS = Publication(
    paper="Brock et al. 2021, Characterizing signal propagation to close the performance gap in unnormalized ResNets",
    url="https://arxiv.org/abs/2101.08692",
)
NFNETS = Publication(
    paper="Brock et al. 2021, High-Performance Large-Scale Image Recognition Without Normalization",
    url="https://arxiv.org/abs/2102.06171",
)
INCEPTION_V3 = Publication(
    paper="Szegedy et al. 2015, Rethinking the Inception Architecture for Computer Vision",
    url="https://arxiv.org/abs/1512.00567",
)
MOBILENETS = Publication(
    paper="Howard et al. 2017, MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
    url="https://arxiv.org/abs/1704.04861",
)
NF_VARIANTS = ("original", "timm")
"""The published networks, and timm's versions of them."""
LARGEST_SMALL_IMAGE = 64
"""Height and width, in pixels, up to which a network without normalization takes the stem for small images."""

_NF_FEATURES = frozenset({"residual", "bottleneck", "nf", "classifier_dropout"})


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


def _nfnet(
    size: int, train: int, test: int, dropout_rate: float, magnitude: int, parameters: int, wide_parameters: int
) -> tuple[ModelFacts, ModelFacts]:
    """Return the facts of an F variant and of its wide variant."""
    facts = ModelFacts(
        name=f"nfnet_f{size}",
        builder=f"NFNetF{size}",
        title=f"NFNet-F{size}",
        family="nfnet",
        features=_NF_FEATURES,
        min_image_size=32,
        default_image_size=train,
        test_image_size=test,
        default_classes=1000,
        parameters=dict.fromkeys(NF_VARIANTS, parameters),
        dropout_rate=dropout_rate,
        stochastic_depth_rate=0.25,
        rand_augment_magnitude=magnitude,
        source=NFNETS,
    )
    wide = {
        "name": f"{facts.name}_plus",
        "builder": f"{facts.builder}Plus",
        "title": f"{facts.title}+",
        "parameters": dict.fromkeys(NF_VARIANTS, wide_parameters),
    }
    return facts, facts.model_copy(update=wide)


def _nf_resnet(depth: int, parameters: int, blocks: int) -> ModelFacts:
    return ModelFacts(
        name=f"nf_resnet{depth}",
        builder=f"NFResNet{depth}",
        title=f"NF-ResNet-{depth}",
        family="nf_resnet",
        features=_NF_FEATURES,
        min_image_size=32,
        default_image_size=224,
        default_classes=1000,
        # timm's have no skip gains.
        parameters={"original": parameters, "timm": parameters - blocks},
        stochastic_depth_rate=0.1,
        source=NF_RESNETS,
    )


def _batch_normalized(
    name: str, builder: str, title: str, smallest: int, size: int, parameters: int, rate: float, source: Publication
) -> ModelFacts:
    """Return the facts of a network with batch normalization and without residual branches."""
    return ModelFacts(
        name=name,
        builder=builder,
        title=title,
        family=name,
        features=frozenset({"batch_norm", "classifier_dropout"}),
        min_image_size=smallest,
        default_image_size=size,
        default_classes=1000,
        parameters={"original": parameters},
        dropout_rate=rate,
        imagenet_weights=True,
        source=source,
    )


def _nf_cifar(name: str, builder: str, title: str, family: str, parameters: int, source: Publication) -> ModelFacts:
    return ModelFacts(
        name=name,
        builder=builder,
        title=f"{title} (CIFAR)",
        family=family,
        features=_NF_FEATURES,
        min_image_size=8,
        max_image_size=64,
        default_image_size=32,
        default_classes=10,
        parameters={"original": parameters},
        source=source,
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
        _batch_normalized("inception_v3", "InceptionV3", "Inception-V3", 75, 299, 23_817_352, 0.2, INCEPTION_V3),
        _batch_normalized("mobilenet", "MobileNet", "MobileNet", 32, 224, 4_231_976, 0.001, MOBILENETS),
        _nf_cifar("nf_resnet20", "NFResNet20", "NF-ResNet-20", "nf_resnet_cifar", 220_384, NF_RESNETS),
        _nf_resnet(26, 15_995_176 + 8, 8),
        _nf_resnet(50, 25_557_032 + 16, 16),
        _nf_resnet(101, 44_549_160 + 33, 33),
        _nf_cifar("nfnet_tiny", "NFNetTiny", "NFNet-Tiny", "nfnet_cifar", 1_786_419, NFNETS),
        *_nfnet(0, 192, 256, 0.2, 5, 71_489_284, 118_824_516),
        *_nfnet(1, 224, 320, 0.3, 10, 132_634_256, 220_357_008),
        *_nfnet(2, 256, 352, 0.4, 10, 193_779_228, 321_889_500),
        *_nfnet(3, 320, 416, 0.4, 15, 254_924_200, 423_421_992),
        *_nfnet(4, 384, 512, 0.5, 15, 316_069_172, 524_954_484),
        *_nfnet(5, 416, 544, 0.5, 15, 377_214_144, 626_486_976),
        *_nfnet(6, 448, 576, 0.5, 15, 438_359_116, 728_019_468),
        *_nfnet(7, 480, 608, 0.5, 15, 499_504_088, 829_551_960),
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
