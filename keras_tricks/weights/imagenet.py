"""The ImageNet weights of `keras.applications` for our models of the same name."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks.weights.applications_names import our_names
from keras_tricks.weights.structure import HEAD

IMAGENET_MEAN = (123.68, 116.779, 103.939)
IMAGENET_STD = (58.393, 57.12, 57.375)
"""Mean and standard deviation of red, green and blue, for pixels from 0 to 255."""

APPLICATIONS = {"inception_v3": "InceptionV3", "mobilenet": "MobileNet"}
"""Their builders in `keras.applications`, by family, for those that need no more to be told."""


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
    """Load the ImageNet weights that Keras publishes into one of our models.

    The weights are downloaded by `keras.applications` at the first call, and cached there.

    Args:
        model: An `InceptionV3`, a `MobileNet`, or a `ResNet50`, `ResNet101` or `ResNet152` of variant A, with or
            without its top. Its weights are overwritten.
        architecture: Name of the builder in `keras.applications`, such as `"ResNet50"`.
        head: Whether the classifier is loaded too, if the model has one.

    Raises:
        ValueError: If the weights do not fit the model; it then is unchanged.
    """
    include_top = head and any(layer.name == HEAD for layer in model.layers)
    published = getattr(keras.applications, architecture)
    copy_applications_weights(published(weights="imagenet", include_top=include_top), model, head=head)


def copy_applications_weights(source: keras.Model, target: keras.Model, head: bool = True) -> None:
    """Copy the weights of a model of `keras.applications` into ours, so that both say the same.

    What differs is folded in:

    - The convolutions of their ResNets have biases: each is subtracted from the moving mean of the batch
      normalization behind it.
    - The epsilon of their ResNets is 1.001e-5: the difference is added to the moving variances.
    - Their ResNets take BGR images without division by a standard deviation: the input channels of the first
      convolution are reversed and scaled, so that the target takes `imagenet_preprocessing`. This
      makes that kernel about 57 times larger; fine-tuning barely moves it.
    - Their Inception-V3 and MobileNet take pixels from -1 to 1: the first convolution is scaled, and what it makes of
      the shift goes into the moving mean behind it. MobileNet pads in that convolution. Its zeros there, in the last
      row and column of images of even sizes, stand for the mean color of ImageNet instead of grey.

    Args:
        source: A model made by `keras.applications.InceptionV3`, `MobileNet` (of width 1), `ResNet50`, `ResNet101`
            or `ResNet152`.
        target: Our model of the same name, a ResNet of variant A. Its weights are overwritten.
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
        variant = " (variant A)" if any(name.startswith("stage") for name in targets) else ""
        raise ValueError(
            f"Expected the weights of {source.name} to fit {target.name}{variant}. Received: {'; '.join(problems)}"
        )
    for name, arrays in values.items():
        targets[name].set_weights(arrays)


def _converted(source: keras.Model, targets: dict[str, keras.layers.Layer]) -> dict[str, list[np.ndarray]]:
    """Return the source's weights under our layer names, with the differences folded in."""
    names = our_names(source, targets)
    values: dict[str, list[np.ndarray]] = {}
    shifts: dict[str, np.ndarray] = {}
    norms = []
    for layer in source.layers:
        if not layer.weights:
            continue
        name, arrays = names[layer.name], layer.get_weights()
        if isinstance(layer, keras.layers.BatchNormalization):
            norms.append((name, layer))
        elif name == HEAD:
            # The classifier of their MobileNet is a 1x1 convolution.
            arrays = [arrays[0].reshape(arrays[0].shape[-2:]), *arrays[1:]]
        elif isinstance(layer, keras.layers.Conv2D):
            kernel, shift = arrays[0], arrays[1] if layer.use_bias else np.zeros((), arrays[0].dtype)
            if name == "stem_conv1" and kernel.shape[2] == 3:
                kernel, offset = _for_normalized_images(kernel, is_resnet=layer.name == "conv1_conv")
                shift = shift + offset
            arrays, shifts[name.replace("conv", "bn")] = [kernel], shift
        values[name] = arrays
    for name, layer in norms:
        weights = {weight.name: ops.convert_to_numpy(weight) for weight in layer.weights}
        # An unknown layer is reported by _mismatches.
        epsilon = targets[name].epsilon if name in targets else layer.epsilon
        weights["moving_mean"] = weights["moving_mean"] - shifts.get(name, 0)
        weights["moving_variance"] = weights["moving_variance"] + (layer.epsilon - epsilon)
        values[name] = list(weights.values())
    return values


def _for_normalized_images(kernel: np.ndarray, is_resnet: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the first kernel for the images of `imagenet_preprocessing`, and what it leaves to add to its outputs."""
    mean, std = (np.asarray(each, kernel.dtype)[:, np.newaxis] for each in (IMAGENET_MEAN, IMAGENET_STD))
    if is_resnet:
        return kernel[:, :, ::-1] * std, np.zeros((), kernel.dtype)
    return kernel * (std / 127.5), (kernel * (mean / 127.5 - 1)).sum((0, 1, 2))


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
