"""Clipping by the global norm, of the gradient that is used, around any Keras optimizer."""

import math
import numbers

import keras
from keras import ops

from keras_tricks.keras_private import before_updates
from keras_tricks.optimizers.wrapping_optimizer import WrappingOptimizer


def clip_by_global_norm(gradients, max_norm):
    """Scale gradients together so that their global norm is at most `max_norm`.

    The norm is computed in float32. A NaN or an infinity among the gradients, or a norm beyond float32, makes all of
    them NaN: it is not hidden. A sparse gradient is made dense.

    Args:
        gradients: list of tensors or None.
        max_norm: float > 0.

    Returns:
        List of tensors of the same shapes and dtypes, None where there was none.
    """
    gradients = [None if each is None else _dense(each) for each in gradients]
    squares = [ops.sum(ops.square(ops.cast(each, "float32"))) for each in gradients if each is not None]
    if not squares:
        return gradients
    norm = ops.sqrt(ops.sum(ops.stack(squares)))
    scale = ops.divide(max_norm, ops.maximum(norm, max_norm))
    # An infinite norm would give a scale of 0.
    scale = ops.where(ops.isfinite(norm), scale, math.nan)
    return [None if each is None else ops.multiply(each, ops.cast(scale, each.dtype)) for each in gradients]


def _dense(gradient):
    """Add up the rows that TensorFlow's sparse gradients repeat."""
    if not hasattr(gradient, "dense_shape"):
        return gradient
    import tensorflow as tf

    return tf.convert_to_tensor(gradient)


@keras.saving.register_keras_serializable(package="keras_tricks")
class GradientClipping(WrappingOptimizer):
    """Clip the global norm of all gradients, then let another optimizer use them.

    With `g` the gradients of all variables in one vector, and `|g| > max_norm`, `g = g * max_norm / |g|`.

    It acts on what the inner optimizer is about to use: summed over replicas, free of loss scaling, averaged over
    accumulated steps. Keras's own `global_clipnorm` clips each replica's gradient before the sum, so that the result
    depends on the number of replicas. With `AdaptiveGradientClipping` inside, the global norm is clipped first.

    In half precision the loss scaling goes outside: `LossScaleOptimizer(GradientClipping(SGD()))`.

    Args:
        inner_optimizer: the `keras.optimizers.Optimizer` to clip for, not a `LossScaleOptimizer`.
        max_norm: float > 0, the largest global norm. Defaults to 1.
        name: string, the name of the optimizer. Defaults to `"gradient_clipping"`.

    Raises:
        ValueError: if `max_norm` is out of range or `inner_optimizer` is not one that can be clipped for.

    Example:

        model.compile(GradientClipping(SGD(0.1), max_norm=1.0), loss="categorical_crossentropy")

    Source: Pascanu et al. 2013, On the difficulty of training recurrent neural networks, arXiv 1211.5063, section 3.2.
    """

    def __init__(self, inner_optimizer, max_norm=1.0, name="gradient_clipping"):
        if not isinstance(inner_optimizer, keras.optimizers.Optimizer) or isinstance(
            inner_optimizer, keras.optimizers.LossScaleOptimizer | GradientClipping
        ):
            raise ValueError(
                "Expected `inner_optimizer` to be a Keras optimizer such as SGD or AdamW; LossScaleOptimizer goes "
                f"outside of GradientClipping. Received: inner_optimizer={inner_optimizer!r}"
            )
        if not isinstance(max_norm, numbers.Real) or not 0 < max_norm < math.inf:
            raise ValueError(f"Expected `max_norm` to be a finite float > 0. Received: max_norm={max_norm!r}")
        super().__init__(inner_optimizer, name=name)
        self.max_norm = float(max_norm)
        while isinstance(inner_optimizer, WrappingOptimizer):
            inner_optimizer = inner_optimizer.inner_optimizer
        before_updates(inner_optimizer, lambda gradients, _: clip_by_global_norm(gradients, self.max_norm))

    def get_config(self):
        """Return the arguments that make an equal optimizer, without its state."""
        return {**super().get_config(), "max_norm": self.max_norm}
