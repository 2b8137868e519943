"""The loss of RetinaNet: focal loss of the classes, smooth L1 loss of the boxes."""

from __future__ import annotations

from numbers import Real
from typing import Any

import keras
from keras import ops

from keras_tricks.models.arguments import check_count, check_rate
from keras_tricks.models.detection import anchors

MATCHED_FROM = 0.5
BACKGROUND_BELOW = 0.4

_BACKGROUND, _BETWEEN, _MATCHED = -1, -2, 1


@keras.saving.register_keras_serializable(package="keras_tricks")
class RetinaNetLoss(keras.losses.Loss):
    """Compare the outputs of `models.RetinaNet` with the boxes of the images.

    An anchor is matched to the box that it overlaps most, if their intersection over union is at least 0.5; below 0.4
    it is background, and in between its classes do not count. A box that overlaps no anchor by so much is not learnt.
    With the probability `p` that a class has by its logit, and `q = p` where the anchor is matched to a box of the
    class, `q = 1 - p` elsewhere, a class of an anchor has the loss

        -alpha * (1 - q)**gamma * log(q)

    with `1 - alpha` for `alpha` where the anchor is not of the class. With the smoothing `e`, which moves the target
    `y` of 0 or 1 to `y * (1 - e) + e / 2`, the cross-entropy `-log(q)` becomes that of this target, and the factors
    before it stay. The boxes of matched anchors have the smooth L1 loss of their offsets: of the centres, divided
    by width and height of the anchor, and of the logarithms of width and height.

    The loss of an image is the sum over its anchors divided by the number of matched ones, at least 1. Each image is
    divided by its own number, so that replicas together give what one device gives. An image without a box has the
    loss of the background alone.

    The weight of a box, which mixup gives it, multiplies both losses of the anchors that are matched to it, and changes
    neither what is matched nor the number: at a weight of 0 these anchors are neither the box nor background.
    (GluonCV's YOLOv3 weights the positive anchors in the same way, and makes those of the weight 0 background;
    `data.detection.DetectionMixUp` leaves their boxes out.)

    Args:
        classes: Number of classes.
        image_size: Side of the square images in pixels, a multiple of 32.
        alpha: Weight of an anchor's class against those that it is not of, in (0, 1). Defaults to 0.25.
        gamma: How much less classes count that are told apart already, at least 0. Defaults to 2.
        beta: The difference of an offset up to which the loss of boxes is quadratic, above 0. Defaults to 0.11, as in
            the published code.
        label_smoothing: The smoothing `e`, in [0, 1). Defaults to 0.
        box_weight: What the loss of the boxes is multiplied by, at least 0. Defaults to 1.
        anchor_size: As of `models.anchors`. Defaults to 4.
        name: Name of the loss.
        reduction: How the losses of the images become one number, as of every Keras loss.
        dtype: Type of the result; the loss computes in float32 at least.

    Shapes: targets `(batch, places, 6)`: the left, top, right and bottom of a box in pixels, its label, below 0 in a
    place without a box, and its weight; predictions `(batch, anchors, 4 + classes)`, losses `(batch,)`. Where a target
    is not finite, or a label is no class, the loss of the image is NaN.

    Raises:
        ValueError: If an argument is out of range.
        ImportError: If keras-hub is not installed.

    Example:

        model.compile("sgd", loss=RetinaNetLoss(classes=20, image_size=512, label_smoothing=0.1))

    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, arXiv 1708.02002, sections 3.2 and 4.1, with `beta`
    of its code, Detectron; Ren et al. 2015, arXiv 1506.01497, section 3.1.2, for the offsets; Tan et al. 2020,
    EfficientDet, arXiv 1911.09070, whose code smooths labels so; Zhang et al. 2019, arXiv 1902.04103, section 3.1, for
    the weights.
    """

    def __init__(
        self,
        classes: int,
        image_size: int,
        alpha: float = 0.25,
        gamma: float = 2.0,
        beta: float = 0.11,
        label_smoothing: float = 0.0,
        box_weight: float = 1.0,
        anchor_size: float = 4.0,
        name: str = "retinanet_loss",
        reduction: str = "sum_over_batch_size",
        dtype: Any = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        check_count("classes", classes)
        for argument, value, is_in_range, expected in (
            ("alpha", alpha, lambda number: 0 < number < 1, "in (0, 1)"),
            ("gamma", gamma, lambda number: 0 <= number < float("inf"), "of at least 0"),
            ("beta", beta, lambda number: 0 < number < float("inf"), "above 0"),
            ("box_weight", box_weight, lambda number: 0 <= number < float("inf"), "of at least 0"),
        ):
            if isinstance(value, bool) or not isinstance(value, Real) or not is_in_range(value):
                raise ValueError(f"Expected {argument} to be a number {expected}. Received: {argument}={value!r}")
        check_rate("label_smoothing", label_smoothing)
        from keras_tricks.models import hub

        self.anchors = anchors(image_size, anchor_size)
        # In float32 also under mixed precision, in which an overlap would be rounded.
        self._matcher = hub.BoxMatcher(
            [BACKGROUND_BELOW, MATCHED_FROM], [_BACKGROUND, _BETWEEN, _MATCHED], dtype="float32"
        )
        self.classes = int(classes)
        self.image_size = int(image_size)
        self.alpha = float(alpha)
        self.gamma = float(gamma)
        self.beta = float(beta)
        self.label_smoothing = float(label_smoothing)
        self.box_weight = float(box_weight)
        self.anchor_size = float(anchor_size)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each image."""
        dtype = keras.backend.result_type(y_pred.dtype, "float32")
        predictions = ops.cast(y_pred, dtype)
        targets = ops.cast(y_true, dtype)
        valid = ops.all(ops.isfinite(targets) & (targets[..., 4:5] < self.classes), axis=(1, 2))
        own, kinds = self._matched(targets)
        matched = ops.cast(kinds == _MATCHED, dtype)
        counted = ops.cast(kinds != _BETWEEN, dtype)
        weights = matched * own[..., 5] + (counted - matched)
        is_own = matched[..., None] * ops.cast(own[..., 4:5] == ops.arange(self.classes, dtype=dtype), dtype)
        of_classes = weights[..., None] * self._focal(predictions[..., 4:], is_own)
        offsets = keras.utils.bounding_boxes.encode_box_to_deltas(
            self.anchors, own[..., :4], anchor_format="xyxy", box_format="xyxy", encoding_format="center_xywh"
        )
        of_boxes = (weights * matched)[..., None] * self._smooth_l1(predictions[..., :4] - ops.cast(offsets, dtype))
        total = ops.sum(of_classes, axis=(1, 2)) + self.box_weight * ops.sum(of_boxes, axis=(1, 2))
        losses = total / ops.maximum(ops.sum(matched, axis=1), 1)
        return ops.where(valid, losses, ops.full_like(losses, float("nan")))

    def _matched(self, targets: Any) -> tuple[Any, Any]:
        """Return the target (batch, anchors, 6) that each anchor overlaps most, and how much it does (batch, anchors).

        Places without a box lie where no anchor is. There is always one, as an index wants something to point at.
        """
        nowhere = float(self.anchors.min()) - 2
        targets = ops.pad(targets, [[0, 0], [0, 1], [0, 0]], constant_values=-1)
        absent = ops.reshape(ops.array([nowhere, nowhere, nowhere + 1, nowhere + 1], targets.dtype), (1, 1, 4))
        boxes = ops.where(targets[..., 4:5] >= 0, targets[..., :4], absent)
        overlaps = keras.utils.bounding_boxes.compute_iou(self.anchors, boxes, "xyxy")
        places, kinds = self._matcher(overlaps)
        targets = ops.concatenate([boxes, targets[..., 4:]], axis=-1)
        return ops.take_along_axis(targets, places[..., None], axis=1), kinds

    def _focal(self, logits: Any, is_own: Any) -> Any:
        smoothed = is_own * (1 - self.label_smoothing) + self.label_smoothing / 2
        crossentropy = ops.relu(logits) - logits * smoothed + ops.softplus(-ops.abs(logits))
        log_missed = ops.log_sigmoid(logits * (1 - 2 * is_own))
        balance = self.alpha * is_own + (1 - self.alpha) * (1 - is_own)
        return balance * ops.exp(self.gamma * log_missed) * crossentropy

    def _smooth_l1(self, differences: Any) -> Any:
        sizes = ops.abs(differences)
        quadratic = ops.minimum(sizes, self.beta)
        return quadratic * (sizes - quadratic / 2) / self.beta

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "classes": self.classes,
            "image_size": self.image_size,
            "alpha": self.alpha,
            "gamma": self.gamma,
            "beta": self.beta,
            "label_smoothing": self.label_smoothing,
            "box_weight": self.box_weight,
            "anchor_size": self.anchor_size,
        }
