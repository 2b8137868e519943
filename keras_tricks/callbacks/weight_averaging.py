"""WeightAveraging: evaluate and save the moving average of the weights."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks.callbacks.average_update import average_dtype, compiled_update, copies, flat


class WeightAveraging(keras.callbacks.Callback):
    """Keep an exponential moving average of the weights, and use it wherever the model is judged or kept.

    After the optimizer's step number `t = 0, 1, 2, ...`

        decay_t = min(decay, (1 + t) / (10 + t))
        average = decay_t * average + (1 - decay_t) * weights

    from the initial weights on. The validation in `fit` sees the average, and so do the callbacks after this one at
    the end of an epoch, such as `ModelCheckpoint` or `EarlyStopping`; the next epoch goes on with the raw weights.
    After `fit` the model holds the average: `evaluate`, `predict` and `save` use it. One more `fit` with the same
    callback goes on with the raw weights, unless the model was given other weights in between: then the average starts
    anew with those.

    Averaged are all floating-point weights, the statistics of `BatchNormalization` included, as in the published code:
    the raw statistics belong to the raw weights. The average is kept in float32, or wider if a weight is wider.

    Keras has `use_ema` and `SwapEMAWeights`. They leave the statistics raw, have no warmup of the decay, so that the
    first thousands of steps weigh too much, count the micro-steps of gradient accumulation as steps, and leave the
    average in the model after `predict`.

    A step is what the optimizer counts in `iterations`: micro-steps and steps that a `LossScaleOptimizer` skips are
    none. The average takes two more copies of the weights on the device, a third while the model holds it, and a
    handful of kernels a step, for whose result nothing waits. With several replicas it follows the first one; the
    statistics of unsynchronized batch normalizations differ on the others.

    Example:

    ```python
    model.fit(dataset, epochs=90, callbacks=[WeightAveraging(), keras.callbacks.ModelCheckpoint("best.keras")])
    ```

    Args:
        decay: The largest share of the average that a step keeps, in [0, 1). Defaults to 0.99999, the paper's value
            for long training; the average then spans about the last 100,000 steps.

    Raises:
        ValueError: `decay` is out of range, or at the start of `fit`: the model is not built, runs several steps at
            once (`steps_per_execution`), its optimizer has `use_ema`, or the state to go on with is another model's.

    Source: Brock et al. 2021, arXiv 2102.06171, appendix A, and the code published with it.
    """

    def __init__(self, decay: float = 0.99999):
        super().__init__()
        if not isinstance(decay, numbers.Real) or not 0 <= decay < 1:
            raise ValueError(f"Expected decay to be a float in [0, 1). Received: decay={decay!r}")
        self.decay = float(decay)
        self._averaged_model: keras.Model | None = None
        self._state_to_load: dict[str, np.ndarray] | None = None
        self._raw: list[Any] | None = None
        self._for_evaluation = False

    def on_train_begin(self, logs=None):
        """Start the average, or go on with it."""
        model = self.model
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
        self._update = compiled_update(model, self._variables, self.decay)
        if self._state_to_load is not None:
            self._load(self._state_to_load)
            self._state_to_load = None
        elif not goes_on:
            self._average = ops.stop_gradient(flat(self._variables))
            self._steps = ops.zeros((), "int32")
        self._seen = ops.copy(model.optimizer.iterations)

    def on_epoch_begin(self, epoch, logs=None):
        """Go on with the raw weights."""
        if self._raw is not None:
            self._put_raw()

    def on_train_batch_begin(self, batch, logs=None):
        """Take the step before into the average: at its own end a callback would make `fit` wait for the metrics."""
        self._catch_up()

    def on_epoch_end(self, epoch, logs=None):
        """Put the average into the model, until the next epoch begins."""
        self._put_average()

    def on_test_begin(self, logs=None):
        """Evaluate the average."""
        if self._averaged_model is self.model and self._raw is None:
            self._put_average()
            self._for_evaluation = True

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
            self._put_raw()
        try:
            yield
        finally:
            if held_average:
                self._put_average()

    def state(self) -> dict[str, np.ndarray]:
        """Return what a later `set_state` needs to go on exactly.

        Returns:
            `"steps"`, the number of steps averaged over, and the averages under `"0"`, `"1"`, ... in the order of the
            model's weights. Empty before the first `fit`.
        """
        if self._state_to_load is not None:
            return dict(self._state_to_load)
        if self._averaged_model is None:
            return {}
        self._catch_up()
        averages = {str(place): ops.convert_to_numpy(each) for place, each in enumerate(self._pieces())}
        return {"steps": ops.convert_to_numpy(self._steps), **averages}

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
        for variable, value in zip(variables, _checked_averages(state, variables), strict=True):
            variable.assign(value)

    def _catch_up(self) -> None:
        """Take the weights into the average if the optimizer has made a step since the last time."""
        if self._raw is None:
            self._average, self._steps, self._seen = self._update(self._average, self._steps, self._seen)

    def _load(self, state: dict[str, np.ndarray]) -> None:
        averages = [np.ravel(each) for each in _checked_averages(state, self._variables)]
        self._average = ops.convert_to_tensor(np.concatenate(averages), average_dtype(self._variables))
        self._steps = ops.convert_to_tensor(np.asarray(state["steps"]), "int32")

    def _pieces(self) -> Iterator[Any]:
        """The average of each variable."""
        start = 0
        for variable in self._variables:
            end = start + math.prod(variable.shape)
            yield ops.reshape(self._average[start:end], variable.shape)
            start = end

    def _put_average(self) -> None:
        if self._raw is not None:
            return
        self._catch_up()
        self._raw = []
        for variable, piece in zip(self._variables, self._pieces(), strict=True):
            for copy in copies(self._averaged_model, variable):
                self._raw.append(ops.copy(ops.stop_gradient(copy)))
                copy.assign(ops.cast(piece, variable.dtype))

    def _put_raw(self) -> None:
        raw = iter(self._raw)
        for variable in self._variables:
            for copy in copies(self._averaged_model, variable):
                copy.assign(next(raw))
        self._raw = None

    def _holds_average(self) -> bool:
        """Whether the model still has the average that was put into it."""
        return all(
            np.array_equal(ops.convert_to_numpy(variable.value), ops.convert_to_numpy(ops.cast(piece, variable.dtype)))
            for variable, piece in zip(self._variables, self._pieces(), strict=True)
        )


def averaged_variables(model: keras.Model) -> list[keras.Variable]:
    """Return the weights of a model that `WeightAveraging` averages: those of a floating-point dtype."""
    return [weight for weight in model.weights if keras.backend.is_float_dtype(weight.dtype)]


def _require_averageable(model: keras.Model) -> None:
    if not model.built:
        raise ValueError(
            "Expected a built model, to average from its initial weights: begin it with a keras.Input or call "
            f"`build`. Received: model={model.name!r}"
        )
    if model.steps_per_execution != 1:
        raise ValueError(
            "Expected steps_per_execution=1: the weights between the steps of one execution cannot be seen. "
            f"Received: steps_per_execution={model.steps_per_execution}"
        )
    optimizer = model.optimizer
    while optimizer is not None:
        if optimizer.use_ema:
            raise ValueError(
                "Expected an optimizer without an average of its own, which `fit` would put into the model at the "
                f"end. Received: use_ema=True in {optimizer.name!r}"
            )
        optimizer = getattr(optimizer, "inner_optimizer", None)


def _checked_averages(state: dict[str, np.ndarray], variables: list[keras.Variable]) -> list[np.ndarray]:
    """The averages of a state, if their shapes are those of the variables."""
    expected = [tuple(variable.shape) for variable in variables]
    received = [tuple(np.shape(state[str(place)])) for place in range(len(state) - 1)]
    if expected != received:
        different = next((pair for pair in zip(expected, received, strict=False) if pair[0] != pair[1]), "their number")
        raise ValueError(
            f"Expected averages of this model's {len(expected)} weights. "
            f"Received: {len(received)} averages, first difference {different}"
        )
    return [np.asarray(state[str(place)]) for place in range(len(expected))]
