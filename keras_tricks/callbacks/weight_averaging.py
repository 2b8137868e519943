"""WeightAveraging: evaluate and save the moving average of the weights."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np
from keras import ops

from keras_tricks.callbacks.average_in_model import AverageInModel, checked_averages
from keras_tricks.callbacks.average_update import average_dtype, compiled_update, flat


class WeightAveraging(AverageInModel):
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

    def on_train_begin(self, logs=None):
        """Start the average, or go on with it."""
        model = self.model
        goes_on = self._begin(model)
        if model.steps_per_execution != 1:
            raise ValueError(
                "Expected steps_per_execution=1: the weights between the steps of one execution cannot be seen. "
                f"Received: steps_per_execution={model.steps_per_execution}"
            )
        self._update = compiled_update(model, self._variables, self.decay)
        if self._state_to_load is not None:
            self._load(self._state_to_load)
            self._state_to_load = None
        elif not goes_on:
            self._average = ops.stop_gradient(flat(self._variables))
            self._steps = ops.zeros((), "int32")
        self._seen = ops.copy(model.optimizer.iterations)

    def on_train_batch_begin(self, batch, logs=None):
        """Take the step before into the average: at its own end a callback would make `fit` wait for the metrics."""
        self._catch_up()

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
        averages = {str(place): ops.convert_to_numpy(each) for place, each in enumerate(self._averages())}
        return {"steps": ops.convert_to_numpy(self._steps), **averages}

    def _catch_up(self) -> None:
        """Take the weights into the average if the optimizer has made a step since the last time."""
        if self._raw is None:
            self._average, self._steps, self._seen = self._update(self._average, self._steps, self._seen)

    def _load(self, state: dict[str, np.ndarray]) -> None:
        averages = [np.ravel(each) for each in checked_averages(state, self._variables)]
        self._average = ops.convert_to_tensor(np.concatenate(averages), average_dtype(self._variables))
        self._steps = ops.convert_to_tensor(np.asarray(state["steps"]), "int32")

    def _averages(self) -> Iterator[Any]:
        self._catch_up()
        return self._pieces()

    def _pieces(self) -> Iterator[Any]:
        """The average of each variable."""
        start = 0
        for variable in self._variables:
            end = start + math.prod(variable.shape)
            yield ops.reshape(self._average[start:end], variable.shape)
            start = end
