"""CheckpointAveraging: evaluate and save the mean of the weights of the last epochs."""

from __future__ import annotations

import numbers
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks.callbacks.average_in_model import AverageInModel, checked_averages
from keras_tricks.callbacks.average_update import copies


class CheckpointAveraging(AverageInModel):
    """Keep the mean of the weights at the ends of the last epochs, and use it wherever the model is judged or kept.

    Of the weights w_1, ..., w_N at the ends of the last N epochs the model becomes

        (w_1 + ... + w_N) / N

    which lies nearer to the middle of the flat region that they wander about in than each of them. The training goes on
    with the raw weights. The validation after the k-th of these epochs sees the mean of the k so far, and so do the
    callbacks after this one at the end of the epoch, such as `ModelCheckpoint`; before these epochs, both see the raw
    weights. After `fit` the model holds the mean of all N: `evaluate`, `predict` and `save` use it. One more `fit` with
    the same callback goes on with the raw weights, unless the model was given other weights in between.

    Averaged are all floating-point weights, the statistics of `BatchNormalization` included. Strictly each epoch's
    statistics belong to its own weights; to measure those of the mean, as SWA does, takes another pass over training
    data, which a callback does not have. Where the learning rate has fallen by the last epochs, as with a cosine, they
    hardly differ; with a large rate until the end they do.

    While the rate is so large that the epochs' weights lie far apart, the mean is worse than the last of them. A
    ResNet-20 on the digits (12 epochs, batches of 64, SGD without warmup; validation accuracy of the mean of the last 5
    epochs less that of the last, in points, mean ± standard deviation of n=3 seeds) got -10.9 ± 2.5 with a constant
    rate of 0.4, and -3.6 ± 1.4 with a cosine from there; +1.9 ± 1.1 with a constant rate of 0.05, and +0.2 ± 0.3 with
    a cosine from there (`benchmarks/checkpoint_averaging.py`).

    The mean is kept on the host, in float32 or wider: one copy of the weights, two during a validation, however many
    epochs there are; and one on the device while the model holds the mean. Where `EarlyStopping` ends the training
    before the last epochs, the model keeps its raw weights. It is no use beside `WeightAveraging`.

    Example:

    ```python
    model.fit(dataset, epochs=90, callbacks=[CheckpointAveraging(5), keras.callbacks.ModelCheckpoint("last.keras")])
    ```

    Args:
        epochs: How many of the last epochs to average, at least 1; 1 changes nothing. Where the training has fewer, all
            are averaged. Defaults to 5.
        total_epochs: The epoch with which the training ends, counted from the start as `epochs` of `fit` is, where the
            last `fit` of several is to end there. Defaults to None, `epochs` of each `fit`.

    Raises:
        ValueError: An argument is out of range, or at the start of `fit`: the model is not built, its optimizer has
            `use_ema`, or the state to go on with is another model's.

    Source: Vaswani et al. 2017, arXiv 1706.03762, section 6.1; why it helps: Izmailov et al. 2018, arXiv 1803.05407.
    """

    def __init__(self, epochs: int = 5, total_epochs: int | None = None):
        super().__init__()
        for name, value in (("epochs", epochs), ("total_epochs", 1 if total_epochs is None else total_epochs)):
            if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
                raise ValueError(f"Expected {name} to be an int of at least 1. Received: {name}={value!r}")
        self.epochs = int(epochs)
        self.total_epochs = None if total_epochs is None else int(total_epochs)
        self._mean: list[np.ndarray] = []
        self._count = 0
        self._last_epoch = self._epoch = -1

    def on_train_begin(self, logs=None):
        """Find the epochs to average, and go on with those that are in the mean already."""
        goes_on = self._begin(self.model)
        self._first_epoch = (self.total_epochs or self.params["epochs"]) - self.epochs
        if self._state_to_load is not None:
            self._load(self._state_to_load)
            self._state_to_load = None
        elif not goes_on:
            self._forget()

    def on_epoch_begin(self, epoch, logs=None):
        """Go on with the raw weights."""
        super().on_epoch_begin(epoch, logs)
        if epoch <= self._last_epoch:
            self._forget()
        self._epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        """Take the weights into the mean and put that into the model, until the next epoch begins."""
        mean = self._averages()
        super().on_epoch_end(epoch, logs)
        if mean is not None:
            self._mean, self._count, self._last_epoch = mean, self._count + 1, epoch

    def state(self) -> dict[str, np.ndarray]:
        """Return what a later `set_state` needs to go on exactly.

        Returns:
            `"epochs"`, the number of epochs in the mean, `"last_epoch"`, the last of them counted from 0, or -1, and
            the means under `"0"`, `"1"`, ... in the order of the model's weights. Empty before the first `fit`.
        """
        if self._state_to_load is not None:
            return dict(self._state_to_load)
        if self._averaged_model is None:
            return {}
        means = {str(place): mean for place, mean in enumerate(self._mean)}
        return {"epochs": np.asarray(self._count), "last_epoch": np.asarray(self._last_epoch), **means}

    def apply_to(self, model: keras.Model) -> None:
        """Put the mean into another model of the same architecture, if one of its epochs has ended.

        Raises:
            ValueError: No `fit` has begun, or the mean is another architecture's.
        """
        if self.state().get("epochs") != 0:
            super().apply_to(model)

    def _averages(self) -> list[np.ndarray] | None:
        """Return the mean as it would be if the epoch ended now."""
        if self._raw is not None:
            return self._shown
        if self._epoch < self._first_epoch:
            return None
        weights = (_array(copies(self._averaged_model, variable)[0], variable.dtype) for variable in self._variables)
        if self._count == 0:
            self._shown = list(weights)
        else:
            pairs = zip(self._mean, weights, strict=True)
            self._shown = [mean + (weight - mean) / np.asarray(self._count + 1, mean.dtype) for mean, weight in pairs]
        return self._shown

    def _load(self, state: dict[str, np.ndarray]) -> None:
        self._count, self._last_epoch = int(state["epochs"]), int(state["last_epoch"])
        self._mean = checked_averages(state, self._variables) if self._count else []

    def _forget(self) -> None:
        self._mean, self._count, self._last_epoch = [], 0, -1


def _array(value: Any, dtype: str) -> np.ndarray:
    """Return a copy of a weight on the host, in float32 or wider."""
    wide = keras.backend.result_type("float32", keras.backend.standardize_dtype(dtype))
    return np.array(ops.convert_to_numpy(ops.cast(ops.stop_gradient(value), wide)))
