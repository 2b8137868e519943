"""RunWatcher: follow one run, reading only what is new."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from keras_tricks.runs import (
    LIVE_STATES,
    Event,
    JsonLines,
    RunError,
    Status,
    open_run,
    run_directories,
    schema,
)
from tui.curves import Curve, Curves
from tui.log_tail import LogNews, LogTail
from tui.machine import TrainerLoad, TrainerProcesses


@dataclass(frozen=True)
class RunView:
    """What is seen of a run at one look.

    Args:
        directory: The run directory.
        name: The recipe's name.
        about: Model and data, or what wrote the run.
        status: Its status, with the true state.
        is_read_only: Whether it can only be looked at.
        has_recipe: Whether its training can be repeated from a recipe.
        stop_requested: Whether it was asked to stop and has not stopped yet.
        curves: The points of each metric.
        log: Log lines since the last look.
        events: All events.
        broken_lines: Lines of the metrics that could not be read.
        trainer: Load of the trainer; None where it cannot be known.
        killed: Whether it was killed from here.
    """

    directory: Path
    name: str
    about: str
    status: Status
    is_read_only: bool
    has_recipe: bool
    stop_requested: bool
    curves: dict[str, Curve]
    log: LogNews
    events: tuple[Event, ...]
    broken_lines: int
    trainer: TrainerLoad | None
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

    @property
    def is_elsewhere(self) -> bool:
        """Whether its trainer works, or worked, on another host."""
        return self.status.host not in ("", socket.gethostname())

    @property
    def steps_per_epoch(self) -> float | None:
        """Steps of an epoch; None while the number of epochs is unknown."""
        status = self.status
        return status.steps / status.epochs if status.steps and status.epochs else None


class RunWatcher:
    """Follow one run.

    Args:
        directory: The run directory.

    Raises:
        RunError: It is not a run directory.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        self._run = open_run(directory)
        document = self._run.document()
        recipe = document.get("recipe")
        self._has_recipe = isinstance(recipe, dict)
        recipe = recipe if isinstance(recipe, dict) else {}
        self._name = str(document.get("name") or directory.name)
        words = [str(recipe[key]) for key in ("model", "data") if key in recipe]
        self._about = " on ".join(words) or str(document.get("written_by") or "")
        self._history = self._run.history()
        self._curves = Curves()
        self._event_lines = JsonLines(directory / schema.EVENTS_FILE)
        self._events: list[Event] = []
        self._log = LogTail(directory / schema.LOG_FILE)
        self._processes = TrainerProcesses()

    def look(self) -> RunView:
        """Read what is new.

        Raises:
            RunError: The run is gone, broken, or newer than this reader.
            OSError: A file cannot be read.
        """
        status = self._run.status()
        self._read_metrics()
        self._read_events()
        return RunView(
            directory=self.directory,
            name=self._name,
            about=self._about,
            status=status,
            is_read_only=self._run.is_read_only,
            has_recipe=self._has_recipe,
            stop_requested=(self.directory / schema.STOP_FILE).exists(),
            curves=self._curves.show(),
            log=self._log.read(),
            events=tuple(self._events),
            broken_lines=self._history.broken_lines,
            trainer=self._trainer_load(status),
        )

    def _read_metrics(self) -> None:
        rows = self._history.read()
        if self._history.restarted:
            self._curves.clear()
        for row in rows:
            self._curves.add(row)

    def _read_events(self) -> None:
        if self._run.is_read_only:
            self._events = self._run.events()
            return
        records = iter(self._event_lines)
        if self._event_lines.restarted:
            self._events.clear()
        for record in records:
            try:
                self._events.append(Event.model_validate(record))
            except ValidationError:
                self._event_lines.broken_lines += 1

    def _trainer_load(self, status: Status) -> TrainerLoad | None:
        if status.state not in LIVE_STATES or status.host != socket.gethostname():
            return None
        return self._processes.look(status)


def newest_run(root: Path) -> Path | None:
    """Return the newest run that is alive, else the newest that can be read, else the newest; None without any.

    Raises:
        OSError: The folder cannot be read.
    """
    if not root.exists():
        return None
    os.scandir(root).close()
    newest = newest_readable = None
    for path in run_directories(root):
        try:
            run = open_run(path)
            newest = newest or path
            run.document()
            if run.status().state in LIVE_STATES:
                return path
        except (RunError, OSError, ValueError):
            continue
        newest_readable = newest_readable or path
    return newest_readable or newest
