"""Parts of the optimizers in forms that are faster on TensorFlow than `keras.ops` are; the results are equal.

Whoever calls them has looked that TensorFlow is the backend: importing this module does not import it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import keras

from keras_tricks.layers.on_tensorflow import on_cpu


def apply_momentum(
    variable: Any, buffer: Any, gradient: Any, learning_rate: Any, momentum: float, nesterov: bool
) -> None:
    """Move a variable and its momentum buffer in one pass over the memory.

    Args:
        variable: The variable, of the dtype of the gradient.
        buffer: Its momentum buffer.
        gradient: Its gradient.
        learning_rate: Scalar tensor.
        momentum: Share of the buffer that stays.
        nesterov: Whether to look ahead by the momentum.
    """
    import tensorflow as tf

    tf.raw_ops.ResourceApplyMomentum(
        var=_handle(variable),
        accum=_handle(buffer),
        lr=tf.cast(learning_rate, gradient.dtype),
        grad=gradient,
        momentum=tf.constant(momentum, gradient.dtype),
        use_nesterov=nesterov,
    )


def unit_scale(gradient: Any, weight: Any, clipping: float, eps: float, smallest_norm: float) -> Any:
    """Return what adaptive clipping multiplies a gradient by, in few operations.

    Args:
        gradient: Gradient; a unit is the whole tensor, or a place along the last axis if there are more axes.
        weight: Tensor of the same shape and dtype.
        clipping: Largest ratio of the norms of gradient and weights; `clipping * eps` is at least `smallest_norm`.
        eps: Smallest norm that weights count with.
        smallest_norm: Smallest norm that a gradient counts with.

    Returns:
        A scalar, or a matrix of one row.
    """
    import tensorflow as tf

    # A variable would make the call one with side effects.
    return _unit_scale(clipping, eps, smallest_norm)(gradient, tf.convert_to_tensor(weight))


@cache
def _unit_scale(clipping: float, eps: float, smallest_norm: float) -> Callable[[Any, Any], Any]:
    """Return the function of gradient and weights, which is traced once for each shape."""
    import tensorflow as tf

    @tf.function(autograph=False)
    def scale(gradient: Any, weight: Any) -> Any:
        gradients, weights = _squares(gradient), _squares(weight)
        ratio = tf.maximum(weights, eps**2) / tf.maximum(gradients, smallest_norm**2)
        return tf.minimum(clipping * tf.sqrt(ratio), 1.0)

    return scale


def _squares(x: Any) -> Any:
    """Return the sum of squares of each unit."""
    import tensorflow as tf

    if sum(length > 1 for length in x.shape) <= 1:
        return 2 * tf.nn.l2_loss(x)
    fan_in = math.prod(x.shape[:-1])
    squares = tf.square(tf.reshape(x, (fan_in, x.shape[-1])) if len(x.shape) > 2 else x)
    if on_cpu():
        # Several times as fast there as a sum; on a GPU it would round to TF32.
        return tf.matmul(tf.constant(1, x.dtype, shape=(1, fan_in)), squares)
    return tf.reduce_sum(squares, axis=0, keepdims=True)


def _handle(variable: Any) -> Any:
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
