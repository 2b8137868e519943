"""Checkpoint: save all that an exact resume needs at the end of each epoch."""

from __future__ import annotations

import json
import os
import re
import zlib
from pathlib import Path

import keras
import numpy as np

from keras_tricks.runs import Best, RunWriter
from keras_tricks.runs.writer import write_atomically


class CheckpointError(RuntimeError):
    """No checkpoint can be read."""


class Checkpoint(keras.callbacks.Callback):
    """Save weights, optimizer, loss scale, seeds and the best value so far at the end of each epoch.

    A checkpoint is two files: `epoch-0003.weights.h5`, and `epoch-0003.json` with its checksum, which is written last
    and so says that the checkpoint is whole. Each is replaced in one go. The newest `keep` stay. The order of the data
    needs no file: `keras_tricks.data` derives it from the seed and the epoch.

    Unlike `keras.callbacks.BackupAndRestore` it keeps its files at the end, knows the seeds of random layers, and falls
    back on the checkpoint before a damaged one.

    Example:

    ```python
    checkpoint = Checkpoint("checkpoints")
    first_epoch = checkpoint.restore(model)
    model.fit(dataset, initial_epoch=first_epoch, epochs=10, callbacks=[checkpoint])
    ```

    Args:
        directory: Folder for the checkpoints; made if absent.
        keep: How many of the newest to keep. Defaults to 2.
        run: The run's writer, which gets an event a checkpoint, and whose best value is saved and restored.

    Raises:
        ValueError: `keep` is below 1.
    """

    def __init__(self, directory: str | Path, keep: int = 2, run: RunWriter | None = None):
        super().__init__()
        if keep < 1:
            raise ValueError(f"Expected keep to be at least 1. Received: keep={keep}")
        self.directory = Path(directory)
        self.keep = keep
        self.run = run

    def restore(self, model: keras.Model) -> int:
        """Load the newest whole checkpoint into a built, compiled `model`.

        Returns:
            The number of epochs that it has been trained for: `initial_epoch` of the next `fit`; 0 without any
            checkpoint.

        Raises:
            CheckpointError: There are checkpoints, and none is whole.
        """
        damaged = []
        for epoch in reversed(self.epochs()):
            facts = self._read_facts(epoch)
            if facts is None:
                damaged.append(epoch)
                self._event("warning", f"The checkpoint of epoch {epoch} is damaged; taking the one before.")
                continue
            model.optimizer.build(model.trainable_variables)
            model.load_weights(self._weights_path(epoch))
            _set_seeds(model, facts["seeds"])
            if self.run is not None:
                best = facts["best"]
                self.run.update(best=None if best is None else Best.model_validate(best))
            return epoch
        if damaged:
            raise CheckpointError(f"No checkpoint in {self.directory} is whole (epochs {damaged}). Start a new run.")
        return 0

    def epochs(self) -> list[int]:
        """The epochs of which there is a checkpoint, whole or not, in increasing order."""
        if not self.directory.is_dir():
            return []
        names = (re.fullmatch(r"epoch-(\d+)\.weights\.h5", path.name) for path in self.directory.iterdir())
        return sorted(int(name[1]) for name in names if name)

    def on_epoch_end(self, epoch, logs=None):
        """Save a checkpoint and remove the oldest."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self._weights_path(epoch + 1)
        temporary = path.with_name(f".{os.getpid()}.{path.name}")
        try:
            self.model.save_weights(temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            checksum = _checksum(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        best = None if self.run is None or self.run.status.best is None else self.run.status.best.model_dump()
        facts = {
            "epoch": epoch + 1,
            "size": path.stat().st_size,
            "crc32": checksum,
            "seeds": _seeds(self.model),
            "best": best,
        }
        write_atomically(self._facts_path(epoch + 1), json.dumps(facts))
        self._event("checkpoint", f"epoch {epoch + 1} saved")
        for old in self.epochs()[: -self.keep]:
            self._facts_path(old).unlink(missing_ok=True)
            self._weights_path(old).unlink(missing_ok=True)

    def _read_facts(self, epoch: int) -> dict | None:
        """The facts of a checkpoint, or None if it is not whole."""
        path = self._weights_path(epoch)
        try:
            facts = json.loads(self._facts_path(epoch).read_text())
            whole = path.stat().st_size == facts["size"] and _checksum(path) == facts["crc32"]
        except (OSError, ValueError, KeyError):
            return None
        return facts if whole else None

    def _weights_path(self, epoch: int) -> Path:
        return self.directory / f"epoch-{epoch:04d}.weights.h5"

    def _facts_path(self, epoch: int) -> Path:
        return self.directory / f"epoch-{epoch:04d}.json"

    def _event(self, kind: str, message: str) -> None:
        if self.run is not None:
            self.run.event(kind, message)


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _seed_variables(model: keras.Model) -> list[keras.Variable]:
    """The states of the model's random layers, which `save_weights` leaves out."""
    return [variable for variable in model.non_trainable_variables if variable.name == "seed_generator_state"]


def _seeds(model: keras.Model) -> list[list[int]]:
    return [np.asarray(keras.ops.convert_to_numpy(seed)).tolist() for seed in _seed_variables(model)]


def _set_seeds(model: keras.Model, seeds: list[list[int]]) -> None:
    for variable, seed in zip(_seed_variables(model), seeds, strict=True):
        variable.assign(np.asarray(seed, dtype=variable.dtype))
