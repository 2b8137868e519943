"""Checkpoint: save all that an exact resume needs at the end of each epoch."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_tricks.callbacks.average_in_model import AverageInModel
from keras_tricks.callbacks.checkpoint_files import (
    CheckpointError,
    CheckpointFiles,
    DamagedCheckpointError,
    Position,
)
from keras_tricks.callbacks.diverged_error import DivergedError
from keras_tricks.runs import Best, RunWriter
from keras_tricks.runs.schema import best_of

_BYTES_PER_VARIABLE = 4096
"""What HDF5 writes about a variable beside its values, at most."""


class Checkpoint(keras.callbacks.Callback):
    """Save weights, optimizer, loss scale, seeds and the best value so far at the end of each epoch.

    A checkpoint is two files: `epoch-0003.weights.h5`, and `epoch-0003.json` with its checksum, which is written last
    and so says that the checkpoint is whole; with averaged weights there is `epoch-0003.average.npz` too. Each is
    replaced in one go. The newest `keep` stay, and that of the epoch with the best value. The order of the data
    needs no file: `keras_tricks.data` derives it from the seed and the epoch.

    A model with weights that are not finite is never saved, so a good checkpoint is never lost to it.

    Unlike `keras.callbacks.BackupAndRestore` it keeps its files at the end, knows the seeds of random layers, can save
    within an epoch, and falls back on the checkpoint before a damaged one.

    Example:

    ```python
    checkpoint = Checkpoint("checkpoints")
    epoch, _ = checkpoint.restore(model)
    model.fit(dataset, initial_epoch=epoch, epochs=10, callbacks=[checkpoint])
    ```

    Args:
        directory: Folder for the checkpoints; made if absent.
        keep: How many of the newest to keep. Defaults to 2.
        run: The run's writer, which gets an event a checkpoint, and whose best value is saved and restored.
        averaging: The `WeightAveraging` or `CheckpointAveraging` of the training. The checkpoint then holds the raw
            weights and the average, and `restore` gives both back, the average to this callback.
        monitor: Metric of which the epoch with the best value is kept too; names that contain `loss` or `error` are
            better when smaller. A `run` knows its best epoch itself. Defaults to `"val_accuracy"`.

    Raises:
        ValueError: `keep` is below 1.
    """

    def __init__(
        self,
        directory: str | Path,
        keep: int = 2,
        run: RunWriter | None = None,
        averaging: AverageInModel | None = None,
        monitor: str = "val_accuracy",
    ):
        super().__init__()
        if keep < 1:
            raise ValueError(f"Expected keep to be at least 1. Received: keep={keep}")
        self.directory = Path(directory)
        self.keep = keep
        self.run = run
        self.averaging = averaging
        self.monitor = monitor
        self._files = CheckpointFiles(self.directory)
        self._best: Best | None = None
        self._metrics_of_epoch: tuple[int, list[float]] | None = None

    @property
    def best(self) -> Best | None:
        """The best value so far and its epoch: the run's, or that of `monitor` without a run."""
        return self._best if self.run is None else self.run.status.best

    @property
    def best_weights(self) -> Path | None:
        """The weights of the epoch with the best value, or None while there is none."""
        if self.best is None:
            return None
        path = self._files.weights(Position(self.best.epoch))
        return path if path.exists() else None

    def restore(self, model: keras.Model, before_load: Callable[[Position], None] | None = None) -> Position:
        """Load the newest whole checkpoint into a built, compiled `model`.

        Args:
            model: The model.
            before_load: Called with the position of the checkpoint that is about to be loaded, if there is one.

        Returns:
            How far the model has been trained; its `epoch` is `initial_epoch` of the next `fit`. Both are 0 without
            any checkpoint. After a checkpoint within an epoch the metrics of that epoch go on in the next `fit` if
            this callback takes part in it.

        Raises:
            CheckpointError: There are checkpoints, and none is whole.
        """
        self._files.remove_leftovers()
        damages = []
        for position in reversed(self.positions()):
            try:
                facts = self._files.read_facts(position)
            except DamagedCheckpointError as damage:
                damages.append(str(damage))
                self._event("warning", f"{damage}: the checkpoint of {position} is left out for the one before.")
                continue
            if before_load is not None:
                before_load(position)
            self._load(model, position, facts)
            return position
        if damages:
            raise CheckpointError(
                f"No checkpoint is whole: {'; '.join(damages)}. Remove the files of {self.directory} to begin anew, or "
                "start a new run."
            )
        return Position(0)

    def positions(self) -> list[Position]:
        """Where there is a checkpoint, whole or not, in increasing order."""
        return self._files.positions()

    def files(self, position: Position) -> list[Path]:
        """The files of the checkpoint at a position, the one that says that it is whole last; none if there is none."""
        files = self._files
        paths = (files.weights(position), files.average(position), files.facts(position))
        return [path for path in paths if path.exists()]

    def save(self, position: Position) -> None:
        """Save the model as it is now and remove the oldest checkpoints, but not that of the best epoch.

        Raises:
            DivergedError: The model has weights that are not finite; nothing is written.
            keras_tricks.runs.StorageError: There is no room; the checkpoints before are as they were.
        """
        if self.run is not None:
            self.run.require_directory()
        self.directory.mkdir(parents=self.run is None, exist_ok=True)
        model, files = self.model, self._files
        # Read by several workers at once, of which one may be lost: before anything is written.
        metrics = [_array(variable).tolist() for variable in model.metrics_variables]
        average = self.averaging.state() if self.averaging is not None else {}
        with self._raw_weights():
            _require_finite(position, ((variable.path, _array(variable)) for variable in model.weights))
            _require_finite(position, ((f"the average of weight {place}", value) for place, value in average.items()))
            checksum = files.write(files.weights(position), _size_of_weights(model), model.save_weights)
        average_checksum = None
        if average:
            size = sum(value.nbytes + 512 for value in average.values())
            average_checksum = files.write(files.average(position), size, lambda path: np.savez(path, **average))
        facts = {
            "epoch": position.epoch,
            "step": position.step,
            "size": files.weights(position).stat().st_size,
            "crc32": checksum,
            "average_crc32": average_checksum,
            "seeds": [_array(seed).tolist() for seed in _seed_variables(model)],
            "metrics": metrics,
            "best": None if self.best is None else self.best.model_dump(),
        }
        files.write_facts(position, facts)
        best = self.best
        is_best = best is not None and position == Position(best.epoch)
        self._event("checkpoint", f"{position} saved" + (f", the best {best.metric} so far" if is_best else ""))
        files.remove(self._outdated(position))

    def on_epoch_begin(self, epoch, logs=None):
        """Let the metrics of an epoch that was broken off go on."""
        if self._metrics_of_epoch is not None and self._metrics_of_epoch[0] == epoch:
            _, values = self._metrics_of_epoch
            self._metrics_of_epoch = None
            for variable, value in zip(self.model.metrics_variables, values, strict=True):
                variable.assign(np.asarray(value, dtype=variable.dtype))

    def on_epoch_end(self, epoch, logs=None):
        """Save a checkpoint."""
        self._best = best_of(self._best, self.monitor, (logs or {}).get(self.monitor), epoch + 1)
        self.save(Position(epoch + 1))

    def _outdated(self, newest: Position) -> list[Position]:
        """The checkpoints to remove now that the one at `newest` is whole.

        One further on is none of this training: it was damaged, and left out when the training was resumed.
        """
        until_now = [position for position in self.positions() if position <= newest]
        kept = set(until_now[-self.keep :])
        if self.best is not None:
            kept.add(Position(self.best.epoch))
        return [position for position in self.positions() if position not in kept]

    def _load(self, model: keras.Model, position: Position, facts: dict[str, Any]) -> None:
        model.optimizer.build(model.trainable_variables)
        try:
            model.load_weights(self._files.weights(position))
            _set_seeds(model, facts["seeds"])
        except ValueError as error:
            raise CheckpointError(f"The checkpoint of {position} is of another model.") from error
        if self.averaging is not None:
            self._restore_average(position, facts)
        self._metrics_of_epoch = (position.epoch, facts["metrics"]) if position.step else None
        self._best = None if facts["best"] is None else Best.model_validate(facts["best"])
        if self.run is not None:
            self.run.update(best=self._best)

    def _raw_weights(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self.averaging is None else self.averaging.raw_weights()

    def _restore_average(self, position: Position, facts: dict[str, Any]) -> None:
        if facts.get("average_crc32") is None:
            raise CheckpointError(
                f"The checkpoint of {position} has no averaged weights. Go on without averaging, or start a new run."
            )
        with np.load(self._files.average(position), allow_pickle=False) as arrays:
            self.averaging.set_state(dict(arrays))

    def _event(self, kind: str, message: str) -> None:
        if self.run is not None:
            self.run.event(kind, message)


def _require_finite(position: Position, arrays: Iterable[tuple[str, np.ndarray]]) -> None:
    verdicts = [(name, _is_finite(array)) for name, array in arrays]
    bad = [name for name, is_finite in verdicts if not is_finite]
    if bad:
        raise DivergedError(
            f"At {position}, {len(bad)} of {len(verdicts)} tensors have values that are not finite, {bad[0]} first; "
            "the last checkpoint stays. Lower the learning rate, lengthen the warmup, or use bfloat16 or float32."
        )


def _is_finite(array: np.ndarray) -> bool:
    """Whether all values are finite: the largest and the smallest tell, for each is NaN where any value is."""
    if array.size == 0 or not keras.backend.is_float_dtype(str(array.dtype)):
        return True
    return bool(np.isfinite(array.max()) and np.isfinite(array.min()))


def _size_of_weights(model: keras.Model) -> int:
    """About how many bytes the file of a model's weights and of its optimizer's state takes."""
    variables = [*model.weights, *model.optimizer.variables]
    widths = (8 if variable.dtype.endswith("64") else 4 for variable in variables)
    return sum(
        math.prod(variable.shape) * width + _BYTES_PER_VARIABLE
        for variable, width in zip(variables, widths, strict=True)
    )


def _seed_variables(model: keras.Model) -> list[keras.Variable]:
    """The states of the model's random layers, which `save_weights` leaves out."""
    return [variable for variable in model.non_trainable_variables if variable.name == "seed_generator_state"]


def _array(variable: keras.Variable) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable))


def _set_seeds(model: keras.Model, seeds: list[list[int]]) -> None:
    for variable, seed in zip(_seed_variables(model), seeds, strict=True):
        variable.assign(np.asarray(seed, dtype=variable.dtype))


__all__ = ["Checkpoint", "CheckpointError", "Position"]
