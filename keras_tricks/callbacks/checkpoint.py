"""Checkpoint: save all that an exact resume needs at the end of each epoch."""

from __future__ import annotations

import contextlib
import json
import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_tricks.callbacks.weight_averaging import WeightAveraging
from keras_tricks.runs import Best, RunError, RunWriter
from keras_tricks.runs.storage import write_atomically

_NAME = re.compile(r"epoch-(\d+)(?:-step-(\d+))?\.weights\.h5")


class CheckpointError(RunError):
    """No checkpoint can be read."""


class Position(NamedTuple):
    """How far a training has come.

    Args:
        epoch: Finished epochs.
        step: Finished steps of the epoch in progress.
    """

    epoch: int
    step: int = 0


class Checkpoint(keras.callbacks.Callback):
    """Save weights, optimizer, loss scale, seeds and the best value so far at the end of each epoch.

    A checkpoint is two files: `epoch-0003.weights.h5`, and `epoch-0003.json` with its checksum, which is written last
    and so says that the checkpoint is whole; with averaged weights there is `epoch-0003.average.npz` too. Each is
    replaced in one go. The newest `keep` stay. The order of the data
    needs no file: `keras_tricks.data` derives it from the seed and the epoch.

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
        averaging: The `WeightAveraging` of the training. The checkpoint then holds the raw weights and the average,
            and `restore` gives both back, the average to this callback.

    Raises:
        ValueError: `keep` is below 1.
    """

    def __init__(
        self,
        directory: str | Path,
        keep: int = 2,
        run: RunWriter | None = None,
        averaging: WeightAveraging | None = None,
    ):
        super().__init__()
        if keep < 1:
            raise ValueError(f"Expected keep to be at least 1. Received: keep={keep}")
        self.directory = Path(directory)
        self.keep = keep
        self.run = run
        self.averaging = averaging
        self._metrics_of_epoch: tuple[int, list[float]] | None = None

    def restore(self, model: keras.Model) -> Position:
        """Load the newest whole checkpoint into a built, compiled `model`.

        Returns:
            How far the model has been trained; its `epoch` is `initial_epoch` of the next `fit`. Both are 0 without
            any checkpoint. After a checkpoint within an epoch the metrics of that epoch go on in the next `fit` if
            this callback takes part in it.

        Raises:
            CheckpointError: There are checkpoints, and none is whole.
        """
        positions = self.positions()
        for position in reversed(positions):
            facts = self._read_facts(position)
            if facts is None:
                self._event("warning", f"The checkpoint of {_words(position)} is damaged; taking the one before.")
                continue
            model.optimizer.build(model.trainable_variables)
            try:
                model.load_weights(self._path(position, "weights.h5"))
                _set_seeds(model, facts["seeds"])
            except ValueError as error:
                raise CheckpointError(f"The checkpoint of {_words(position)} is of another model.") from error
            if self.averaging is not None:
                self._restore_average(position, facts)
            self._metrics_of_epoch = (position.epoch, facts["metrics"]) if position.step else None
            if self.run is not None:
                best = facts["best"]
                self.run.update(best=None if best is None else Best.model_validate(best))
            return position
        if positions:
            raise CheckpointError(f"No checkpoint in {self.directory} is whole. Start a new run.")
        return Position(0)

    def positions(self) -> list[Position]:
        """Where there is a checkpoint, whole or not, in increasing order."""
        if not self.directory.is_dir():
            return []
        names = (_NAME.fullmatch(path.name) for path in self.directory.iterdir())
        return sorted(Position(int(name[1]), int(name[2] or 0)) for name in names if name)

    def save(self, position: Position) -> None:
        """Save the model as it is now and remove the oldest checkpoints."""
        self.directory.mkdir(parents=True, exist_ok=True)
        model = self.model
        path = self._path(position, "weights.h5")
        with self._raw_weights():
            checksum = _write(path, model.save_weights)
        average_checksum = None
        if self.averaging is not None and (average := self.averaging.state()):
            average_checksum = _write(self._path(position, "average.npz"), lambda file: np.savez(file, **average))
        best = None if self.run is None else self.run.status.best
        facts = {
            "epoch": position.epoch,
            "step": position.step,
            "size": path.stat().st_size,
            "crc32": checksum,
            "average_crc32": average_checksum,
            "seeds": [_values(seed) for seed in _seed_variables(model)],
            "metrics": [_values(variable) for variable in model.metrics_variables],
            "best": None if best is None else best.model_dump(),
        }
        write_atomically(self._path(position, "json"), json.dumps(facts))
        self._event("checkpoint", f"{_words(position)} saved")
        for old in self.positions()[: -self.keep]:
            for ending in ("json", "weights.h5", "average.npz"):
                self._path(old, ending).unlink(missing_ok=True)

    def on_epoch_begin(self, epoch, logs=None):
        """Let the metrics of an epoch that was broken off go on."""
        if self._metrics_of_epoch is not None and self._metrics_of_epoch[0] == epoch:
            _, values = self._metrics_of_epoch
            self._metrics_of_epoch = None
            for variable, value in zip(self.model.metrics_variables, values, strict=True):
                variable.assign(np.asarray(value, dtype=variable.dtype))

    def on_epoch_end(self, epoch, logs=None):
        """Save a checkpoint."""
        self.save(Position(epoch + 1))

    def _read_facts(self, position: Position) -> dict | None:
        """The facts of a checkpoint, or None if it is not whole."""
        path = self._path(position, "weights.h5")
        try:
            facts = json.loads(self._path(position, "json").read_text())
            whole = path.stat().st_size == facts["size"] and _checksum(path) == facts["crc32"]
            average = facts.get("average_crc32")
            if average is not None:
                whole = whole and _checksum(self._path(position, "average.npz")) == average
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return facts if whole and facts.keys() >= {"seeds", "metrics", "best"} else None

    def _raw_weights(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self.averaging is None else self.averaging.raw_weights()

    def _restore_average(self, position: Position, facts: dict) -> None:
        if facts.get("average_crc32") is None:
            raise CheckpointError(
                f"The checkpoint of {_words(position)} has no averaged weights. Go on without WeightAveraging, or "
                "start a new run."
            )
        with np.load(self._path(position, "average.npz"), allow_pickle=False) as arrays:
            self.averaging.set_state(dict(arrays))

    def _path(self, position: Position, ending: str) -> Path:
        step = f"-step-{position.step:07d}" if position.step else ""
        return self.directory / f"epoch-{position.epoch:04d}{step}.{ending}"

    def _event(self, kind: str, message: str) -> None:
        if self.run is not None:
            self.run.event(kind, message)


def _words(position: Position) -> str:
    if position.step:
        return f"step {position.step} of epoch {position.epoch + 1}"
    return f"epoch {position.epoch}"


def _write(path: Path, write: Callable[[Path], None]) -> int:
    """Replace a file in one go with what `write` writes, and return its checksum."""
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        checksum = _checksum(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return checksum


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _seed_variables(model: keras.Model) -> list[keras.Variable]:
    """The states of the model's random layers, which `save_weights` leaves out."""
    return [variable for variable in model.non_trainable_variables if variable.name == "seed_generator_state"]


def _values(variable: keras.Variable) -> Any:
    return np.asarray(keras.ops.convert_to_numpy(variable)).tolist()


def _set_seeds(model: keras.Model, seeds: list[list[int]]) -> None:
    for variable, seed in zip(_seed_variables(model), seeds, strict=True):
        variable.assign(np.asarray(seed, dtype=variable.dtype))
