"""AverageInModel: what callbacks that average the weights share: where the average is in the model, and where not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks.callbacks.average_update import copies


class AverageInModel(keras.callbacks.Callback, ABC):
    """Base of the callbacks that put an average of the weights into the model wherever it is judged or kept.

    The validation in `fit` sees the average, and so do the callbacks after this one at the end of an epoch; the next
    epoch goes on with the raw weights. After `fit` the model holds the average. One more `fit` with the same callback
    goes on with the raw weights, unless the model was given other weights in between.

    A subclass calls `_begin` in `on_train_begin`, and says in `_averages` what the average is now.
    """

    def __init__(self):
        super().__init__()
        self._averaged_model: keras.Model | None = None
        self._variables: list[keras.Variable] = []
        self._state_to_load: dict[str, np.ndarray] | None = None
        self._raw: list[Any] | None = None
        self._for_evaluation = False

    @abstractmethod
    def _averages(self) -> Iterable[Any] | None:
        """Return the average of each variable as it is now, or None while there is none.

        While the model holds an average, which `self._raw` tells, that is it.
        """

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """Return what a later `set_state` needs to go on exactly, the averages under `"0"`, `"1"`, ... among it.

        They are in the order of the model's weights. It is empty before the first `fit`.
        """

    def on_epoch_begin(self, epoch, logs=None):
        """Go on with the raw weights."""
        if self._raw is not None:
            self._put_raw()

    def on_epoch_end(self, epoch, logs=None):
        """Put the average into the model, until the next epoch begins."""
        self._put_average()

    def on_test_begin(self, logs=None):
        """Evaluate the average."""
        if self._averaged_model is self.model and self._raw is None:
            self._put_average()
            self._for_evaluation = self._raw is not None

    def on_test_end(self, logs=None):
        """Go on with the raw weights if the evaluation interrupted the training."""
        if self._for_evaluation:
            self._put_raw()
            self._for_evaluation = False

    def on_predict_begin(self, logs=None):
        """Predict with the average."""
        self.on_test_begin()

    def on_predict_end(self, logs=None):
        """Go on with the raw weights if the prediction interrupted the training."""
        self.on_test_end()

    @contextmanager
    def raw_weights(self) -> Iterator[None]:
        """Put the raw weights into the model for a `with` block: what a checkpoint to resume from must save."""
        held_average = self._raw is not None
        if held_average:
            averages = self._averages()
            self._put_raw()
        try:
            yield
        finally:
            if held_average:
                self._put(averages)

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Go on with the result of `state` at the next `fit`, whose model must hold the raw weights of that moment."""
        self._state_to_load = dict(state) or None
        self._averaged_model = self._raw = None

    def apply_to(self, model: keras.Model) -> None:
        """Put the average into another model of the same architecture.

        Raises:
            ValueError: There is no average yet, or it is another architecture's.
        """
        state = self.state()
        if not state:
            raise ValueError("Expected an average: train with this callback, or call `set_state`. Received: none")
        variables = averaged_variables(model)
        for variable, value in zip(variables, checked_averages(state, variables), strict=True):
            variable.assign(value)

    def _begin(self, model: keras.Model) -> bool:
        """Take the raw weights up again, and return whether this training goes on with that of the last `fit`.

        Raises:
            ValueError: The model is not built, or its optimizer has an average of its own.
        """
        _require_averageable(model)
        goes_on = model is self._averaged_model
        if self._raw is not None:
            if goes_on and self._holds_average():
                self._put_raw()
            else:
                goes_on, self._raw = False, None
        self._for_evaluation = False
        self._averaged_model = model
        self._variables = averaged_variables(model)
        return goes_on

    def _put_average(self) -> None:
        if self._raw is None:
            averages = self._averages()
            if averages is not None:
                self._put(averages)

    def _put(self, averages: Iterable[Any]) -> None:
        self._raw = []
        for variable, average in zip(self._variables, averages, strict=True):
            for copy in copies(self._averaged_model, variable):
                self._raw.append(ops.copy(ops.stop_gradient(copy)))
                copy.assign(ops.cast(average, variable.dtype))

    def _put_raw(self) -> None:
        raw = iter(self._raw)
        for variable in self._variables:
            for copy in copies(self._averaged_model, variable):
                copy.assign(next(raw))
        self._raw = None

    def _holds_average(self) -> bool:
        """Whether the model still has the average that was put into it."""
        return all(
            np.array_equal(
                ops.convert_to_numpy(variable.value), ops.convert_to_numpy(ops.cast(average, variable.dtype))
            )
            for variable, average in zip(self._variables, self._averages(), strict=True)
        )


def averaged_variables(model: keras.Model) -> list[keras.Variable]:
    """Return the weights of a model that are averaged: those of a floating-point dtype."""
    return [weight for weight in model.weights if keras.backend.is_float_dtype(weight.dtype)]


def checked_averages(state: dict[str, np.ndarray], variables: list[keras.Variable]) -> list[np.ndarray]:
    """Return the averages of a state.

    Raises:
        ValueError: Their shapes are not those of the variables.
    """
    averages = [np.asarray(state[name]) for name in sorted(filter(str.isdigit, state), key=int)]
    expected = [tuple(variable.shape) for variable in variables]
    received = [average.shape for average in averages]
    if expected != received:
        different = next((pair for pair in zip(expected, received, strict=False) if pair[0] != pair[1]), "their number")
        raise ValueError(
            f"Expected averages of this model's {len(expected)} weights. "
            f"Received: {len(received)} averages, first difference {different}"
        )
    return averages


def _require_averageable(model: keras.Model) -> None:
    if not model.built:
        raise ValueError(
            "Expected a built model, to average from its initial weights: begin it with a keras.Input or call "
            f"`build`. Received: model={model.name!r}"
        )
    optimizer = model.optimizer
    while optimizer is not None:
        if optimizer.use_ema:
            raise ValueError(
                "Expected an optimizer without an average of its own, which `fit` would put into the model at the "
                f"end. Received: use_ema=True in {optimizer.name!r}"
            )
        optimizer = getattr(optimizer, "inner_optimizer", None)
