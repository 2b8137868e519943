"""RunLogger: a run directory for any `model.fit`."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

import keras

from keras_tricks.callbacks.checkpoint_files import Position
from keras_tricks.callbacks.diagnostics import Diagnostics
from keras_tricks.callbacks.diverged_error import DivergedError
from keras_tricks.callbacks.input_wait import InputWait
from keras_tricks.callbacks.training_health import TrainingHealth
from keras_tricks.runs import RunWriter, State, create_run
from keras_tricks.runs.schema import best_of

_ROWS_PER_EPOCH = 20


class StopRequested(KeyboardInterrupt):
    """Somebody asked the run to stop; like Ctrl-C, it ends `fit`."""


class RunLogger(keras.callbacks.Callback):
    """Write status, metrics and events of a training into a run directory.

    The run then shows in `keras-tricks runs ls` and in the terminal UI, which can also stop it. About 20 rows an
    epoch hold the running training metrics, the learning rate and, if `batch_size` is known, images per second;
    one row at the end of each epoch holds the final ones and those of the validation data.

    A request to stop raises `StopRequested`, a `KeyboardInterrupt`, out of `fit`: after the step in progress, or
    after the validation in progress. A loss or weights that are NaN or infinite, looked at with each row, raise
    `DivergedError`: nothing is written over the last checkpoint then, if this callback stands before the one that
    writes checkpoints.

    Each row also says how the training is: `weight_norm` (of all trainable weights in one vector), `gradient_norm` (see
    `GradientMonitor`), with `AdaptiveGradientClipping` `clipped_share` (the mean over variables of the share of units
    that were clipped; `clipping.jsonl` has each variable's, once an epoch), with loss scaling `loss_scale`, and with
    an `input_wait` that share of the time. The rows at the end of an epoch have means over it. Only the steps that rows
    are written for are measured.

    With `optimizers.LossScaleOptimizer` each skipped step and each change of the loss scale is an event, at the step
    itself on TensorFlow and PyTorch, with the next row on JAX; too many skipped steps in a row raise `DivergedError`.

    Example:

    ```python
    model.fit(x, y, batch_size=32, callbacks=[RunLogger("runs", name="mine", batch_size=32)])
    ```

    Args:
        run: A `RunWriter`, or the folder in which to make a new run directory.
        name: Name of the new run. Defaults to `"fit"`.
        batch_size: Images a step, for images per second. Defaults to None, unknown.
        monitor: Metric of which the best value is kept. Defaults to `"val_accuracy"`; names that contain `loss` or
            `error` are better when smaller.
        epochs: Epochs of the whole run, where `fit` does only some of them. Defaults to None, those of `fit`.
        steps_per_epoch: Steps of a whole epoch, where `fit` does only some of them. Defaults to None, those of `fit`.
        position: Where the run goes on, if it does so within an epoch. Defaults to None, at the epoch's start.
        most_skips_in_a_row: With so many steps in a row skipped by the loss scaling, the training has failed. Defaults
            to 25, by which the initial scale of 32768 has come down to 1/1024.
        input_wait: Knows how long the training has waited for its batches. Defaults to None, unknown.
        epoch_costs: What a step of each epoch takes, in any unit, for the time that is left: the pixels of an image
            where their size grows. Defaults to None, the same in all epochs.

    Raises:
        ValueError: `most_skips_in_a_row` is below 1, a cost is not positive, some epochs have none, or a second `fit`
            is given the logger of a run that has ended.
        keras_tricks.runs.RunError: The run directory cannot be made or is in use.
    """

    def __init__(
        self,
        run: RunWriter | str | Path = "runs",
        name: str = "fit",
        batch_size: int | None = None,
        monitor: str = "val_accuracy",
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        position: Position | None = None,
        most_skips_in_a_row: int = 25,
        input_wait: InputWait | None = None,
        epoch_costs: Sequence[float] | None = None,
    ):
        super().__init__()
        if most_skips_in_a_row < 1:
            raise ValueError(
                f"Expected most_skips_in_a_row to be at least 1. Received: most_skips_in_a_row={most_skips_in_a_row}"
            )
        if epoch_costs is not None and (min(epoch_costs, default=0) <= 0 or len(epoch_costs) < (epochs or 1)):
            raise ValueError(
                f"Expected epoch_costs to be positive, one for each epoch. Received: epoch_costs={tuple(epoch_costs)}, "
                f"epochs={epochs}"
            )
        self._owns_run = not isinstance(run, RunWriter)
        if isinstance(run, RunWriter):
            self.run = run
        else:
            self.run = RunWriter(create_run(run, name, None))
        self.batch_size = batch_size
        self.monitor = monitor
        self._epochs = epochs
        self._steps_per_epoch = steps_per_epoch
        self._position = position
        self._most_skips_in_a_row = most_skips_in_a_row
        self._health: TrainingHealth | None = None
        self._diagnostics = Diagnostics(self.run, input_wait)
        self._step: int | None = None
        self._has_ended = False
        self._seconds_between_epochs = 0.0
        self._last_batch_end: float | None = None
        self._rate: float | None = None
        self._epoch_costs = epoch_costs

    @property
    def position(self) -> Position:
        """How far the training has come."""
        return Position(self._epoch, self._step_of_epoch)

    def on_epoch_begin(self, epoch, logs=None):
        """Note the start of an epoch, and of the attempt at the first one."""
        if self._has_ended:
            raise ValueError(
                "Expected a RunLogger of its own for each fit. Make a new one. "
                f"Received: that of the run {self.run.directory.name}, which has ended"
            )
        self._epoch = epoch
        self._step_of_epoch = self._first_step_of_epoch = 0
        if self._step is None:
            self._begin(epoch)
        if self.run.stop_requested():
            self._stop()
        self._epoch_start = time.perf_counter()
        if self._last_batch_end is not None:
            self._seconds_between_epochs = self._epoch_start - self._last_batch_end
        self._mark: tuple[int, float] | None = None
        self._diagnostics.begin_epoch()

    def on_train_batch_begin(self, batch, logs=None):
        """Let the gradients of a step be measured that a row will be written for."""
        if self._is_due(self._steps_after(batch + self.model.steps_per_execution)):
            self._diagnostics.want()

    def on_train_batch_end(self, batch, logs=None):
        """Write a row where one is due, and look for a request to stop."""
        before = self._step_of_epoch
        self._step_of_epoch = self._steps_after(batch + 1)
        self._step += self._step_of_epoch - before
        self._last_batch_end = time.perf_counter()
        if self._mark is None:
            # The first step of an attempt traces the graph: it does not count for the speed.
            self._mark = (self._step, self._last_batch_end)
        if self._is_due(self._step_of_epoch, before):
            values = dict(logs or {})
            self._require_health(values)
            self._write_row("step", values)
        else:
            if keras.backend.backend() != "jax":
                # In the middle of an epoch JAX's variables are out of date until they are asked for.
                self._look_at_loss_scale()
            self.run.update(step=self._step)
        if self.run.stop_requested() and self._step_of_epoch != self._steps_per_epoch:
            self._stop()

    def on_epoch_end(self, epoch, logs=None):
        """Write the epoch's row and the best value so far."""
        values = dict(logs or {})
        self._require_health(values)
        values |= self._diagnostics.end_epoch(epoch + 1, self._step)
        values["epoch_seconds"] = time.perf_counter() - self._epoch_start
        self._epoch = epoch + 1
        self._write_row("epoch", values)
        best = best_of(self.run.status.best, self.monitor, values.get(self.monitor), epoch + 1)
        self.run.update(epoch=epoch + 1, best=best)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        self.run.log(f"epoch {epoch + 1}/{self._epochs}  {shown}")
        if self._steps_per_epoch is None:
            self._steps_per_epoch = self._step_of_epoch

    def on_train_end(self, logs=None):
        """Close the run if this callback opened it."""
        self._end("finished")

    def _steps_after(self, batches: int) -> int:
        """The steps of this epoch that are done after so many of this `fit`."""
        # An execution of several steps says the number of its last one, also where fewer were left.
        return min(self._first_step_of_epoch + batches, self._steps_per_epoch or math.inf)

    def _is_due(self, step: int, before: int | None = None) -> bool:
        """Whether there is a row to write after a step of the epoch, if it is the next one after `before`."""
        every = max(1, (self._steps_per_epoch or 1000) // _ROWS_PER_EPOCH)
        return step // every > (self._step_of_epoch if before is None else before) // every

    def _begin(self, epoch: int) -> None:
        """Say where this attempt starts."""
        self._epochs = self._epochs or self.params["epochs"]
        self._steps_per_epoch = self._steps_per_epoch or self.params.get("steps")
        if self._position is not None and self._position.epoch == epoch:
            self._step_of_epoch = self._first_step_of_epoch = self._position.step
        self._diagnostics.watch(self.model)
        self._health = TrainingHealth(lambda: self.model, self.run, self._most_skips_in_a_row)
        steps = self._steps_per_epoch or 0
        self._step = epoch * steps + self._step_of_epoch
        self.run.begin(epochs=self._epochs, steps=self._epochs * steps, epoch=epoch, step=self._step)

    def _stop(self) -> None:
        self._end("stopped")
        raise StopRequested("Somebody asked this run to stop.")

    def _end(self, state: State, error: str | None = None) -> None:
        """End the run if this callback opened it."""
        if self._owns_run:
            self._has_ended = True
            self.run.end(state, error)
            self.run.close()

    def _require_health(self, values: dict[str, float]) -> None:
        """Fail if something is not finite, after a row that says so."""
        self._look_at_loss_scale()
        try:
            self._health.require_finite(values.get("loss"), self._step)
        except DivergedError as error:
            self._write_row("step", values)
            self._end("failed", str(error))
            raise

    def _look_at_loss_scale(self) -> None:
        try:
            self._health.look_at_loss_scale(self._step)
        except DivergedError as error:
            self._end("failed", str(error))
            raise

    def _write_row(self, kind: str, values: dict[str, float]) -> None:
        values = {**values, "learning_rate": self._learning_rate(), "weight_norm": self._health.weight_norm}
        if self._health.loss_scale is not None:
            values["loss_scale"] = self._health.loss_scale
        if kind == "step":
            values |= self._diagnostics.step()
        rate = self._steps_per_second()
        if rate is not None:
            speed = "steps_per_second" if self.batch_size is None else "images_per_second"
            values[speed] = rate * (self.batch_size or 1)
        self.run.metrics(kind, epoch=self._epoch, step=self._step, values=values)
        self.run.update(
            step=self._step,
            last=values,
            images_per_second=values.get("images_per_second", self.run.status.images_per_second),
            eta_s=self._eta(rate),
        )

    def _steps_per_second(self) -> float | None:
        """Steps a second of this epoch so far, without its first one; before the second, of the epoch before."""
        step, start = self._mark
        if self._step > step:
            self._rate = (self._step - step) / (self._last_batch_end - start)
            self._rate_step = self._step - 1
        return self._rate

    def _eta(self, steps_per_second: float | None) -> float | None:
        """Seconds to the end, validation and checkpoints included as far as they have been seen."""
        if not steps_per_second or self.run.status.steps == 0:
            return None
        epochs_left = self._epochs - self.run.status.epoch
        steps_left: float = self.run.status.steps - self._step
        if self._epoch_costs is not None:
            every = self.run.status.steps // self._epochs
            ends = [(every * (epoch + 1), cost) for epoch, cost in enumerate(self._epoch_costs[: self._epochs])]
            costs_left = sum(cost * min(every, max(0, end - self._step)) for end, cost in ends)
            steps_left = costs_left / self._epoch_costs[self._rate_step // every]
        return steps_left / steps_per_second + epochs_left * self._seconds_between_epochs

    def _learning_rate(self) -> float:
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        return float(keras.ops.convert_to_numpy(optimizer.learning_rate))
