"""TrainingHealth: what a run must notice about its numbers before they are kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks.callbacks.diverged_error import DivergedError
from keras_tricks.keras_private import trained_variables
from keras_tricks.optimizers import LossScaleOptimizer
from keras_tricks.runs import RunWriter

WAY_OUT = "Lower the learning rate, lengthen the warmup, use bfloat16 or float32, or look for bad values in the data."


class TrainingHealth:
    """Watch loss, weights and loss scale of a model in training.

    Args:
        model: Returns the compiled model; on JAX it thereby brings the variables up to date.
        run: The run's writer, which gets an event for each change of the loss scale.
        most_skips_in_a_row: With so many skipped steps in a row the training has failed.
    """

    def __init__(self, model: Callable[[], keras.Model], run: RunWriter, most_skips_in_a_row: int):
        self.model = model
        self.run = run
        self.most_skips_in_a_row = most_skips_in_a_row
        self._weights_are_finite = _compiled_check(model())
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
        if not bad_loss and self._weights_are_finite():
            return
        bad = [variable.path for variable in _in_order(model) if not _is_finite(variable)]
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

    def _state(self) -> tuple[float, int]:
        return _number(self._scaling.dynamic_scale), int(_number(self._scaling.skipped_steps))


def _compiled_check(model: keras.Model) -> Any:
    """Return a function that says whether all weights are finite, in one call of the backend."""
    variables = [variable for variable in model.weights if keras.backend.is_float_dtype(variable.dtype)]

    def all_finite(values):
        # Times zero, an infinity or a NaN is NaN, and anything else is zero.
        sums = [ops.sum(ops.multiply(ops.cast(value, "float32"), 0.0)) for value in values]
        return ops.equal(ops.sum(ops.stack(sums)), 0.0) if sums else ops.ones((), "bool")

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        compiled = tf.function(all_finite, autograph=False)
    elif backend == "jax":
        import jax

        compiled = jax.jit(all_finite)
    else:
        import torch

        compiled = torch.no_grad()(all_finite)
    return lambda: bool(ops.convert_to_numpy(compiled([ops.convert_to_tensor(variable) for variable in variables])))


def _in_order(model: keras.Model) -> list[keras.Variable]:
    """Statistics of normalizations first: the earliest bad one stands where the forward pass went wrong."""
    return [*model.non_trainable_variables, *model.trainable_variables]


def _is_finite(variable: keras.Variable) -> bool:
    return bool(np.isfinite(np.asarray(ops.convert_to_numpy(variable), "float32")).all())


def _number(variable: Any) -> float:
    return float(ops.convert_to_numpy(variable))
