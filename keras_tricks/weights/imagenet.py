"""The ImageNet weights of `keras.applications` for our ResNets of variant A."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks.weights.structure import HEAD

IMAGENET_MEAN = (123.68, 116.779, 103.939)
IMAGENET_STD = (58.393, 57.12, 57.375)
"""Mean and standard deviation of red, green and blue, for pixels from 0 to 255."""


def imagenet_preprocessing(images: Any) -> Any:
    """Normalize images as the models with `weights="imagenet"` expect them.

    It is the normalization of "Bag of Tricks", not the one of
    `keras.applications.resnet.preprocess_input` (BGR, mean only): `copy_applications_weights` puts
    the difference into the first convolution.

    Args:
        images: RGB, pixels from 0 to 255, shape `(..., 3)`.

    Returns:
        A float tensor of the same shape: `(images - mean) / std`, channel by channel.

    Source: He et al. 2018, https://arxiv.org/abs/1812.01187, section 2.1.
    """
    images = ops.cast(images, keras.config.floatx())
    mean = ops.cast(ops.array(IMAGENET_MEAN), images.dtype)
    std = ops.cast(ops.array(IMAGENET_STD), images.dtype)
    return (images - mean) / std


def load_imagenet_weights(model: keras.Model, architecture: str, head: bool = True) -> None:
    """Load the ImageNet weights that Keras publishes into a ResNet of variant A.

    The weights are downloaded by `keras.applications` at the first call, and cached there.

    Args:
        model: A `ResNet50`, `ResNet101` or `ResNet152` of variant A, with or without its top. Its
            weights are overwritten.
        architecture: Name of the builder in `keras.applications`, such as `"ResNet50"`.
        head: Whether the classifier is loaded too, if the model has one.

    Raises:
        ValueError: If the weights do not fit the model; it then is unchanged.
    """
    include_top = head and any(layer.name == HEAD for layer in model.layers)
    published = getattr(keras.applications, architecture)
    copy_applications_weights(published(weights="imagenet", include_top=include_top), model, head=head)


def copy_applications_weights(source: keras.Model, target: keras.Model, head: bool = True) -> None:
    """Copy the weights of a `keras.applications` ResNet into ours, so that both say the same.

    Three things differ and are folded in:

    - Their convolutions have biases: each is subtracted from the moving mean of the batch
      normalization behind it.
    - Their epsilon is 1.001e-5: the difference is added to the moving variances.
    - They take BGR images without division by a standard deviation: the input channels of the first
      convolution are reversed and scaled, so that the target takes `imagenet_preprocessing`. This
      makes that kernel about 57 times larger; fine-tuning barely moves it.

    Args:
        source: A model made by `keras.applications.ResNet50`, `ResNet101` or `ResNet152`.
        target: Our model of the same depth, of variant A. Its weights are overwritten.
        head: Whether the classifier is copied too.

    Raises:
        ValueError: If any layer is missing, left over or of another shape; all of them are listed,
            and the target is unchanged.

    Example:
        >>> source = keras.applications.ResNet50(weights="my.weights.h5")
        >>> copy_applications_weights(source, keras_tricks.models.ResNet50())
    """
    targets = {layer.name: layer for layer in target.layers if layer.weights and (head or layer.name != HEAD)}
    values = _converted(source, targets)
    if not head:
        values.pop(HEAD, None)
    problems = _mismatches(values, targets)
    if problems:
        raise ValueError(
            f"Expected the weights of {source.name} to fit {target.name} (variant A). Received: {'; '.join(problems)}"
        )
    for name, arrays in values.items():
        targets[name].set_weights(arrays)


def _target_name(name: str) -> str:
    """Return our name of a layer of `keras.applications`; an unknown name stays as it is."""
    stem = re.fullmatch(r"conv1_(conv|bn)", name)
    if stem:
        return f"stem_{stem[1]}1"
    unit = re.fullmatch(r"conv(\d+)_block(\d+)_(\d+)_(conv|bn)", name)
    if not unit:
        return name
    stage, block, index, kind = int(unit[1]) - 1, unit[2], unit[3], unit[4]
    place = f"shortcut_{kind}" if index == "0" else f"{kind}{index}"
    return f"stage{stage}_block{block}_{place}"


def _converted(source: keras.Model, targets: dict[str, keras.layers.Layer]) -> dict[str, list[np.ndarray]]:
    """Return the source's weights under our layer names, with the differences folded in."""
    values = {}
    biases = {
        layer.name: ops.convert_to_numpy(layer.bias)
        for layer in source.layers
        if isinstance(layer, keras.layers.Conv2D) and layer.use_bias
    }
    for layer in source.layers:
        if not layer.weights:
            continue
        name = _target_name(layer.name)
        arrays = layer.get_weights()
        if isinstance(layer, keras.layers.Conv2D):
            arrays = arrays[:1]
            if name == "stem_conv1" and arrays[0].shape[2] == 3:
                std = np.asarray(IMAGENET_STD, arrays[0].dtype)
                arrays = [arrays[0][:, :, ::-1] * std[:, np.newaxis]]
        elif isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = arrays
            mean = mean - biases.get(layer.name.replace("_bn", "_conv"), 0)
            # An unknown layer is reported by _mismatches.
            epsilon = targets[name].epsilon if name in targets else layer.epsilon
            arrays = [gamma, beta, mean, variance + (layer.epsilon - epsilon)]
        values[name] = arrays
    return values


def _mismatches(values: dict[str, list[np.ndarray]], targets: dict[str, keras.layers.Layer]) -> list[str]:
    """Return a phrase for each layer that is missing, left over or of another shape."""
    problems = [f"missing: {name}" for name in targets if name not in values]
    problems += [f"left over: {name}" for name in values if name not in targets]
    for name, layer in targets.items():
        theirs = [array.shape for array in values.get(name, [])]
        ours = [tuple(weight.shape) for weight in layer.weights]
        if name in values and theirs != ours:
            problems.append(f"shapes of {name}: {theirs} instead of {ours}")
    return problems
