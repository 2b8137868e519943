"""Cross-entropy of each pixel's class, with label smoothing and pixels that do not count."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_tricks")
class PixelCrossentropy(keras.losses.Loss):
    """Compare class logits of each pixel with its class.

    With the smoothing `e`, the `K` classes and the probabilities `p`, a pixel of the class `y` has the loss

        -(1 - e) * log(p[y]) - e / K * sum(log(p))

    and an ignored one has none. The loss of an image is the mean over all its pixels, the ignored ones among them:
    every pixel has the same weight in every image, and replicas together give what one device gives.
    `keras.losses.SparseCategoricalCrossentropy(ignore_class=...)`, which has no smoothing, divides by the pixels that
    count in the batch of each replica.

    Args:
        label_smoothing: The share `e` of a label that goes to all classes alike, in [0, 1). Defaults to 0.
        ignore_class: The label of pixels that do not count. Defaults to 255.
        from_logits: Whether predictions are logits; else they are probabilities. Defaults to True.
        name: Name of the loss.
        reduction: How the losses of the images become one number, as of every Keras loss.
        dtype: Type of the result; the loss computes in float32 at least.

    Shapes: labels `(batch, height, width)`, predictions `(batch, height, width, classes)`, losses `(batch,)`.

    Raises:
        ValueError: If an argument is out of range.

    Example:

        model.compile("sgd", loss=PixelCrossentropy(label_smoothing=0.1))

    Source: He et al. 2018, arXiv 1812.01187, section 5.2; ignored pixels count in the mean as by default in
    MMSegmentation.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        ignore_class: int = 255,
        from_logits: bool = True,
        name: str = "pixel_crossentropy",
        reduction: str = "sum_over_batch_size",
        dtype: Any = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if isinstance(label_smoothing, bool) or not isinstance(label_smoothing, Real) or not 0 <= label_smoothing < 1:
            raise ValueError(f"Expected a number in [0, 1). Received: label_smoothing={label_smoothing!r}")
        if isinstance(ignore_class, bool) or not isinstance(ignore_class, Integral):
            raise ValueError(f"Expected an integer. Received: ignore_class={ignore_class!r}")
        self.label_smoothing = float(label_smoothing)
        self.ignore_class = int(ignore_class)
        self.from_logits = from_logits

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each image."""
        labels = ops.cast(y_true, "int32")
        predictions = ops.cast(y_pred, keras.backend.result_type(y_pred.dtype, "float32"))
        if self.from_logits:
            logarithms = ops.log_softmax(predictions)
        else:
            logarithms = ops.log(ops.maximum(predictions, keras.backend.epsilon()))
        counts = labels != self.ignore_class
        own = ops.take_along_axis(logarithms, ops.where(counts, labels, 0)[..., None], axis=-1)[..., 0]
        losses = -own
        if self.label_smoothing:
            losses = (1 - self.label_smoothing) * losses - self.label_smoothing * ops.mean(logarithms, axis=-1)
        losses = ops.where(counts, losses, ops.zeros_like(losses))
        return ops.mean(ops.reshape(losses, (ops.shape(losses)[0], -1)), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "label_smoothing": self.label_smoothing,
            "ignore_class": self.ignore_class,
            "from_logits": self.from_logits,
        }
