"""MeanAveragePrecision: metrics that no batch has by itself, among those of each epoch."""

from __future__ import annotations

from collections.abc import Callable

import keras


class MeanAveragePrecision(keras.callbacks.Callback):
    """Measure after each validation, and put the values among the epoch's, for the callbacks behind this one.

    The measurement is made with the weights of the validation: averaged ones where a callback behind this one puts them
    into the model for it.

    Args:
        measure: Returns the values by their names, without `val_`.
    """

    def __init__(self, measure: Callable[[], dict[str, float]]):
        super().__init__()
        self._measure = measure
        self._values: dict[str, float] = {}

    def on_epoch_begin(self, epoch, logs=None):
        """Forget the values of the epoch before."""
        self._values = {}

    def on_test_end(self, logs=None):
        """Measure."""
        self._values = {f"val_{name}": value for name, value in self._measure().items()}

    def on_epoch_end(self, epoch, logs=None):
        """Put the values among the epoch's."""
        logs.update(self._values)
