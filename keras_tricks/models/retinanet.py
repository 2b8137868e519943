"""RetinaNet for object detection, on any backbone, of the layers of keras-hub."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers

from keras_tricks.models.arguments import check_backbone, check_count
from keras_tricks.models.detection import ANCHORS_OF_A_PLACE, LEVELS, check_image_size
from keras_tricks.models.feature_pyramid import feature_strides

PRIOR = 0.01
"""The probability of each class that a new detector gives to each anchor."""

STANDARD_DEVIATION = 0.01
"""That of the kernels of new heads of 256 filters."""


def RetinaNet(  # noqa: N802
    backbone: keras.Model,
    classes: int,
    *,
    image_size: int,
    filters: int = 256,
    convolutions: int = 4,
    name: str = "retinanet",
) -> keras.Model:
    """Build RetinaNet: a feature pyramid, and two heads that say of each anchor where its object is and what it is.

    The pyramid takes the stages of the strides 8, 16 and 32, brings them to 256 channels, and adds to each what the
    next one has, at twice its size; two strided convolutions make the levels 6 and 7 of the last stage. A backbone
    without a stage of stride 32 or 16 gets more such levels instead. The heads are shared by all levels, and
    nothing in them or in the pyramid is normalized, so that they suit every backbone. At the start they give each class
    of each anchor a probability of 0.01.

    keras-hub's `RetinaNetObjectDetector` takes our backbones too (see `keras_tricks.models.hub`), but only heads of
    256 filters, which it starts with the prior in the wrong head, and a loss of its own: it is divided by the matched
    anchors of the batch of each replica, and batches without boxes have none. keras-hub 0.32 has no two-stage detector,
    as Faster R-CNN is: its other one, D-FINE, is a transformer.

    Args:
        backbone: What `keras_tricks.models.backbone` returned, with a stage of stride 8.
        classes: Number of classes.
        image_size: Side of the square images in pixels, a multiple of 32.
        filters: Channels of the pyramid and of the heads. Defaults to 256.
        convolutions: Convolutions of each head before its last. Defaults to 4.
        name: Name of the model.

    Returns:
        A functional `keras.Model` from `(batch, image_size, image_size, channels)` to
        `(batch, anchors, 4 + classes)` in float32, also under mixed precision: of each anchor, in the order of
        `keras_tricks.models.anchors`, the four offsets of its box and the logits of the classes.
        `keras_tricks.losses.RetinaNetLoss` trains it, `detections` and `DecodeBoxes` make boxes of its output. The
        layers of the backbone keep their names; the others with weights are `fpn`, `box_head` and
        `classification_head`. `keras_tricks.models.hub` must be imported before a saved one is loaded.

    Raises:
        ValueError: If an argument is wrong.
        ImportError: If keras-hub is not installed.

    Example:

        model = RetinaNet(backbone("resnet50", weights, batch_norm="frozen"), classes=20, image_size=512)
        model.compile(SGD(0.01), RetinaNetLoss(classes=20, image_size=512))

    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, arXiv 1708.02002, section 4. Kernels of heads of
    fewer filters start larger, so that signals become as small on their way as in those of 256.
    """
    from keras_tricks.models import hub

    check_backbone(backbone)
    check_image_size(image_size)
    for argument, count in (("classes", classes), ("filters", filters), ("convolutions", convolutions)):
        check_count(argument, count)
    images, stages = _at_size(backbone, image_size)
    # keras-hub draws all kernels of one initializer from the same seed: they would be the same numbers.
    seeds = keras.random.SeedGenerator()
    pyramid = hub.FeaturePyramid(
        LEVELS[0],
        LEVELS[-1],
        use_p5=True,
        num_filters=filters,
        kernel_initializer=keras.initializers.VarianceScaling(seed=seeds),
        name="fpn",
    )(_levels(backbone, stages))
    head = {
        "num_filters": filters,
        "num_conv_layers": convolutions,
        "kernel_initializer": keras.initializers.RandomNormal(
            stddev=STANDARD_DEVIATION * math.sqrt(256 / filters), seed=seeds
        ),
    }
    box_head = hub.DetectionHead(ANCHORS_OF_A_PLACE * 4, **head, name="box_head")
    classification_head = hub.DetectionHead(
        ANCHORS_OF_A_PLACE * classes,
        **head,
        use_prior_probability=True,
        prior_probability=PRIOR,
        name="classification_head",
    )
    # In the type of the weights, as in the classifiers: float32 under mixed precision.
    dtype = keras.config.dtype_policy().variable_dtype
    parts = []
    for level, maps in pyramid.items():
        boxes = layers.Reshape((-1, 4), dtype=dtype, name=f"boxes_{level}")(box_head(maps))
        logits = layers.Reshape((-1, classes), dtype=dtype, name=f"logits_{level}")(classification_head(maps))
        parts.append(layers.Concatenate(dtype=dtype, name=f"outputs_{level}")([boxes, logits]))
    outputs = layers.Concatenate(axis=1, dtype=dtype, name="predictions")(parts)
    return keras.Model(images, outputs, name=name)


def _at_size(backbone: keras.Model, image_size: int) -> tuple[Any, dict[str, Any]]:
    """Return images of one size, and what the layers of a backbone make of them."""
    size = backbone.input.shape[1:3]
    if size == (image_size, image_size):
        return backbone.input, backbone.output
    if size != (None, None):
        raise ValueError(
            f"Expected a backbone for images of {image_size}x{image_size} pixels, or of any size. "
            f"Received: an input shape of {backbone.input_shape}"
        )
    images = keras.Input((image_size, image_size, backbone.input.shape[-1]), name="images")
    same = keras.models.clone_model(backbone, input_tensors=images, clone_function=lambda layer: layer)
    return images, same.output


def _levels(backbone: keras.Model, stages: dict[str, Any]) -> dict[str, Any]:
    """Return the last stage of each stride that the pyramid takes."""
    strides = feature_strides(backbone)
    levels = {f"P{stride.bit_length() - 1}": stages[stage] for stage, stride in strides.items() if stride >= 8}
    if f"P{LEVELS[0]}" not in levels:
        raise ValueError(
            f"Expected a backbone with a stage of stride 8. Received: {backbone.name!r} with the strides "
            f"{', '.join(map(str, strides.values()))}"
        )
    return levels
