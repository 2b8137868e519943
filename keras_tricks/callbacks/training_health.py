"""TrainingHealth: what a run must notice about its numbers before they are kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks.callbacks.average_update import copies
from keras_tricks.callbacks.diverged_error import DivergedError
from keras_tricks.keras_private import trained_variables
from keras_tricks.optimizers import LossScaleOptimizer
from keras_tricks.runs import RunWriter

WAY_OUT = "Lower the learning rate, lengthen the warmup, use bfloat16 or float32, or look for bad values in the data."


class TrainingHealth:
    """Watch loss, weights and loss scale of a model in training.

    `weight_norm` is the norm of all trainable weights in one vector, as `require_finite` found it last.

    Args:
        model: Returns the compiled model; on JAX it thereby brings the variables up to date.
        run: The run's writer, which gets an event for each change of the loss scale.
        most_skips_in_a_row: With so many skipped steps in a row the training has failed.
    """

    def __init__(self, model: Callable[[], keras.Model], run: RunWriter, most_skips_in_a_row: int):
        self.model = model
        self.run = run
        self.most_skips_in_a_row = most_skips_in_a_row
        self._squares_of_weights: Callable[[], tuple[float, float]] | None = None
        self.weight_norm = math.nan
        optimizer = model().optimizer
        self._scaling = optimizer if isinstance(optimizer, LossScaleOptimizer) else None
        if self._scaling is not None:
            # Of an optimizer that is not built yet there is no state.
            self._scale, self._skipped = self._state() if self._scaling.built else (self._scaling.initial_scale, 0)

    def require_finite(self, loss: float | None, step: int) -> None:
        """Raise if loss or weights are not finite.

        Raises:
            DivergedError: They are not; the message names the step and the first bad tensor.
        """
        model = self.model()
        bad_loss = loss is not None and not math.isfinite(loss)
        if self._squares_of_weights is None:
            # On TensorFlow a model without input shape has its weights from its first step on.
            self._squares_of_weights = _squares_of_weights(model)
        trainable, every = self._squares_of_weights()
        self.weight_norm = math.sqrt(trainable) if trainable >= 0 else math.nan
        if not bad_loss and math.isfinite(every):
            return
        # Weights that are finite, but their squares are not, are left to the loss.
        bad = [variable.path for variable in _in_order(model) if not _is_finite(variable)]
        if not bad and not bad_loss:
            return
        words = [f"the loss is {loss}"] if bad_loss else []
        if bad:
            words.append(f"{len(bad)} of {len(model.weights)} weights are not finite, the first of them {bad[0]}")
        raise DivergedError(f"At step {step} {', and '.join(words)}. {WAY_OUT}")

    def look_at_loss_scale(self, step: int) -> None:
        """Write an event if the loss scale has changed.

        Raises:
            DivergedError: Too many steps in a row were skipped.
        """
        self.model()
        if self._scaling is None:
            return
        before, skipped_before = self._scale, self._skipped
        self._scale, self._skipped = self._state()
        if (before, skipped_before) == (self._scale, self._skipped):
            return
        change = f"loss scale {before:g} -> {self._scale:g}"
        skipped = self._skipped - skipped_before
        if not skipped:
            self.run.event("loss_scale", change)
            return
        variable = trained_variables(self._scaling)[int(_number(self._scaling.first_bad_gradient))]
        steps = f"step {step}" if skipped == 1 else f"{skipped} steps up to {step}"
        reason = f"the gradient of {variable.path} was not finite"
        self.run.event("skipped_step", f"{steps} skipped, as {reason}; {change}")
        in_a_row = int(_number(self._scaling.skips_in_a_row))
        if in_a_row >= self.most_skips_in_a_row:
            raise DivergedError(
                f"{in_a_row} steps in a row were skipped up to step {step}: {reason}, even with a loss scale of "
                f"{self._scale:g}. {WAY_OUT}"
            )

    @property
    def loss_scale(self) -> float | None:
        """The loss scale as it was looked at last; None without one."""
        return None if self._scaling is None else self._scale

    def _state(self) -> tuple[float, int]:
        return _number(self._scaling.dynamic_scale), int(_number(self._scaling.skipped_steps))


def _squares_of_weights(model: keras.Model) -> Callable[[], tuple[float, float]]:
    """Return a function that sums the squares of the trainable weights, and of all, in one call of the backend."""
    trainable = [variable for variable in model.trainable_variables if keras.backend.is_float_dtype(variable.dtype)]
    others = [each for each in model.non_trainable_variables if keras.backend.is_float_dtype(each.dtype)]
    variables = [*trainable, *others]

    def sums(values):
        squares = [sum_of_squares(value) for value in values]
        return ops.stack([_total(squares[: len(trainable)]), _total(squares)])

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        # To hand the variables' values over takes longer than to sum them up.
        compiled = tf.function(lambda: sums([copies(model, variable)[0] for variable in variables]), autograph=False)
    elif backend == "jax":
        import jax

        from_values = jax.jit(sums)

        def compiled():
            return from_values([variable.value for variable in variables])

    else:
        import torch

        @torch.no_grad()
        def compiled():
            return sums([variable.value for variable in variables])

    return lambda: tuple(ops.convert_to_numpy(compiled()).tolist())


def sum_of_squares(tensor: Any) -> Any:
    """Return the sum of squares of a tensor, in float32 or wider, in one kernel where there is one."""
    tensor = ops.convert_to_tensor(tensor)
    tensor = ops.cast(tensor, keras.backend.result_type(tensor.dtype, "float32"))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return 2 * tf.nn.l2_loss(tensor)
    return ops.sum(ops.square(tensor))


def _total(numbers: list[Any]) -> Any:
    return ops.sum(ops.stack([ops.cast(each, "float32") for each in numbers])) if numbers else ops.zeros(())


def _in_order(model: keras.Model) -> list[keras.Variable]:
    """Statistics of normalizations first: the earliest bad one stands where the forward pass went wrong."""
    return [*model.non_trainable_variables, *model.trainable_variables]


def _is_finite(variable: keras.Variable) -> bool:
    return bool(np.isfinite(np.asarray(ops.convert_to_numpy(variable), "float32")).all())


def _number(variable: Any) -> float:
    return float(ops.convert_to_numpy(variable))
