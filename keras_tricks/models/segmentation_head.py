"""What the heads of segmenters are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import keras
from keras import layers

from keras_tricks.layers import Dropout, ResizeLike, ScaledActivation, ScaledStandardizedConv2D
from keras_tricks.models.arguments import check_backbone, check_count, check_rate

Normalization = Literal["batch", "synchronized", "none"]
NORMALIZATIONS: tuple[Normalization, ...] = ("batch", "synchronized", "none")


@dataclass(frozen=True)
class Head:
    """Makes the layers of a head in the manner of its backbone.

    Args:
        normalization: `"batch"`, `"synchronized"`, or `"none"`: standardized kernels, and activations that keep the
            variance, as in NF networks.
        activation: Name of the activation where nothing normalizes.
        dropout_rate: Share of the features that dropout drops.
    """

    normalization: Normalization
    activation: str
    dropout_rate: float

    def convolve(self, x: Any, filters: int, kernel_size: int, name: str, dilation: int = 1) -> Any:
        """Convolve, normalize and activate."""
        if self.normalization == "none":
            convolve = partial(ScaledStandardizedConv2D, filters, kernel_size)
            x = convolve(padding="same", dilation_rate=dilation, name=f"{name}_conv")(x)
            return ScaledActivation(self.activation, name=f"{name}_act")(x)
        x = layers.Conv2D(
            filters,
            kernel_size,
            padding="same",
            dilation_rate=dilation,
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"{name}_conv",
        )(x)
        synchronized = self.normalization == "synchronized"
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=synchronized, name=f"{name}_bn")(x)
        return layers.Activation("relu", name=f"{name}_relu")(x)

    def drop(self, x: Any, name: str) -> Any:
        """Drop single features in training."""
        return Dropout(self.dropout_rate, name=name)(x) if self.dropout_rate else x


def head_for(backbone: keras.Model, normalization: Normalization | None, dropout_rate: float, classes: int) -> Head:
    """Return the head that suits a backbone, its arguments checked.

    Args:
        backbone: What `keras_tricks.models.backbone` returned.
        normalization: That of the head; None for that of the backbone.
        dropout_rate: Share of the features that dropout drops.
        classes: Number of classes.

    Raises:
        ValueError: If an argument is wrong.
    """
    check_backbone(backbone)
    if normalization is not None and normalization not in NORMALIZATIONS:
        raise ValueError(
            f"Expected normalization to be None or one of {', '.join(NORMALIZATIONS)}. "
            f"Received: normalization={normalization!r}"
        )
    check_rate("dropout_rate", dropout_rate)
    check_count("classes", classes)
    norms = [layer for layer in backbone.layers if isinstance(layer, layers.BatchNormalization)]
    if normalization is None:
        normalization = "none" if not norms else "synchronized" if norms[0].synchronized else "batch"
    activations = [layer.activation for layer in backbone.layers if isinstance(layer, ScaledActivation)]
    return Head(normalization, activations[-1] if activations else "relu", dropout_rate)


def classify(x: Any, images: Any, classes: int, name: str, activation: Any = None) -> Any:
    """Return the logits of each pixel, or what an activation makes of them.

    Args:
        x: Feature maps.
        images: The images, for their size.
        classes: Number of classes.
        name: Name of the last convolution.
        activation: An activation over the classes; None for none.
    """
    # In the type of the weights, as in the classifiers: float32 under mixed precision.
    dtype = keras.config.dtype_policy().variable_dtype
    initializer = keras.initializers.RandomNormal(stddev=0.01)
    x = layers.Conv2D(classes, 1, kernel_initializer=initializer, dtype=dtype, name=name)(x)
    x = ResizeLike(dtype=dtype, name=f"{name}_resized")([x, images])
    return x if activation is None else layers.Activation(activation, dtype=dtype, name=f"{name}_activation")(x)


def prediction_model(segmenter: keras.Model) -> keras.Model:
    """Return a segmenter without its auxiliary head, for evaluation, prediction and export.

    Args:
        segmenter: What `FCN` or `DeepLabV3Plus` returned. The layers are shared.

    Returns:
        A `keras.Model` with one output, `"predictions"`; the segmenter itself if it has no other.

    Example:

        prediction_model(FCN(backbone("resnet18", output_stride=8), classes=32)).predict(images)
    """
    if not isinstance(segmenter.output, dict):
        return segmenter
    return keras.Model(segmenter.input, segmenter.output["predictions"], name=segmenter.name)


def segmenter(backbone: keras.Model, outputs: Sequence[Any], name: str) -> keras.Model:
    """Return the model of one output, or of two by their names.

    Args:
        backbone: Where the images go in.
        outputs: Those of the head, and of the auxiliary head if there is one.
        name: Name of the model.
    """
    named = dict(zip(("predictions", "auxiliary"), outputs, strict=False))
    return keras.Model(backbone.input, named if len(outputs) > 1 else outputs[0], name=name)
