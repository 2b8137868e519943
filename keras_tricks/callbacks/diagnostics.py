"""Diagnostics: what a run's rows say of its gradients, and of the wait for its batches."""

from __future__ import annotations

import time
from collections import defaultdict

import keras
import numpy as np

from keras_tricks.callbacks.gradient_monitor import GradientMonitor
from keras_tricks.callbacks.input_wait import InputWait
from keras_tricks.runs import RunWriter, schema


class Diagnostics:
    """Gather what rows say of single steps, and its means over an epoch.

    Args:
        run: The run's writer, whose `clipping.jsonl` gets the clipped share of each variable once an epoch.
        input_wait: Knows how long the training has waited for its batches; None if nobody does.
    """

    def __init__(self, run: RunWriter, input_wait: InputWait | None):
        self.run = run
        self._input_wait = input_wait
        self._monitor: GradientMonitor | None = None
        self._of_epoch: dict[str, list[float]] = defaultdict(list)

    def watch(self, model: keras.Model) -> None:
        """Measure this model, from its next step on."""
        self._monitor = GradientMonitor(model)

    def want(self) -> None:
        """Measure the next step."""
        self._monitor.want()

    def begin_epoch(self) -> None:
        """Start the means of an epoch."""
        self._of_epoch.clear()
        self._epoch_start = self._row_start = time.perf_counter(), self._waited()

    def step(self) -> dict[str, float]:
        """Return the values of a row for the step that was measured."""
        measured, shares = self._monitor.read()
        for name, value in (*measured.items(), *shares.items()):
            self._of_epoch[name].append(value)
        measured |= self._wait_since(self._row_start)
        self._row_start = time.perf_counter(), self._waited()
        return measured

    def end_epoch(self, epoch: int, step: int) -> dict[str, float]:
        """Return the means over the epoch, and write those of each variable.

        A step that the loss scaling skipped has no gradient, and does not count.
        """
        means = {
            name: float(np.nanmean(values)) for name, values in self._of_epoch.items() if not np.isnan(values).all()
        }
        shares = {name: mean for name, mean in means.items() if "/" in name}
        if shares:
            self.run.metrics("epoch", epoch=epoch, step=step, values=shares, file=schema.CLIPPING_FILE)
        return {
            **{name: mean for name, mean in means.items() if name not in shares},
            **self._wait_since(self._epoch_start),
        }

    def _waited(self) -> float | None:
        return None if self._input_wait is None else self._input_wait.seconds

    def _wait_since(self, mark: tuple[float, float | None]) -> dict[str, float]:
        """Return the share of the time since a mark that was waiting, if it is known."""
        start, before = mark
        after, elapsed = self._waited(), time.perf_counter() - start
        if after is None or elapsed <= 0:
            return {}
        return {"input_wait": min(1.0, (after - (before or 0.0)) / elapsed)}
