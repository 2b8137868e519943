"""ForeignHistory: the metrics that Keras's own callbacks have written, as rows of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from keras_tricks.runs.csv_log import CsvLog
from keras_tricks.runs.event_file import EventFile, Scalar, can_read_event_files
from keras_tricks.runs.foreign_files import ForeignFiles
from keras_tricks.runs.records import MetricsHistory
from keras_tricks.runs.schema import MetricRow

_NAMES = {"lr": "learning_rate", "acc": "accuracy", "val_acc": "val_accuracy"}
"""Our names of what older versions of Keras call otherwise."""

_Key = tuple[str, int]
"""What a row is about: `epoch` and how many are finished, or `step` and which."""


@dataclass
class _Point:
    """The values of a row, each with the file that it stands in."""

    t: float
    values: dict[str, tuple[float, Path]] = field(default_factory=dict)


@dataclass
class ForeignHistory(MetricsHistory):
    """The metrics in a directory of CSVLogger or TensorBoard.

    The row of an epoch gathers what all files say of it. Its `step` is that of the optimizer where TensorBoard's files
    tell it, else the number of the epoch. The time of a line of CSVLogger, which it does not write down, is the time at
    which the file was last written when the line was read.

    Args:
        path: The directory.
    """

    def __post_init__(self) -> None:
        self._given: list[MetricRow] = []
        self._restarted = False
        self._forget()

    def read(self) -> Iterator[MetricRow]:
        """Return what is new; all rows, with `restarted` set, where older ones have changed.

        Raises:
            OSError: The directory or one of its files cannot be read.
        """
        files = ForeignFiles.within(self.path)
        self._restarted = False
        if not self._read(files):
            self._restarted = bool(self._given)
            self._forget()
            self._read(files)
        new = self._make_rows()
        if not self._restarted and new and self._given and _order(new[0]) < _order(self._given[-1]):
            self._restarted = True
        if self._restarted:
            self._given = sorted(self._rows.values(), key=_order)
            return iter(self._given)
        self._given += new
        return iter(new)

    @property
    def restarted(self) -> bool:
        """Whether the last reading gave all rows."""
        return self._restarted

    @property
    def broken_lines(self) -> int:
        """How many lines and records could not be read."""
        return (self._csv.broken if self._csv else 0) + sum(file.broken for file in self._events.values())

    def _forget(self) -> None:
        self._csv: CsvLog | None = None
        self._csv_path: Path | None = None
        self._csv_epoch = 0
        self._events: dict[Path, EventFile] = {}
        self._begun: set[tuple[Path, str]] = set()
        self._points: dict[_Key, _Point] = {}
        self._rows: dict[_Key, MetricRow] = {}
        self._changed: set[_Key] = set()
        self._iterations: dict[Path, int] = {}
        self._batches: dict[Path, int] = {}
        self._steps_per_epoch: float | None = None
        self._counts_iterations = False

    def _read(self, files: ForeignFiles) -> bool:
        """Take in what is new; False where a file that was read before is gone or another one."""
        if self._csv_path not in (None, files.csv) or not self._events.keys() <= files.events.keys():
            return False
        if files.csv is not None and not self._read_csv(files.csv):
            return False
        if can_read_event_files():
            for path, prefix in files.events.items():
                file = self._events.setdefault(path, EventFile(path))
                # One that is gone since the look into the directory is missed at the next look.
                with contextlib.suppress(FileNotFoundError):
                    for scalar in file.read():
                        self._take_scalar(scalar, path, prefix)
                if file.restarted:
                    return False
        return True

    def _read_csv(self, path: Path) -> bool:
        if self._csv is None:
            self._csv, self._csv_path = CsvLog(path), path
        with contextlib.suppress(FileNotFoundError):
            written = path.stat().st_mtime
            for epoch, values in self._csv.read():
                if epoch <= self._csv_epoch:
                    for name in list(values):
                        self._drop(("epoch", epoch), _name(name), path)
                self._csv_epoch = epoch
                for name, value in values.items():
                    self._put(("epoch", epoch), _name(name), value, path, written)
        return not self._csv.restarted

    def _take_scalar(self, scalar: Scalar, path: Path, prefix: str) -> None:
        tag, number = scalar.tag, scalar.step
        if tag.startswith("evaluation_") and tag.endswith("_vs_iterations"):
            # The same values come as the epoch's; only here is the optimizer's step beside them.
            self._iterations[path] = number
            return
        kind = "step"
        if tag.startswith("epoch_"):
            kind, tag, number = "epoch", tag.removeprefix("epoch_"), number + 1
            self._count_steps(path, number)
        elif tag.startswith("batch_"):
            tag = tag.removeprefix("batch_")
            self._batches[path] = number
        name = _name(prefix + tag)
        if (path, name + kind) not in self._begun:
            # A later file that goes back holds a later attempt: what the one before it did from there on is obsolete.
            self._begun.add((path, name + kind))
            self._drop((kind, number), name, path)
        self._put((kind, number), name, scalar.value, path, scalar.t)

    def _count_steps(self, path: Path, epochs: int) -> None:
        """Find how many steps an epoch has from what stands before its end in the same file."""
        if path in self._iterations and not self._counts_iterations:
            self._counts_iterations = True
            self._set_steps_per_epoch(self._iterations[path] / epochs)
        elif path in self._batches and self._steps_per_epoch is None:
            self._set_steps_per_epoch(self._batches[path] / epochs)

    def _set_steps_per_epoch(self, steps: float) -> None:
        if steps > 0 and steps != self._steps_per_epoch:
            self._steps_per_epoch = steps
            self._changed.update(self._points)

    def _put(self, key: _Key, name: str, value: float, path: Path, t: float) -> None:
        point = self._points.setdefault(key, _Point(t))
        if path != self._csv_path and name in point.values and point.values[name][1] == self._csv_path:
            return
        point.values[name] = value, path
        self._changed.add(key)

    def _drop(self, first: _Key, name: str, path: Path) -> None:
        """Leave out the values from a row on; an event file leaves those of CSVLogger, which are never late."""
        for key, point in self._points.items():
            if key[0] == first[0] and key[1] >= first[1] and name in point.values:
                written_by = point.values[name][1]
                if (written_by == self._csv_path) == (path == self._csv_path):
                    del point.values[name]
                    self._changed.add(key)

    def _make_rows(self) -> list[MetricRow]:
        """Make the changed rows and return them in order; `restarted` is set where one was there before."""
        new = []
        for key in self._changed:
            point = self._points[key]
            before = self._rows.pop(key, None)
            if point.values:
                self._rows[key] = self._row(key, point)
                new.append(self._rows[key])
            else:
                del self._points[key]
            self._restarted = self._restarted or before is not None
        self._changed.clear()
        return sorted(new, key=_order)

    def _row(self, key: _Key, point: _Point) -> MetricRow:
        kind, number = key
        steps_per_epoch = self._steps_per_epoch
        if kind == "epoch":
            epoch, step = number, round(number * (steps_per_epoch or 1))
        else:
            epoch, step = int(max(0, number - 1) / steps_per_epoch) if steps_per_epoch else 0, number
        values = {name: value for name, (value, _) in point.values.items()}
        return MetricRow(kind, point.t, 1, epoch, step, values)


def _order(row: MetricRow) -> tuple[int, bool]:
    return row.step, row.kind == "epoch"


def _name(name: str) -> str:
    return _NAMES.get(name, name)
