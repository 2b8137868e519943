"""Find the files of metrics that Keras's own callbacks write."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from keras_tricks.runs.csv_log import is_csv_log
from keras_tricks.runs.event_file import EVENT_FILES

SIDES = {"": "", "train": "", "validation": "val_"}
"""The folders in which TensorBoard's callback writes, and what the names of their metrics begin with."""

_CSV_SUFFIXES = frozenset({".csv", ".tsv", ".log", ".txt"})


@dataclass(frozen=True)
class ForeignFiles:
    """The files of metrics of one training.

    Args:
        csv: The file of CSVLogger, or None; of several the one that was written last.
        events: TensorBoard's event files in the order in which they were begun, and what their metrics' names begin
            with.
    """

    csv: Path | None
    events: dict[Path, str]

    @classmethod
    def within(cls, directory: Path) -> ForeignFiles:
        """Find them in a folder.

        Raises:
            OSError: It cannot be read.
        """
        logs = {
            path: _written(path) for path in directory.iterdir() if path.suffix in _CSV_SUFFIXES and is_csv_log(path)
        }
        events: dict[Path, str] = {}
        for folder, prefix in SIDES.items():
            paths = (directory / folder).glob(EVENT_FILES)
            events.update(dict.fromkeys(sorted(paths, key=lambda path: (_begun(path) or 0, path)), prefix))
        return cls(max(logs, key=logs.__getitem__, default=None), events)

    def __bool__(self) -> bool:
        return self.csv is not None or bool(self.events)

    def __iter__(self) -> Iterator[Path]:
        yield from () if self.csv is None else (self.csv,)
        yield from self.events

    @property
    def writers(self) -> str:
        """Who wrote them."""
        return " and ".join(name for name, files in (("CSVLogger", self.csv), ("TensorBoard", self.events)) if files)

    @property
    def written(self) -> float:
        """When one of them was written to last, in seconds since 1970."""
        return max(map(_written, self), default=0.0)

    @property
    def begun(self) -> float:
        """The earliest time that they tell of; of a CSV file no better one is known than that of its last line."""
        return min((_begun(path) or _written(path) for path in self), default=0.0)


def _begun(path: Path) -> int | None:
    """The time at which an event file was begun, which its name says."""
    word = path.name.partition("tfevents.")[2].partition(".")[0]
    return int(word) if word.isascii() and word.isdigit() else None


def _written(path: Path) -> float:
    try:
        return min(path.stat().st_mtime, time.time())
    except FileNotFoundError:
        return 0.0
