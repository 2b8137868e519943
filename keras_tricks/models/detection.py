"""From the outputs of a detector to boxes: anchors, decoding and suppression, with the layers of keras-hub."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks.models.arguments import check_count

LEVELS = (3, 4, 5, 6, 7)
"""The levels of the pyramid: maps of level 3 have an eighth of the height and width of the images."""

SCALES = 3
ASPECT_RATIOS = (0.5, 1.0, 2.0)
ANCHORS_OF_A_PLACE = SCALES * len(ASPECT_RATIOS)
"""Anchors at each place of each level."""

CANDIDATES = 1000
"""How many detections of each level of an image are looked at, those of the highest scores."""

SIZE_MULTIPLE = 32


class NotFiniteError(ValueError):
    """What a detector says of an image is not finite."""


def check_image_size(image_size: int) -> None:
    """Raise an error if a detector cannot take images of this size.

    Args:
        image_size: Side of the square images, in pixels.

    Raises:
        ValueError: If it is not a positive multiple of 32.
    """
    if isinstance(image_size, bool) or not isinstance(image_size, Integral) or image_size < 1 or image_size % 32:
        raise ValueError(
            f"Expected image_size to be a multiple of {SIZE_MULTIPLE}, so that each level of the pyramid has twice the "
            f"size of the next. Received: image_size={image_size!r}"
        )


def anchors(image_size: int, anchor_size: float = 4.0) -> np.ndarray:
    """Return the boxes that a detector starts from, in the order of its outputs.

    A level `l` has anchors of three scales, `anchor_size * 2**l` times 1, 2**(1/3) and 2**(2/3), in whole pixels, and
    of three aspect ratios, at every place. With the published size of 4 the smallest have the area of 32x32 pixels,
    whatever the size of the images: objects of small images need smaller ones.

    Args:
        image_size: Side of the square images in pixels, a multiple of 32.
        anchor_size: Side of the smallest anchor of a level as a multiple of the stride of the level. Defaults to 4, as
            published.

    Returns:
        A float32 array (anchors, 4), the left, top, right and bottom in pixels.

    Raises:
        ValueError: If an argument is out of range.
        ImportError: If keras-hub is not installed.

    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, arXiv 1708.02002, section 4.
    """
    return np.concatenate(_anchors_by_level(image_size, anchor_size))


def _anchors_by_level(image_size: int, anchor_size: float) -> list[np.ndarray]:
    from keras_tricks.models import hub

    check_image_size(image_size)
    # Less than a pixel is rounded to nothing.
    least = 2.0 ** (1 - LEVELS[0])
    if isinstance(anchor_size, bool) or not isinstance(anchor_size, Real) or not least <= anchor_size < float("inf"):
        raise ValueError(f"Expected anchor_size to be at least {least}. Received: anchor_size={anchor_size!r}")
    generator = hub.AnchorGenerator("xyxy", LEVELS[0], LEVELS[-1], SCALES, list(ASPECT_RATIOS), float(anchor_size))
    # Of the images it looks at the shape alone.
    levels = generator(np.zeros((1, image_size, image_size, 1), "float32"))
    return [ops.convert_to_numpy(each).astype("float32") for each in levels.values()]


@keras.saving.register_keras_serializable(package="keras_tricks")
class DecodeBoxes(keras.layers.Layer):
    """Make boxes and scores of what a detector returns, one of each for every anchor, before suppression.

    Args:
        image_size: Side of the square images in pixels, a multiple of 32.
        anchor_size: As of `anchors`. Defaults to 4.
        **kwargs: Arguments of every layer. It computes in float32 if no `dtype` is given.

    Shapes: from `(batch, anchors, 4 + classes)` to a dictionary of `"boxes"` `(batch, anchors, 4)`, the left, top,
    right and bottom in pixels, cut off at the borders of the image, and `"scores"` `(batch, anchors, classes)`, the
    probability of each class.

    Raises:
        ValueError: If an argument is out of range.
        ImportError: If keras-hub is not installed.

    Example:

        model = RetinaNet(backbone("resnet50"), classes=20, image_size=512)
        decoded = keras.Model(model.input, DecodeBoxes(512)(model.output))
    """

    def __init__(self, image_size: int, anchor_size: float = 4.0, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.anchors = anchors(image_size, anchor_size)
        self.image_size = int(image_size)
        self.anchor_size = float(anchor_size)
        self.built = True

    def call(self, inputs: Any) -> dict[str, Any]:
        """Return boxes and scores."""
        boxes = keras.utils.bounding_boxes.decode_deltas_to_boxes(
            self.anchors, inputs[..., :4], anchor_format="xyxy", box_format="xyxy", encoded_format="center_xywh"
        )
        return {"boxes": ops.clip(boxes, 0.0, float(self.image_size)), "scores": ops.sigmoid(inputs[..., 4:])}

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> dict[str, tuple[Any, ...]]:
        """Return the shapes of boxes and scores."""
        *places, channels = input_shape
        return {"boxes": (*places, 4), "scores": (*places, channels - 4)}

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"image_size": self.image_size, "anchor_size": self.anchor_size}


def detections(
    outputs: Any,
    image_size: int,
    classes: int,
    *,
    anchor_size: float = 4.0,
    confidence: float = 0.05,
    overlap: float = 0.5,
    most: int = 100,
) -> dict[str, np.ndarray]:
    """Return what a detector has found in images, as `metrics.DetectionMetrics.add` takes it.

    Of each level of an image the 1000 highest scores are looked at. A detection goes if one of the same class and a
    higher score overlaps it more; those of different classes leave each other alone.

    Args:
        outputs: What the detector returns, `(batch, anchors, 4 + classes)`.
        image_size: Side of the square images in pixels, a multiple of 32.
        classes: Number of classes.
        anchor_size: As of `anchors`. Defaults to 4.
        confidence: The score that a detection must exceed, in [0, 1). Defaults to 0.05.
        overlap: The intersection over union from which of two detections one goes, in (0, 1]. Defaults to 0.5.
        most: Detections of an image at most, over all classes. Defaults to 100.

    Returns:
        `boxes` (batch, most, 4), the left, top, right and bottom in pixels, `labels` (batch, most) and `scores`
        (batch, most), the highest first. Places without a detection hold -1.

    Raises:
        ValueError: If an argument is out of range.
        NotFiniteError: If an output is not finite, a `ValueError`.
        ImportError: If keras-hub is not installed.

    Example:

        metrics.add(detections(model(images, training=False), 512, classes=20), targets)

    Source: Lin et al. 2017, arXiv 1708.02002, section 4.1.
    """
    from keras_tricks.models import hub

    check_count("classes", classes)
    check_count("most", most)
    if not 0 <= confidence < 1:
        raise ValueError(f"Expected confidence to be in [0, 1). Received: confidence={confidence!r}")
    if not 0 < overlap <= 1:
        raise ValueError(f"Expected overlap to be in (0, 1]. Received: overlap={overlap!r}")
    levels = _anchors_by_level(image_size, anchor_size)
    expected = (sum(len(level) for level in levels), 4 + classes)
    outputs = ops.convert_to_numpy(outputs)
    if outputs.ndim != 3 or outputs.shape[1:] != expected:
        raise ValueError(
            f"Expected outputs of the shape (batch, {expected[0]}, {expected[1]}) for {classes} classes in images of "
            f"{image_size} pixels. Received: a shape of {outputs.shape}"
        )
    if not np.isfinite(outputs).all():
        raise NotFiniteError(f"Expected finite outputs. Received: {outputs[~np.isfinite(outputs)][0]}")
    decoded = DecodeBoxes(image_size, anchor_size)(outputs)
    boxes, labels, scores = _candidates(decoded, [len(level) for level in levels], classes)
    # The suppression knows no classes: boxes of different ones are put where they cannot overlap.
    apart = ops.cast(labels, "float32")[..., None] * (image_size + 1.0)
    suppress = hub.NonMaxSuppression(
        "xyxy",
        from_logits=False,
        iou_threshold=overlap,
        confidence_threshold=confidence,
        max_detections=most,
        dtype="float32",
    )
    found = suppress(boxes + apart, ops.one_hot(labels, classes) * scores[..., None])
    kept = ops.convert_to_numpy(found["labels"]).astype("int32")
    shifts = np.maximum(kept, 0)[..., None] * (image_size + 1.0)
    return {
        "boxes": (ops.convert_to_numpy(found["boxes"]) - shifts).astype("float32"),
        "labels": kept,
        "scores": ops.convert_to_numpy(found["confidence"]),
    }


def _candidates(decoded: dict[str, Any], counts: list[int], classes: int) -> tuple[Any, Any, Any]:
    """Return boxes, labels and scores of the pairs of an anchor and a class with the highest scores of each level."""
    boxes, labels, scores = [], [], []
    start = 0
    for count in counts:
        of_level = decoded["scores"][:, start : start + count]
        pairs = ops.reshape(of_level, (-1, count * classes))
        best, places = ops.top_k(pairs, min(CANDIDATES, count * classes))
        places = ops.cast(places, "int32")
        boxes.append(ops.take_along_axis(decoded["boxes"], (start + places // classes)[..., None], axis=1))
        labels.append(places % classes)
        scores.append(best)
        start += count
    return ops.concatenate(boxes, axis=1), ops.concatenate(labels, axis=1), ops.concatenate(scores, axis=1)
