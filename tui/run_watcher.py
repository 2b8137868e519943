"""RunWatcher: follow one run, reading only what is new."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from pydantic import ValidationError

from keras_tricks.runs import (
    LIVE_STATES,
    Event,
    JsonLines,
    MetricRow,
    MetricsHistory,
    Run,
    RunError,
    Status,
    schema,
)

Points = tuple[tuple[float, ...], tuple[float, ...]]
"""The x and the y of a curve."""

_FIRST_LOG_BYTES = 64 * 1024
_TERMINAL_CODES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[^\[]|[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class RunView:
    """What is seen of a run at one look.

    Args:
        directory: The run directory.
        name: The recipe's name.
        about: Model and data.
        status: Its status, with the true state.
        stop_requested: Whether it was asked to stop and has not stopped yet.
        curves: The points of each metric. x counts epochs, or steps while the number of epochs is unknown.
        x_label: What x counts.
        new_log_lines: Log lines since the last look.
        log_restarted: Whether the log begins again with these lines.
        events: All events.
        broken_lines: Lines of the metrics that could not be read.
        cpu_percent: Load of the trainer, 100 for one core; None where it cannot be known.
        memory_bytes: Memory that the trainer holds.
        killed: Whether it was killed from here.
    """

    directory: Path
    name: str
    about: str
    status: Status
    stop_requested: bool
    curves: dict[str, Points]
    x_label: str
    new_log_lines: list[str]
    log_restarted: bool
    events: tuple[Event, ...]
    broken_lines: int
    cpu_percent: float | None
    memory_bytes: int | None
    killed: bool = False

    @property
    def state(self) -> str:
        """The state, or `stopping`, or `killed`."""
        if self.killed and self.status.state == "lost":
            return "killed"
        return "stopping" if self.stop_requested and self.is_live else self.status.state

    @property
    def is_live(self) -> bool:
        """Whether a trainer works on it."""
        return self.status.state in LIVE_STATES

    def last(self, metric: str) -> float | None:
        """The newest value of a metric."""
        return self.status.last.get(metric)


@dataclass
class _Curve:
    x: list[int] = field(default_factory=list)
    y: list[float] = field(default_factory=list)


class RunWatcher:
    """Follow one run.

    Args:
        directory: The run directory.

    Raises:
        RunError: It is not a run directory.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        self._run = Run(directory)
        document = self._run.document()
        recipe = document.get("recipe")
        recipe = recipe if isinstance(recipe, dict) else {}
        self._name = str(document.get("name") or directory.name)
        self._about = " on ".join(str(recipe[key]) for key in ("model", "data") if key in recipe)
        self._history = MetricsHistory(directory / schema.METRICS_FILE)
        self._curves: dict[str, _Curve] = {}
        self._event_lines = JsonLines(directory / schema.EVENTS_FILE)
        self._events: list[Event] = []
        self._log = _LogTail(directory / schema.LOG_FILE)
        self._process: psutil.Process | None = None

    def look(self) -> RunView:
        """Read what is new.

        Raises:
            RunError: The run is gone, broken, or newer than this reader.
            OSError: A file cannot be read.
        """
        status = self._run.status()
        self._read_metrics()
        self._read_events()
        log_lines, log_restarted = self._log.read()
        cpu_percent, memory_bytes = self._measure_process(status)
        steps_per_epoch = status.steps / status.epochs if status.steps and status.epochs else None
        return RunView(
            directory=self.directory,
            name=self._name,
            about=self._about,
            status=status,
            stop_requested=(self.directory / schema.STOP_FILE).exists(),
            curves={name: _points(curve, steps_per_epoch) for name, curve in self._curves.items()},
            x_label="epoch" if steps_per_epoch else "step",
            new_log_lines=log_lines,
            log_restarted=log_restarted,
            events=tuple(self._events),
            broken_lines=self._history.broken_lines,
            cpu_percent=cpu_percent,
            memory_bytes=memory_bytes,
        )

    def _read_metrics(self) -> None:
        rows_before = len(self._history.rows)
        new = self._history.update()
        if len(self._history.rows) == rows_before + len(new):
            self._extend_curves(new)
        else:
            self._curves.clear()
            self._extend_curves(self._history.rows)

    def _extend_curves(self, rows: Iterable[MetricRow]) -> None:
        for row in rows:
            if row.kind not in ("step", "epoch"):
                continue
            for name, value in row.values.items():
                curve = self._curves.setdefault(name, _Curve())
                if curve.x and curve.x[-1] == row.step:
                    curve.y[-1] = value
                else:
                    curve.x.append(row.step)
                    curve.y.append(value)

    def _read_events(self) -> None:
        records = list(self._event_lines)
        if self._event_lines.restarted:
            self._events.clear()
        for record in records:
            try:
                self._events.append(Event.model_validate(record))
            except ValidationError:
                self._event_lines.broken_lines += 1

    def _measure_process(self, status: Status) -> tuple[float | None, int | None]:
        if status.state not in LIVE_STATES or status.host != socket.gethostname() or status.pid is None:
            self._process = None
            return None, None
        try:
            if self._process is None or self._process.pid != status.pid:
                self._process = psutil.Process(status.pid)
                self._process.cpu_percent()
                return None, self._process.memory_info().rss
            return self._process.cpu_percent(), self._process.memory_info().rss
        except psutil.Error:
            self._process = None
            return None, None


class _LogTail:
    """The lines of a growing text file, from near its end on, without terminal control codes."""

    def __init__(self, path: Path):
        self._path = path
        self._inode: int | None = None
        self._offset = 0
        self._rest = b""

    def read(self) -> tuple[list[str], bool]:
        """Return the lines since the last reading, and whether the file began anew."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return [], False
        with file:
            facts = os.fstat(file.fileno())
            restarted = facts.st_ino != self._inode or facts.st_size < self._offset
            skipped = False
            if restarted:
                self._inode, self._rest = facts.st_ino, b""
                self._offset = max(0, facts.st_size - _FIRST_LOG_BYTES)
                skipped = self._offset > 0
            file.seek(self._offset)
            data = self._rest + file.read()
            self._offset = file.tell()
        whole, _, self._rest = data.rpartition(b"\n")
        lines = whole.decode(errors="replace").split("\n") if whole else []
        return [_plain(line) for line in lines[skipped:]], restarted


def _plain(line: str) -> str:
    """The line as a terminal would leave it: what follows the last carriage return, without control codes."""
    return _TERMINAL_CODES.sub("", line.rstrip("\r").rpartition("\r")[2]).expandtabs()


def _points(curve: _Curve, steps_per_epoch: float | None) -> Points:
    return tuple(step / (steps_per_epoch or 1.0) for step in curve.x), tuple(curve.y)


def newest_run(root: Path) -> Path | None:
    """Return the newest run that is alive, else the newest that can be read, else the newest; None without any.

    Raises:
        OSError: The folder cannot be read.
    """
    if not root.exists():
        return None
    newest = newest_readable = None
    for path in sorted((path for path in root.iterdir() if path.is_dir()), reverse=True):
        try:
            if not (path / schema.RECIPE_FILE).is_file():
                continue
            newest = newest or path
            run = Run(path)
            run.document()
            if run.status().state in LIVE_STATES:
                return path
        except (RunError, OSError, ValueError):
            continue
        newest_readable = newest_readable or path
    return newest_readable or newest
