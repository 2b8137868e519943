"""What every classification model ends in, and the weights that it begins with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from keras_tricks.layers import Dropout
from keras_tricks.model_facts import ModelFacts
from keras_tricks.weights.imagenet import load_imagenet_weights


def finish_model(
    inputs: Any,
    maps: Any,
    facts: ModelFacts,
    *,
    name: str,
    weights: str | Path | None,
    include_top: bool,
    pooling: str | None,
    classes: int,
    classifier_activation: Any,
    dropout_rate: float = 0.0,
    kernel_initializer: Any = "glorot_uniform",
) -> keras.Model:
    """Return the model that ends in a classifier, in pooled features or in its last feature maps, with its weights.

    Args:
        inputs: The images.
        maps: The last feature maps.
        facts: The model that is built.
        name: Name of the model.
        weights: None, `"imagenet"` or the path of a file, checked by `check_arguments`.
        include_top: Whether it ends in global average pooling, dropout and a classifier.
        pooling: Without the top: None, `"avg"` or `"max"`.
        classes: Number of classes.
        classifier_activation: Activation of the classifier; None returns logits.
        dropout_rate: Share of the features dropped before the classifier.
        kernel_initializer: That of the classifier.
    """
    if include_top:
        outputs = _classify(maps, classes, classifier_activation, dropout_rate, kernel_initializer)
    else:
        outputs = _pool(maps, pooling)
    model = keras.Model(inputs, outputs, name=name)
    if weights == "imagenet":
        load_imagenet_weights(model, facts.builder)
    elif weights is not None:
        model.load_weights(weights)
    return model


def _pool(maps: Any, pooling: str | None) -> Any:
    if pooling == "avg":
        return keras.layers.GlobalAveragePooling2D(name="pool")(maps)
    if pooling == "max":
        return keras.layers.GlobalMaxPooling2D(name="pool")(maps)
    return maps


def _classify(maps: Any, classes: int, activation: Any, dropout_rate: float, kernel_initializer: Any) -> Any:
    x = keras.layers.GlobalAveragePooling2D(name="pool")(maps)
    if dropout_rate > 0:
        x = Dropout(dropout_rate, name="dropout")(x)
    # The classifier computes in the type of its weights: float32 under mixed precision.
    dtype = keras.config.dtype_policy().variable_dtype
    x = keras.layers.Dense(classes, kernel_initializer=kernel_initializer, dtype=dtype, name="predictions")(x)
    if activation is None:
        return x
    return keras.layers.Activation(activation, dtype=dtype, name="probabilities")(x)
