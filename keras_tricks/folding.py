"""Fold what is constant in inference into plain convolutions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any

import keras
import numpy as np

from keras_tricks.layers import Dropout, ScaledStandardizedConv2D, SkipInit, StochasticDepth, on_tensorflow

_IDENTITIES = (Dropout, StochasticDepth, keras.layers.Dropout, keras.layers.SpatialDropout2D)


def fold_standardization(model: keras.Model, split_groups: bool | None = None) -> keras.Model:
    """Return a copy of a model for inference, with plain convolutions that hold the standardized kernels.

    A `ScaledStandardizedConv2D` computes its kernel anew in every call, which costs most where the batch is small.
    In the copy each is a `keras.layers.Conv2D` (or `DepthwiseConv2D`) of the same name whose kernel was computed once,
    in float32. What only scales or shifts the outputs of a convolution, as `SkipInit`, `Rescaling` and
    `BatchNormalization`, goes into its kernel and bias, except under mixed precision, where it would be rounded in
    another place. A `SkipInit` elsewhere becomes a `Rescaling`; dropout and stochastic depth, which inference passes
    by, are left out. All other layers are copied with their weights, models within the model are folded too, and a
    model with nothing to fold comes back as a copy. The copy is not compiled; training it would train another network.

    Args:
        model: A built model, functional or sequential; it stays as it is.
        split_groups: Whether a grouped convolution becomes one convolution for each group, and these concatenated.
            Defaults to None, as the layer itself would compute here: on TensorFlow without a GPU, where the built-in
            grouped convolution is some 25 times slower. Converters to other formats need `True`.

    Raises:
        ValueError: If the model's layers are not known, because it is a subclass of `keras.Model` or not built.

    Example:

        fast = fold_standardization(model)
        fast.predict(images)

    Source: Brock et al. 2021, arXiv 2102.06171, section 2: the kernels are constant once training ends.
    """
    graph = functional_graph(model)
    if graph is None:
        raise ValueError(
            "Expected a built functional or sequential model: the layers of others are not known. "
            f"Received: model={model!r}"
        )
    folding = _Folding(graph, split_groups)
    folded = keras.models.clone_model(graph, clone_function=folding.replacement)
    for assign in folding.assignments:
        assign()
    return folded


def functional_graph(model: keras.Model) -> keras.Model | None:
    """Return a model over the same layers that is functional and not compiled; None if its layers are not known.

    Args:
        model: A model.
    """
    if getattr(model, "inputs", None) is None:
        return None
    # A sequential model's `input` is that of the model it stands in.
    is_sequential = isinstance(model, keras.Sequential)
    ends = (model.inputs[0], model.outputs[0]) if is_sequential else (model.input, model.output)
    return keras.Model(*ends, name=model.name)


class _Folding:
    """What becomes of each layer of one graph.

    Args:
        graph: The model.
        split_groups: As in `fold_standardization`.
    """

    def __init__(self, graph: keras.Model, split_groups: bool | None):
        self.split_groups = split_groups
        self.assignments: list[Callable[[], None]] = []
        self._operations = {operation.name: operation for operation in graph.operations}
        self._calls: dict[str, int] = {}
        self._in_training: set[str] = set()
        self._consumers: dict[str, list[str | None]] = defaultdict(list)
        self._read(graph.get_config())
        self._absorbed: dict[str, list[keras.layers.Layer]] = {}
        self._absorbers: set[str] = set()
        for name, operation in self._operations.items():
            if _is_plain(operation) or isinstance(operation, ScaledStandardizedConv2D):
                self._absorb_into(name, operation)

    def _read(self, config: dict[str, Any]) -> None:
        """Read from a model's configuration what each output goes to; the model itself is one consumer, None."""
        for layer in config["layers"]:
            self._calls[layer["name"]] = len(layer["inbound_nodes"])
            for node in layer["inbound_nodes"]:
                if node["kwargs"].get("training"):
                    self._in_training.add(layer["name"])
                for source in _sources(node):
                    self._consumers[source].append(layer["name"])
        for source in keras.tree.flatten(config["output_layers"]):
            if isinstance(source, str):
                self._consumers[source].append(None)

    def _absorb_into(self, name: str, convolution: Any) -> None:
        """Find the layers after a convolution that its kernel and bias can do the work of."""
        if convolution.compute_dtype != convolution.variable_dtype or convolution.activation not in (
            None,
            keras.activations.linear,
        ):
            return
        place, found = name, []
        while self._calls[place] == 1 and len(self._consumers[place]) == 1:
            place = self._consumers[place][0]
            follower = self._operations.get(place)
            if follower is None or self._calls[place] != 1 or place in self._in_training:
                break
            if _factor_and_shift(follower, convolution) is not None:
                found.append(follower)
                self._absorbers.add(place)
            elif not isinstance(follower, _IDENTITIES):
                break
        self._absorbed[name] = found

    def replacement(self, operation: Any) -> Callable[..., Any]:
        """Return what stands in for a layer or operation of the graph."""
        if not isinstance(operation, keras.layers.Layer):
            return operation
        name = operation.name
        if name in self._absorbers or (isinstance(operation, _IDENTITIES) and name not in self._in_training):
            return lambda x, **_: x
        if isinstance(operation, ScaledStandardizedConv2D):
            return self._plain(operation, operation.standardized_kernel())
        if self._absorbed.get(name) or (self.split_groups and _is_plain(operation) and operation.groups > 1):
            return self._plain(operation, operation.kernel)
        if isinstance(operation, SkipInit):
            scale, _ = _factor_and_shift(operation, operation)
            return keras.layers.Rescaling(float(scale), dtype=operation.dtype_policy, name=name)
        if isinstance(operation, keras.Model) and functional_graph(operation) is not None:
            return fold_standardization(operation, self.split_groups)
        copy = operation.__class__.from_config(operation.get_config())
        self.assignments.append(lambda: copy.set_weights(operation.get_weights()))
        return copy

    def _plain(self, convolution: Any, kernel: Any) -> Callable[..., Any]:
        """Return the plain form of a convolution, with all that it has absorbed."""
        kernel = keras.ops.convert_to_numpy(kernel)
        bias = np.zeros(convolution.filters, kernel.dtype)
        if convolution.bias is not None:
            bias = keras.ops.convert_to_numpy(convolution.bias)
        for follower in self._absorbed.get(convolution.name, ()):
            factor, shift = _factor_and_shift(follower, convolution)
            kernel, bias = kernel * factor, bias * factor + shift
        layers, call = _plain_layers(convolution, kernel.shape, self._splits(convolution))
        kernels, biases = (np.split(weight, len(layers), axis=-1) for weight in (kernel, bias))

        def assign() -> None:
            for layer, layer_kernel, layer_bias in zip(layers, kernels, biases, strict=True):
                layer.set_weights([layer_kernel.reshape(layer.kernel.shape), layer_bias])

        self.assignments.append(assign)
        return call

    def _splits(self, convolution: Any) -> bool:
        for choice in (self.split_groups, getattr(convolution, "split_groups", None)):
            if choice is not None:
                return choice
        return keras.backend.backend() == "tensorflow" and on_tensorflow.on_cpu()


