"""RunLister: look at all runs again and again, reading only what changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from keras_tricks.runs import LIVE_STATES, Run, RunError, Status, schema

_MARKS_OF_A_RUN = (schema.STATUS_FILE, schema.METRICS_FILE, schema.LOG_FILE)


@dataclass(frozen=True)
class RunRow:
    """What a list says of a run; `state` is `broken`, and `error` the reason, where it cannot be read."""

    directory: Path
    state: str
    name: str
    about: str = ""
    epoch: int = 0
    epochs: int = 0
    val_accuracy: float | None = None
    val_loss: float | None = None
    images_per_second: float | None = None
    duration_s: float | None = None
    started: float | None = None
    error: str = ""

    @property
    def id(self) -> str:
        """The directory's name."""
        return self.directory.name

    @property
    def is_live(self) -> bool:
        """Whether a trainer works on it."""
        return self.state in LIVE_STATES or self.state == "stopping"


class RunLister:
    """Look at all runs under a folder.

    What is in a run's `recipe.json` is read once; the status of a run that has ended, when its file changes.

    Args:
        root: The folder of run directories.
        clock: Seconds since 1970.
    """

    def __init__(self, root: Path, clock: Callable[[], float] = time.time):
        self.root = root
        self._clock = clock
        self._names: dict[str, tuple[str, str]] = {}
        self._ended: dict[str, tuple[int, RunRow]] = {}

    def look(self) -> list[RunRow]:
        """Return a row for each run, newest first.

        Raises:
            OSError: The folder cannot be read.
        """
        if not self.root.exists():
            return []
        directories = sorted((path for path in self.root.iterdir() if path.is_dir()), reverse=True)
        rows = [self._row(directory) for directory in directories if _is_run(directory)]
        here = {row.id for row in rows}
        self._names = {key: value for key, value in self._names.items() if key in here}
        self._ended = {key: value for key, value in self._ended.items() if key in here}
        return rows

    def _row(self, directory: Path) -> RunRow:
        try:
            changed = (directory / schema.STATUS_FILE).stat().st_mtime_ns
            known = self._ended.get(directory.name)
            if known and known[0] == changed:
                return known[1]
            run = Run(directory)
            name, about = self._name(run)
            row = self._readable_row(run, run.status(), name, about)
        except FileNotFoundError as error:
            missing = Path(error.filename or schema.STATUS_FILE).name
            return _broken(directory, f"It has no {missing}: the run is incomplete.")
        except (RunError, OSError, ValidationError) as error:
            return _broken(directory, reason_without_path(error, directory))
        if row.state in schema.TERMINAL_STATES:
            self._ended[directory.name] = (changed, row)
        return row

    def _name(self, run: Run) -> tuple[str, str]:
        if run.id not in self._names:
            document = run.document()
            recipe = document.get("recipe")
            recipe = recipe if isinstance(recipe, dict) else {}
            about = " on ".join(str(recipe[key]) for key in ("model", "data") if key in recipe)
            self._names[run.id] = (str(document.get("name") or run.id), about)
        return self._names[run.id]

    def _readable_row(self, run: Run, status: Status, name: str, about: str) -> RunRow:
        state: str = status.state
        if state in LIVE_STATES and (run.directory / schema.STOP_FILE).exists():
            state = "stopping"
        end = self._clock() if status.state in LIVE_STATES else status.ended or status.heartbeat
        return RunRow(
            directory=run.directory,
            state=state,
            name=name,
            about=about,
            epoch=status.epoch,
            epochs=status.epochs,
            val_accuracy=status.last.get("val_accuracy"),
            val_loss=status.last.get("val_loss"),
            images_per_second=status.images_per_second,
            duration_s=None if status.started is None else max(0.0, end - status.started),
            started=status.started,
            error=status.error or "",
        )


def reason_without_path(error: Exception, directory: Path) -> str:
    """Return what is wrong with a run, the long path of its directory shortened to its name."""
    return str(error).replace(f"{directory}/", "").replace(str(directory), directory.name)


def _is_run(directory: Path) -> bool:
    """Whether this is a run, or what is left of one."""
    try:
        return any((directory / file).exists() for file in (schema.RECIPE_FILE, *_MARKS_OF_A_RUN))
    except OSError:
        return True


def _broken(directory: Path, reason: str) -> RunRow:
    return RunRow(directory=directory, state="broken", name=directory.name, error=reason)
