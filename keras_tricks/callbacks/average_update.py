"""The step of `WeightAveraging`, compiled for each backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_tricks.keras_private import values_in_fit


def compiled_update(model: keras.Model, variables: list[keras.Variable], decay: float) -> Callable[..., Any]:
    """Return a function of average, steps and seen counter that takes the present weights into them.

    It runs on the device and leaves to it whether there was a step: to ask would be to wait for that step.
    """
    optimizer = model.optimizer

    def update(average, steps, seen, iterations, weights):
        """Weights are one vector, as the average is."""
        new = ops.not_equal(iterations, seen)
        # 1 - min(decay, (1 + t) / (10 + t)), written so that a share of 1e-5 keeps its digits.
        share = ops.maximum(1 - decay, 9 / (10 + ops.cast(steps, average.dtype)))
        share = ops.cast(ops.where(new, share, 0.0), average.dtype)
        average = average + share * (weights - average)
        return average, steps + ops.cast(new, "int32"), iterations

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        first_copies = [copies(model, variable)[0] for variable in variables]

        @tf.function(autograph=False)
        def update_from_variables(average, steps, seen):
            return update(average, steps, seen, ops.copy(optimizer.iterations), flat(first_copies))

        return update_from_variables
    if backend == "jax":
        import jax

        # The counter is among the scalars; the property `iterations` may be computed from it.
        scalars = [variable for variable in optimizer.variables if variable.shape == ()]
        read_scalars, read_weights = values_in_fit(model, scalars), values_in_fit(model, variables)

        def update_from_arrays(average, steps, seen, scalar_values, weights):
            with keras.StatelessScope(state_mapping=list(zip(scalars, scalar_values, strict=True))):
                iterations = ops.copy(optimizer.iterations)
            return update(average, steps, seen, iterations, flat(weights))

        compiled = jax.jit(update_from_arrays, donate_argnums=0)
        return lambda *carried: compiled(*carried, read_scalars(), read_weights())
    import torch

    # Eager calls pay the overhead of Keras for each variable at every step: take PyTorch's own.
    parameters = [variable.value for variable in variables]

    @torch.no_grad()
    def update_at_once(average, steps, seen):
        weights = torch.cat([parameter.reshape(-1) for parameter in parameters]).to(average.dtype)
        return update(average, steps, seen, ops.copy(optimizer.iterations), weights)

    return update_at_once


def copies(model: keras.Model, variable: keras.Variable) -> tuple[Any, ...]:
    """Return the variable itself, or on TensorFlow its copies on this machine's replicas."""
    if keras.backend.backend() == "tensorflow":
        return model.distribute_strategy.experimental_local_results(variable.value)
    return (variable,)


def average_dtype(variables: list[Any]) -> str:
    """Return the dtype of the average of these variables: float32 or wider."""
    return keras.backend.result_type("float32", *{keras.backend.standardize_dtype(each.dtype) for each in variables})


def flat(variables: list[Any]) -> Any:
    """Return all values in one vector, so that the update is a handful of kernels and not some for each variable."""
    dtype = average_dtype(variables)
    return ops.concatenate([ops.reshape(ops.cast(each, dtype), (-1,)) for each in variables])
