"""Give a model the tensors of a file: all of them, or none and one error that lists what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_tricks.weights.structure import HEAD


class Origin(NamedTuple):
    """Where in a file the value of a weight is.

    Args:
        name: Name of the tensor in the file.
        convert: Brings it to the axes of our weight; raises a ValueError where it cannot.
    """

    name: str
    convert: Callable[[np.ndarray], np.ndarray] = np.asarray


def weights_of(model: keras.Model) -> dict[str, Any]:
    """Return the weights of a model, the states of random generators left out, by `layer/weight`."""
    return {
        # A name scope that the model was built in stands before the name of the layer.
        layer.name + weight.path.rpartition(layer.name)[2]: weight
        for layer in model.layers
        for weight in layer.weights
    }


def assign(
    model: keras.Model,
    origins: Mapping[str, Origin],
    tensors: Mapping[str, np.ndarray],
    *,
    head: bool,
    title: str,
    reason: str = "",
) -> None:
    """Give the weights of a model the values of a file.

    Args:
        model: One of ours.
        origins: Where each value is, by the path of our weight, such as `"stem_conv1/kernel"`. The classifier
            is there also if the model has none.
        tensors: What the file holds.
        head: Whether the classifier is loaded too, if the model has one.
        title: What the file is, for the error.
        reason: Why nothing can be loaded, as a sentence for the error; empty where nothing is known against it.

    Raises:
        ValueError: If there is a reason, or a tensor is missing, left over or of another shape. The error
            lists all of them, and the model is unchanged.
    """
    weights = {path: weight for path, weight in weights_of(model).items() if head or not _in_head(path)}
    values, problems = {}, []
    for path, weight in weights.items():
        name, convert = origins[path]
        if name not in tensors:
            problems.append((path, f"missing: {name} for {path}"))
            continue
        values[path], shape = _converted(tensors[name], convert)
        if shape != tuple(weight.shape):
            problems.append((path, f"shape of {name} for {path}: {shape} instead of {tuple(weight.shape)}"))
    # A classifier that nobody wants is not left over.
    known = {origin.name for path, origin in origins.items() if path in weights or _in_head(path)}
    problems += [("", f"left over: {name}") for name in tensors if name not in known]
    if problems and not reason and all(_in_head(path) for path, _ in problems):
        reason = "head=False loads all but the classifier."
    if problems or reason:
        raise ValueError(
            f"Expected {title} to fit the model {model.name}. {reason}{' ' if reason else ''}"
            f"Received: {'; '.join(problem for _, problem in problems) or 'tensors of the right names and shapes'}"
        )
    for path, weight in weights.items():
        value = values[path]
        # The backends take no type that is narrower than the weight, such as bfloat16, from NumPy.
        weight.assign(value if value.dtype == np.float64 else np.asarray(value, "float32"))


def _in_head(path: str) -> bool:
    return path.startswith(f"{HEAD}/")


def _converted(tensor: np.ndarray, convert: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return a tensor on our axes and its shape; as it is where it has not the axes to convert."""
    try:
        value = convert(tensor)
    except ValueError:
        value = tensor
    return value, tuple(value.shape)
