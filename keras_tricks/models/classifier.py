"""What every model ends in: a classifier, pooled features, or the last feature maps."""

from __future__ import annotations

from typing import Any

import keras

from keras_tricks.layers import Dropout


def end_in_classifier(
    x: Any,
    *,
    include_top: bool,
    pooling: str | None,
    classes: int,
    classifier_activation: Any,
    dropout_rate: float = 0.0,
    kernel_initializer: Any = "glorot_uniform",
) -> Any:
    """Return the output of a model.

    Args:
        x: The last feature maps.
        include_top: Whether it ends in global average pooling, dropout and a classifier.
        pooling: Without the top: None, `"avg"` or `"max"`.
        classes: Number of classes.
        classifier_activation: Activation of the classifier; None returns logits.
        dropout_rate: Share of the features dropped before the classifier.
        kernel_initializer: That of the classifier.
    """
    if not include_top:
        if pooling == "avg":
            return keras.layers.GlobalAveragePooling2D(name="pool")(x)
        if pooling == "max":
            return keras.layers.GlobalMaxPooling2D(name="pool")(x)
        return x
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    if dropout_rate > 0:
        x = Dropout(dropout_rate, name="dropout")(x)
    # The classifier computes in the type of its weights: float32 under mixed precision.
    dtype = keras.config.dtype_policy().variable_dtype
    x = keras.layers.Dense(classes, kernel_initializer=kernel_initializer, dtype=dtype, name="predictions")(x)
    if classifier_activation is None:
        return x
    return keras.layers.Activation(classifier_activation, dtype=dtype, name="probabilities")(x)
