"""The feature maps of our networks, one of each stage, for detectors and segmenters."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Literal

import keras

from keras_tricks import weights as published
from keras_tricks.layers import ACTIVATION_GAMMAS, ScaledActivation
from keras_tricks.model_facts import model_facts
from keras_tricks.models import nf_resnet, nfnet, resnet

BatchNorm = Literal["trained", "synchronized", "frozen"]
BATCH_NORMS: tuple[BatchNorm, ...] = ("trained", "synchronized", "frozen")

_STAGE = re.compile(r"stage(\d+)_")


def backbone(
    model: str,
    weights: str | Path | None = None,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    output_stride: int | None = None,
    frozen_stages: int = 0,
    batch_norm: BatchNorm | None = None,
    name: str | None = None,
    **arguments: Any,
) -> keras.Model:
    """Build a network without its head that returns the feature maps of each stage.

    It is the network that the builder of the model returns, layer by layer and weight by weight, up to the last
    stage: `NFNet`s without their last 1x1 convolution, which belongs to their classifier. ResNets give what each stage
    ends in, after its ReLU. Networks without normalization give the activation of it, divided by the standard deviation
    that the sum of the stage's branches is expected to have and multiplied by the gamma of the activation, as the
    next stage takes it: heads get maps of variance 1.

    | networks | stages | their strides |
    |---|---|---|
    | ResNets, NF-ResNets, NFNets | `stage1` to `stage4` | 4, 8, 16, 32 |
    | the same with `output_stride=16` | | 4, 8, 16, 16 |
    | the same with `output_stride=8` | | 4, 8, 8, 8 |
    | NFNets and NF-ResNets of `small_images=True` | `stage1` to `stage4` | 1, 2, 4, 8 |
    | `resnet20`, `resnet56`, `resnet110`, `nf_resnet20` | `stage1` to `stage3` | 1, 2, 4 |

    Sizes are rounded up. Dilated ResNets, and NF-ResNets of `variant="timm"`, give at every second place (every
    fourth for a quarter of the stride) what the network gives with its strides. The published networks without
    normalization do so where the sizes are odd, but for squeeze and excite, whose averages are over other places: at
    even sizes their strided convolutions stand half a place beside the shortcuts.

    Args:
        model: Name of the model in `keras_tricks.model_facts.MODELS`, such as `"resnet50"`.
        weights: Those of a classifier, whose head is ignored, from wherever `keras_tricks.weights.load` takes them: a
            finished run (its directory, or its id in the folder of the runs), `"imagenet"`, a `.keras`, `.weights.h5`,
            `.safetensors` or `.npz` file, or an id on the Hugging Face hub. Defaults to None, random ones.
        input_shape: `(height, width, channels)`. Height and width may be None. Defaults to any size of three channels.
        output_stride: What height and width are divided by in the last stage, for segmentation usually 8 or 16.
            Defaults to None, as published.
        frozen_stages: How many stages, and the stem with the first, are not trained; 0 for none. What is frozen
            computes as in inference: batch normalization by its moving statistics, no stochastic depth. Defaults to 0.
        batch_norm: `"trained"`; `"synchronized"`, with statistics over all replicas (TensorFlow only); or `"frozen"`,
            moving statistics that stay as they are, and gamma and beta that are not trained, as is usual where
            images are large and batches small. Defaults to None, which is `"trained"` where there is any.
        name: Name of the model. Defaults to that of the builder.
        **arguments: The other arguments of the model's builder, such as `variant="D"`, `activation`,
            `stochastic_depth_rate` or `small_images`.

    Returns:
        A functional `keras.Model` from images to a dictionary of feature maps by the names of their stages.

    Raises:
        ValueError: If an argument is wrong, or the weights are not of this model; the error lists each weight that is
            missing, left over or of another shape.

    Example:

        pyramid = backbone("resnet50", "20261101T120000-imagenet-4f2a", variant="D", output_stride=8)
        pyramid(images)["stage4"]

    Source: dilation as in Chen et al. 2017, Rethinking Atrous Convolution for Semantic Image Segmentation,
    arXiv 1706.05587, section 3.1, and in GluonCV, which "Bag of Tricks" (arXiv 1812.01187, section 6) was made with.
    """
    facts = model_facts(model)
    module = {"resnet": resnet, "nf_resnet": nf_resnet, "nfnet": nfnet}.get(facts.family.removesuffix("_cifar"))
    if module is None:
        raise ValueError(f"Expected a ResNet, an NF-ResNet or an NFNet as a backbone. Received: model={model!r}")
    if batch_norm is not None and batch_norm not in BATCH_NORMS:
        raise ValueError(
            f"Expected batch_norm to be None or one of {', '.join(BATCH_NORMS)}. Received: batch_norm={batch_norm!r}"
        )
    if batch_norm is not None and "batch_norm" not in facts.features:
        raise ValueError(
            f"Expected batch_norm=None for {facts.title}, which has no batch normalization. "
            f"Received: batch_norm={batch_norm!r}"
        )
    if batch_norm == "synchronized":
        arguments["synchronized_batch_norm"] = True
    network = getattr(module, facts.builder)(
        include_top=False, input_shape=input_shape, output_stride=output_stride, **arguments
    )
    features = _features(network)
    if isinstance(frozen_stages, bool) or frozen_stages not in range(len(features) + 1):
        raise ValueError(
            f"Expected frozen_stages to be an integer from 0 to {len(features)}. "
            f"Received: frozen_stages={frozen_stages!r}"
        )
    if weights is not None:
        published.load(network, weights, head=False)
    pyramid = keras.Model(network.input, features, name=name or network.name)
    _freeze(pyramid, frozen_stages, batch_norm == "frozen")
    return pyramid


def feature_strides(pyramid: keras.Model) -> dict[str, int]:
    """Return what each feature map of a backbone divides the height and width of the images by.

    Args:
        pyramid: What `backbone` returned, or a model around it whose layers are those of the backbone and more.

    Example:
        >>> feature_strides(backbone("resnet18", output_stride=16))
        {'stage1': 4, 'stage2': 8, 'stage3': 16, 'stage4': 16}
    """
    strides: dict[str, int] = {}
    total = 1
    for stage, layers in sorted(_layers_by_stage(pyramid).items()):
        main = [layer for layer in layers if "shortcut" not in layer.name]
        total *= math.prod(layer.strides[0] for layer in main if hasattr(layer, "strides"))
        if stage > 0:
            strides[f"stage{stage}"] = total
    return strides


def _layers_by_stage(network: keras.Model) -> dict[int, list[keras.layers.Layer]]:
    """Return the layers of each stage; those of the stem under 0."""
    stages: dict[int, list[keras.layers.Layer]] = {}
    for layer in network.layers:
        stage = _STAGE.match(layer.name)
        if stage or layer.name.startswith("stem_"):
            stages.setdefault(int(stage[1]) if stage else 0, []).append(layer)
    return stages


def _features(network: keras.Model) -> dict[str, Any]:
    """Return what each stage of a network ends in, ready for a head."""
    ends = {stage: layers[-1] for stage, layers in _layers_by_stage(network).items() if stage > 0}
    final = next((layer for layer in network.layers if layer.name == "final_act"), None)
    if final is None:
        return {f"stage{stage}": end.output for stage, end in sorted(ends.items())}
    features = {}
    for stage, end in sorted(ends.items()):
        depth = int(re.fullmatch(r"stage\d+_block(\d+)_add", end.name)[1])
        alpha = network.get_layer(f"stage{stage}_block1_skip").scale
        expected_std = math.sqrt(1 + depth * alpha**2)
        gamma = ACTIVATION_GAMMAS[final.activation] / expected_std
        name = f"stage{stage}_output"
        features[f"stage{stage}"] = ScaledActivation(final.activation, gamma=gamma, name=name)(end.output)
    return features


def _freeze(pyramid: keras.Model, stages: int, batch_norm: bool) -> None:
    frozen = [
        layer for stage, layers in _layers_by_stage(pyramid).items() if stages and stage <= stages for layer in layers
    ]
    if batch_norm:
        frozen += [layer for layer in pyramid.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in frozen:
        layer.trainable = False
