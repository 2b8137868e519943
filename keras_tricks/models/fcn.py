"""Fully convolutional networks for semantic segmentation, on any backbone."""

from __future__ import annotations

from typing import Any

import keras

from keras_tricks.models.segmentation_head import (
    Head,
    Normalization,
    classify,
    head_for,
    segmenter,
)

AUXILIARY_WEIGHT = 0.5
"""Weight of the auxiliary loss, in the script that "Bag of Tricks" was made with."""


def FCN(  # noqa: N802
    backbone: keras.Model,
    classes: int,
    *,
    auxiliary: bool = True,
    dropout_rate: float = 0.1,
    normalization: Normalization | None = None,
    classifier_activation: Any = None,
    name: str = "fcn",
) -> keras.Model:
    """Build a fully convolutional network with an auxiliary head, as "Bag of Tricks" trains on ADE20K.

    The head is a 3x3 convolution to a quarter of the channels of the last stage, batch normalization, a ReLU, dropout
    and a 1x1 convolution to the classes, whose logits are resized to the images bilinearly. An auxiliary head of the
    same kind looks at the stage before it; its loss counts `AUXILIARY_WEIGHT`, 0.5, and `prediction_model` leaves it
    out. The original has an `output_stride` of 8, and trains the heads at ten times the learning rate. It puts the
    corners of the maps on those of the images; here values stand in the middle of their pixels.

    Where the backbone has no normalization the heads have none: standardized convolutions with a bias, and the
    backbone's activation with its gamma.

    Args:
        backbone: What `keras_tricks.models.backbone` returned, with an `output_stride` of 8 in the paper.
        classes: Number of classes.
        auxiliary: Whether there is an auxiliary head. Defaults to True.
        dropout_rate: Share of the features dropped before the classes, in [0, 1). Defaults to 0.1.
        normalization: `"batch"`, `"synchronized"` (over all replicas) or `"none"`. Defaults to None, as in the
            backbone; `"batch"` for a frozen one.
        classifier_activation: Activation over the classes. Defaults to None, which returns logits.
        name: Name of the model.

    Returns:
        A functional `keras.Model` from `(batch, height, width, channels)`, of any size, to
        `(batch, height, width, classes)` in float32, also under mixed precision: the dictionary of `"predictions"` and
        `"auxiliary"`, or the predictions alone without an auxiliary head. The layers of the backbone keep their names;
        the last convolutions are `predictions` and `auxiliary_predictions`.

    Raises:
        ValueError: If an argument is wrong.

    Example:

        model = FCN(backbone("resnet50", weights, variant="D", output_stride=8), classes=150)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
        model.compile(
            "sgd",
            loss={"predictions": loss, "auxiliary": loss},
            loss_weights={"predictions": 1.0, "auxiliary": AUXILIARY_WEIGHT},
        )

    Source: He et al. 2018, arXiv 1812.01187, section 6.2; Long et al. 2015, arXiv 1411.4038; the head is that of
    GluonCV, `gluoncv/model_zoo/fcn.py`, the weight that of its `scripts/segmentation/train.py`.
    """
    head = head_for(backbone, normalization, dropout_rate, classes)
    last = list(backbone.output.values())[-1]
    outputs = [_fcn_head(head, last, backbone.input, classes, "", classifier_activation)]
    if auxiliary:
        outputs.append(auxiliary_head(head, backbone, classes, classifier_activation))
    return segmenter(backbone, outputs, name)


def auxiliary_head(head: Head, backbone: keras.Model, classes: int, activation: Any = None) -> Any:
    """Return the logits that a head at the last stage but one gives each pixel.

    Args:
        head: Makes its layers.
        backbone: What `keras_tricks.models.backbone` returned.
        classes: Number of classes.
        activation: An activation over the classes; None for none.
    """
    maps = list(backbone.output.values())[-2]
    return _fcn_head(head, maps, backbone.input, classes, "auxiliary_", activation)


def _fcn_head(head: Head, x: Any, images: Any, classes: int, prefix: str, activation: Any) -> Any:
    x = head.convolve(x, x.shape[-1] // 4, 3, f"{prefix}head")
    x = head.drop(x, f"{prefix}dropout")
    return classify(x, images, classes, f"{prefix}predictions", activation)