def _is_plain(operation: Any) -> bool:
    return type(operation) is keras.layers.Conv2D


def _sources(node: Any) -> Iterator[str]:
    """Yield the name of the layer behind each tensor that a call takes, from the call's configuration."""
    if isinstance(node, dict):
        if node.get("class_name") == "__keras_tensor__":
            yield node["config"]["keras_history"][0]
        else:
            for value in node.values():
                yield from _sources(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _sources(value)


def _factor_and_shift(layer: Any, convolution: Any) -> tuple[Any, Any] | None:
    """Return what a layer multiplies the channels of a convolution by, and then adds; None if it does another thing."""
    if isinstance(layer, SkipInit):
        return np.float64(layer.skip_gain) * layer.scale, 0.0
    if type(layer) is keras.layers.Rescaling and isinstance(layer.scale, Real) and isinstance(layer.offset, Real):
        return layer.scale, layer.offset
    if type(layer) is keras.layers.BatchNormalization and _channel_axis(convolution) in (layer.axis, layer.axis - 4):
        weights = {weight.name: np.float64(keras.ops.convert_to_numpy(weight)) for weight in layer.weights}
        factor = weights.get("gamma", 1.0) / np.sqrt(weights["moving_variance"] + layer.epsilon)
        return factor, weights.get("beta", 0.0) - weights["moving_mean"] * factor
    return None


def _channel_axis(convolution: Any) -> int:
    return -1 if convolution.data_format == "channels_last" else -3


def _plain_layers(
    convolution: Any, kernel_shape: tuple[int, ...], split: bool
) -> tuple[list[keras.layers.Layer], Callable[..., Any]]:
    """Return the plain layers that are a convolution, and the function that calls them."""
    name, groups, axis = convolution.name, convolution.groups, _channel_axis(convolution)
    arguments = {
        "kernel_size": convolution.kernel_size,
        "strides": convolution.strides,
        "dilation_rate": convolution.dilation_rate,
        "activation": convolution.activation,
        "data_format": convolution.data_format,
        "dtype": convolution.dtype_policy,
    }
    pad, arguments["padding"] = _padding(convolution)
    depthwise = groups > 1 and kernel_shape[-2] == 1 and len(set(convolution.strides)) == 1
    if depthwise:
        layer = keras.layers.DepthwiseConv2D(
            depth_multiplier=convolution.filters // groups, depthwise_initializer="zeros", name=name, **arguments
        )
        return [layer], lambda x, **_: layer(pad(x))

    arguments["kernel_initializer"] = "zeros"
    if groups == 1 or not split:
        layer = keras.layers.Conv2D(convolution.filters, groups=groups, name=name, **arguments)
        return [layer], lambda x, **_: layer(pad(x))

    width = convolution.filters // groups
    layers = [keras.layers.Conv2D(width, name=f"{name}_group{index + 1}", **arguments) for index in range(groups)]
    concatenate = keras.layers.Concatenate(axis, dtype=convolution.dtype_policy, name=name)

    def call(x: Any, **_: Any) -> Any:
        parts = keras.ops.split(pad(x), groups, axis)
        return concatenate([layer(part) for layer, part in zip(layers, parts, strict=True)])

    return layers, call


def _padding(convolution: Any) -> tuple[Callable[[Any], Any], str]:
    """Return what pads the inputs of a convolution, and the padding that is left to the plain one."""
    if not getattr(convolution, "symmetric", False):
        return lambda x: x, convolution.padding
    sides = [d * (k - 1) // 2 for d, k in zip(convolution.dilation_rate, convolution.kernel_size, strict=True)]
    if all(size % 2 == 1 for size in convolution.kernel_size) and set(convolution.strides) == {1}:
        return lambda x: x, "same"
    if not any(sides):
        return lambda x: x, "valid"
    layer = keras.layers.ZeroPadding2D(
        tuple(sides),
        data_format=convolution.data_format,
        dtype=convolution.dtype_policy,
        name=f"{convolution.name}_pad",
    )
    return layer, "valid"
