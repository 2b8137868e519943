"""The files of checkpoints: their names, which are whole, and how they are written."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from keras_tricks.runs import RunError
from keras_tricks.runs.storage import (
    remove_leftovers,
    require_room,
    storing,
    temporary_path,
    write_atomically,
)

_NAME = re.compile(r"epoch-(\d+)(?:-step-(\d+))?\.weights\.h5")
_FACTS = frozenset({"size", "crc32", "seeds", "metrics", "best"})


class CheckpointError(RunError):
    """No checkpoint can be read."""


class DamagedCheckpointError(CheckpointError):
    """One checkpoint is not whole; the message names the file and what is wrong with it."""


class Position(NamedTuple):
    """How far a training has come.

    Args:
        epoch: Finished epochs.
        step: Finished steps of the epoch in progress.
    """

    epoch: int
    step: int = 0

    def __str__(self) -> str:
        if self.step:
            return f"step {self.step} of epoch {self.epoch + 1}"
        return f"epoch {self.epoch}"


class CheckpointFiles:
    """The checkpoints in a directory.

    A checkpoint is `epoch-0003.weights.h5`, with averaged weights `epoch-0003.average.npz`, and `epoch-0003.json` with
    the checksums of both, which is written last and so says that the checkpoint is whole. Each file is replaced in one
    go.

    Args:
        directory: The directory, which need not exist.
    """

    def __init__(self, directory: Path):
        self.directory = directory

    def positions(self) -> list[Position]:
        """Where there is a checkpoint, whole or not, in increasing order."""
        if not self.directory.is_dir():
            return []
        names = (_NAME.fullmatch(path.name) for path in self.directory.iterdir())
        return sorted(Position(int(name[1]), int(name[2] or 0)) for name in names if name)

    def weights(self, position: Position) -> Path:
        """The file of the weights and of the optimizer's state."""
        return self._path(position, "weights.h5")

    def average(self, position: Position) -> Path:
        """The file of the averaged weights."""
        return self._path(position, "average.npz")

    def facts(self, position: Position) -> Path:
        """The file of everything else."""
        return self._path(position, "json")

    def read_facts(self, position: Position) -> dict[str, Any]:
        """Return the facts of a checkpoint after all its files have been compared with their checksums.

        Raises:
            DamagedCheckpointError: It is not whole.
        """
        path = self.facts(position)
        try:
            facts = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise DamagedCheckpointError(f"{path} is missing, as where the writing was broken off") from error
        except (OSError, ValueError) as error:
            raise DamagedCheckpointError(f"{path} is damaged") from error
        if not isinstance(facts, dict) or not facts.keys() >= _FACTS:
            raise DamagedCheckpointError(f"{path} is damaged")
        _require_checksum(self.weights(position), facts["crc32"])
        if facts.get("average_crc32") is not None:
            _require_checksum(self.average(position), facts["average_crc32"])
        return facts

    def write(self, path: Path, size: int, write: Callable[[Path], None]) -> int:
        """Replace a file in one go with what `write` writes, and return its checksum.

        Args:
            path: The file.
            size: About how many bytes it will have.
            write: Called with the path to write to.

        Raises:
            keras_tricks.runs.StorageError: There is no room for it; the file is as it was.
        """
        temporary = temporary_path(path)
        with storing(path):
            try:
                require_room(path, size)
                write(temporary)
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())
                checksum = _checksum(temporary)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        return checksum

    def write_facts(self, position: Position, facts: dict[str, Any]) -> None:
        """Write the facts of a checkpoint, which makes it whole."""
        path = self.facts(position)
        with storing(path):
            write_atomically(path, json.dumps(facts))

    def remove(self, positions: Iterable[Position]) -> None:
        """Remove checkpoints, the facts of each first."""
        for position in positions:
            for path in (self.facts(position), self.weights(position), self.average(position)):
                path.unlink(missing_ok=True)

    def remove_leftovers(self) -> None:
        """Remove what a killed process has left half-written."""
        remove_leftovers(self.directory)

    def _path(self, position: Position, ending: str) -> Path:
        step = f"-step-{position.step:07d}" if position.step else ""
        return self.directory / f"epoch-{position.epoch:04d}{step}.{ending}"


def _require_checksum(path: Path, expected: int) -> None:
    try:
        checksum = _checksum(path)
    except FileNotFoundError as error:
        raise DamagedCheckpointError(f"{path} is missing") from error
    except OSError as error:
        raise DamagedCheckpointError(f"{path} cannot be read ({error.strerror})") from error
    if checksum != expected:
        raise DamagedCheckpointError(f"{path} is damaged")


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return checksum
