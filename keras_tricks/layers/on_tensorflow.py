"""A few operations in forms that are faster on TensorFlow than `keras.ops` are; the results are equal.

Whoever calls them has looked that TensorFlow is the backend: importing this module does not import it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any


def on_cpu() -> bool:
    """Return whether TensorFlow has no GPU."""
    import tensorflow as tf

    return not tf.config.list_logical_devices("GPU")


@cache
def compiled(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return an elementwise function whose forward and backward pass XLA fuses into one loop each.

    Only the input is kept for the backward pass, which computes the function anew.

    Args:
        function: Takes a tensor and returns one of the same shape.
    """
    import tensorflow as tf

    @tf.function(jit_compile=True)
    def forward(x: Any) -> Any:
        return function(x)

    @tf.function(jit_compile=True)
    def backward(x: Any, upstream: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x, upstream)

    @tf.custom_gradient
    def run(x: Any) -> Any:
        return forward(x), lambda upstream: backward(x, upstream)

    return run


def add_bias(x: Any, bias: Any, data_format: str) -> Any:
    """Return `x` plus one bias for each channel; its gradient is a faster sum than that of an addition.

    Args:
        x: A batch of images.
        bias: A vector.
        data_format: `"channels_last"` or `"channels_first"`.
    """
    import tensorflow as tf

    return tf.nn.bias_add(x, bias, data_format="NHWC" if data_format == "channels_last" else "NCHW")


def standardize(kernel: Any, gain: Any, epsilon: float, epsilon_mode: str) -> Any:
    """Return a kernel standardized for each column, with its gradient in closed form.

    Args:
        kernel: Matrix of fan in times filters.
        gain: Vector that the columns are multiplied by.
        epsilon: As in `ScaledStandardizedConv2D`.
        epsilon_mode: As in `ScaledStandardizedConv2D`.
    """
    import tensorflow as tf

    fan_in = kernel.shape[0]
    floor = epsilon_mode == "floor"

    @tf.custom_gradient
    def run(kernel: Any, gain: Any) -> Any:
        centred = kernel - _column_sums(kernel) / fan_in
        # The variance times the fan in is the sum of squares.
        squares = _column_sums(tf.square(centred))
        reciprocal = tf.math.rsqrt(tf.maximum(squares, epsilon) if floor else squares + epsilon * fan_in)
        factor = reciprocal * gain

        def gradient(upstream: Any) -> tuple[Any, Any]:
            products = _column_sums(upstream * centred)
            shrinkage = products * factor * tf.square(reciprocal)
            if floor:
                shrinkage = tf.where(squares > epsilon, shrinkage, 0)
            shift = factor * (_column_sums(upstream) / fan_in)
            return upstream * factor - (centred * shrinkage + shift), tf.squeeze(products * reciprocal, 0)

        return centred * factor, gradient

    return run(kernel, gain)


def _column_sums(matrix: Any) -> Any:
    import tensorflow as tf

    if on_cpu():
        # Several times as fast there as a sum; on a GPU it would round to TF32.
        return tf.matmul(tf.constant(1, matrix.dtype, shape=(1, matrix.shape[0])), matrix)
    return tf.reduce_sum(matrix, axis=0, keepdims=True)
