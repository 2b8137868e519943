"""GradientMonitor: what the gradients are where the optimizer uses them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_tricks.callbacks.training_health import sum_of_squares
from keras_tricks.keras_private import before_updates
from keras_tricks.optimizers import AdaptiveGradientClipping


class GradientMonitor:
    """Measure the gradients of single steps of a model in training.

    They are what the optimizer is about to use: summed over replicas, free of the loss scale, averaged over accumulated
    steps, before `GradientClipping`. A step that the loss scaling skips has no such gradient: its norm is NaN.

    What is measured costs a pass over the gradients, and only in the steps that are asked for: no other step waits for
    it. On JAX nothing is measured, as a compiled step there keeps nothing that the optimizer does not own.

    Args:
        model: A compiled model that `fit` has not traced yet. Its optimizer is watched from then on; of one that is not
            built nothing is measured.
    """

    def __init__(self, model: keras.Model):
        self._clipping: AdaptiveGradientClipping | None = None
        optimizer = model.optimizer
        while hasattr(optimizer, "inner_optimizer"):
            if isinstance(optimizer, AdaptiveGradientClipping):
                self._clipping = optimizer
            optimizer = optimizer.inner_optimizer
        self._layers: list[str] = []
        backend = keras.backend.backend()
        self._watches = backend != "jax" and model.built and bool(model.trainable_variables)
        if not self._watches:
            return
        self._values = _Values(model, 1 + (0 if self._clipping is None else len(model.trainable_variables)))
        before_updates(optimizer, self._look_at_norm, first=True)
        if self._clipping is not None:
            before_updates(optimizer, self._look_at_clipping)

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


class _Values:
    """Numbers that a step leaves behind if somebody wants them."""

    def __init__(self, model: keras.Model, count: int):
        self._waits = False
        self._numbers: list[Any] = [math.nan] * count
        self._is_graph = keras.backend.backend() == "tensorflow"
        if not self._is_graph:
            return
        import tensorflow as tf

        # A flag on the device would be waited for; XLA wants it there.
        place = contextlib.nullcontext() if model.jit_compile else tf.device("CPU:0")
        with place:
            self._wanted = tf.Variable(False, trainable=False, name="wanted")
        with model.distribute_strategy.scope():
            self._tensor = tf.Variable(
                tf.fill([count], math.nan),
                trainable=False,
                name="measured",
                # Each replica has its own copy, of the same values, and writes it without the others.
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )

    def want(self) -> None:
        self._waits = True
        self._numbers = [math.nan] * len(self._numbers)
        if self._is_graph:
            import tensorflow as tf

            self._tensor.assign(tf.fill([len(self._numbers)], math.nan))
            self._wanted.assign(True)

    def put(self, start: int, measure: Any) -> None:
        """Keep the numbers that `measure` returns from place `start` on, if they are wanted."""
        if not self._is_graph:
            if self._waits:
                self._numbers[start:] = measure()
            return
        import tensorflow as tf

        def keep():
            numbers = tf.stack([tf.cast(each, tf.float32) for each in measure()])
            whole = tf.convert_to_tensor(self._tensor)
            self._tensor.assign(tf.concat([whole[:start], numbers, whole[start + numbers.shape[0] :]], axis=0))
            return tf.constant(0)

        tf.cond(self._wanted, keep, lambda: tf.constant(0))

    def take(self) -> list[float] | None:
        if not self._waits:
            return None
        self._waits = False
        if self._is_graph:
            self._wanted.assign(False)
            return ops.convert_to_numpy(self._tensor).tolist()
        return [each if isinstance(each, float) else float(ops.convert_to_numpy(each)) for each in self._numbers]
