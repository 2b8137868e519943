"""GradientMonitor: what the gradients are where the optimizer uses them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks.callbacks.training_health import sum_of_squares
from keras_tricks.keras_private import before_updates, let_steps_leave, trace_steps_anew
from keras_tricks.optimizers import AdaptiveGradientClipping


class GradientMonitor:
    """Measure the gradients of single steps of a model in training.

    They are what the optimizer is about to use: summed over replicas, free of the loss scale, averaged over accumulated
    steps, before `GradientClipping`. A step that the loss scaling skips has no such gradient: its norm is NaN.

    What is measured costs a pass over the gradients, and only in the steps that are asked for: no other step waits for
    it. On JAX nothing is measured under loss scaling, where the gradients are those of a branch of `jax.lax.cond`, out
    of which only the branch's results come, and these are the optimizer's; nor under an accumulation of Keras's own,
    which computes every step and then throws most of them away.

    A step that TensorFlow or JAX has compiled already, as in an earlier `fit`, is compiled anew when `fit` comes to the
    next one.

    Args:
        model: A compiled model. Its optimizer is watched from then on, and by an earlier monitor no more; of one that
            is not built nothing is measured, nor of one that is watched inside the scope of a strategy.
    """

    def __init__(self, model: keras.Model):
        self._clipping: AdaptiveGradientClipping | None = None
        optimizer = model.optimizer
        is_scaled = False
        while hasattr(optimizer, "inner_optimizer"):
            is_scaled |= isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
            if isinstance(optimizer, AdaptiveGradientClipping):
                self._clipping = optimizer
            optimizer = optimizer.inner_optimizer
        self._layers: list[str] = []
        backend = keras.backend.backend()
        can_watch = backend != "jax" or not (is_scaled or optimizer.gradient_accumulation_steps)
        self._watches = can_watch and model.built and bool(model.trainable_variables) and not _in_scope()
        if not self._watches:
            return
        count = 0 if self._clipping is None else len(model.trainable_variables)
        kinds = {"tensorflow": _GraphValues, "jax": _CompiledValues}
        self._values = kinds.get(backend, _Values)(model, count)
        before_updates(optimizer, self._look_at_norm, first=True, name="norm")
        if self._clipping is not None:
            before_updates(optimizer, self._look_at_clipping, name="clipping")
        if backend == "tensorflow":
            trace_steps_anew(model)

    def want(self) -> None:
        """Measure the next step."""
        if self._watches:
            self._values.want()

    def read(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return what was measured since the last call, if anything, and measure no more.

        Returns:
            `gradient_norm`, and with adaptive gradient clipping `clipped_share`, the mean over variables of the share
            of units that were clipped. And that share for each variable as `clipped_share/<path>`.
        """
        values = self._values.take() if self._watches else None
        if values is None:
            return {}, {}
        measured, shares = {"gradient_norm": values[0]}, {}
        if self._clipping is not None:
            shares = {f"clipped_share/{path}": share for path, share in zip(self._layers, values[1:], strict=False)}
            # A step that was skipped clipped nothing.
            if shares and not math.isnan(values[1]):
                measured["clipped_share"] = sum(shares.values()) / len(shares)
        return measured, shares

    def _look_at_norm(self, gradients: Sequence[Any], variables: Sequence[Any]) -> Sequence[Any]:
        def norm():
            squares = [sum_of_squares(each) for each in gradients if each is not None]
            return [ops.sqrt(ops.sum(ops.stack(squares)))]

        self._values.put(0, norm)
        return gradients

    def _look_at_clipping(self, gradients: Sequence[Any], variables: Sequence[Any]) -> Sequence[Any]:
        def shares():
            found = self._clipping.clipped_shares(gradients, variables)
            self._layers = list(found)
            return list(found.values())

        self._values.put(1, shares)
        return gradients


def _in_scope() -> bool:
    """Whether this is inside the scope of a strategy, where every new variable would be one of its own."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return tf.distribute.has_strategy()


class _Values:
    """Numbers that an eager step leaves behind if somebody wants them: the norm, and `count` more."""

    def __init__(self, model: keras.Model, count: int):
        self._waits = False
        self._lengths = (1, count)
        self._parts: list[list[Any]] = []

    def want(self) -> None:
        """Keep the numbers of the next step."""
        self._waits = True
        self._parts = [[math.nan] * length for length in self._lengths]

    def put(self, place: int, measure: Callable[[], list[Any]]) -> None:
        """Keep the numbers that `measure` returns as part `place`, if they are wanted."""
        if self._waits:
            self._parts[place] = measure()

    def take(self) -> list[float] | None:
        """Return the numbers that were kept since `want`, and want no more; None if nobody wanted any."""
        if not self._waits:
            return None
        self._waits = False
        return [float(ops.convert_to_numpy(each)) for part in self._parts for each in part]


class _GraphValues(_Values):
    """The same for a step that TensorFlow has compiled."""

    def __init__(self, model: keras.Model, count: int):
        import tensorflow as tf

        super().__init__(model, count)
        # A flag on the device would be waited for; XLA wants all there. No variables of a strategy: several workers
        # would have to make them together, and only the chief has rows. Its replicas write the same values.
        is_compiled = model.jit_compile and model.distribute_strategy.num_replicas_in_sync == 1
        with contextlib.nullcontext() if is_compiled else tf.device("CPU:0"):
            self._wanted = tf.Variable(False, trainable=False, name="wanted")
            self._variables = [tf.Variable([math.nan] * length, trainable=False) for length in self._lengths]

    def want(self) -> None:
        super().want()
        for variable, nothing in zip(self._variables, self._parts, strict=True):
            variable.assign(nothing)
        self._wanted.assign(True)

    def put(self, place: int, measure: Callable[[], list[Any]]) -> None:
        import tensorflow as tf

        def keep():
            numbers = tf.stack([tf.cast(each, tf.float32) for each in measure()])
            missing = self._lengths[place] - numbers.shape[0]
            self._variables[place].assign(tf.pad(numbers, [[0, missing]], constant_values=math.nan))
            return tf.constant(0)

        tf.cond(self._wanted, keep, lambda: tf.constant(0))

    def take(self) -> list[float] | None:
        self._parts = [variable.numpy().tolist() for variable in self._variables]
        self._wanted.assign(False)
        return super().take()


class _CompiledValues(_Values):
    """The same for a step that JAX has compiled, which is told whether they are wanted and returns them."""

    def __init__(self, model: keras.Model, count: int):
        super().__init__(model, count)
        self._left: list[Any] = []
        self._wanted: Any = None
        let_steps_leave(model, lambda: np.bool_(self._waits), self._begin, self._end, self._keep)

    def put(self, place: int, measure: Callable[[], list[Any]]) -> None:
        import jax

        if self._wanted is None:
            # Another monitor has taken over, or the model was compiled again.
            return
        nothing = self._in_step[place]

        def numbers():
            found = ops.stack([ops.cast(each, "float32") for each in measure()])
            return ops.pad(found, [[0, len(nothing) - len(found)]], constant_values=math.nan)

        self._in_step[place] = jax.lax.cond(self._wanted, numbers, lambda: nothing)

    def take(self) -> list[float] | None:
        self._parts = [np.asarray(part).tolist() for part in self._left]
        return super().take()

    def _begin(self, wanted: Any) -> None:
        self._wanted = wanted
        self._in_step: list[Any] = [ops.full([length], math.nan, "float32") for length in self._lengths]

    def _end(self) -> list[Any]:
        left, self._in_step, self._wanted = self._in_step, [], None
        return left

    def _keep(self, left: list[Any]) -> None:
        self._left = left
