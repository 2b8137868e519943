"""ForeignRun: a training that wrote no run directory, but files of Keras's CSVLogger or TensorBoard."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keras_tricks.runs.event_file import MISSING, can_read_event_files
from keras_tricks.runs.foreign_files import ForeignFiles
from keras_tricks.runs.foreign_history import ForeignHistory
from keras_tricks.runs.run import Run
from keras_tricks.runs.schema import Event, MetricRow, RunError, Status, best_of

RUNNING_S = 300.0
"""A file that was written to so many seconds ago is taken for one that grows: TensorBoard keeps up to two minutes."""


class ForeignRun(Run):
    """A directory with files of Keras's CSVLogger or TensorBoard, read like a run.

    Its files do not say whether the training goes on: it is `running` while they grow, and `quiet` once nothing has
    been written to them for five minutes, finished or not. How many epochs it should have is not known either.

    Args:
        directory: The directory.

    Raises:
        RunError: It has no such files.
    """

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        self._history = self.history()
        self._seen: Status | None = None
        if not self._files():
            raise RunError(f"{self.directory} has no files of CSVLogger or TensorBoard.")

    def document(self) -> dict[str, Any]:
        """What a run's `recipe.json` would say, as far as it is known; `written_by` names the callbacks."""
        files = self._files()
        return {"name": self.id, "recipe": None, "created": files.begun, "written_by": files.writers}

    def recipe(self) -> dict[str, Any]:
        """Raise `RunError`: there is none."""
        raise RunError(f"{self.id} has no recipe: {self._files().writers} wrote it, and only its script can repeat it.")

    def status(self) -> Status:
        """What is known of its state; `error` says what is missing to read it.

        Raises:
            RunError: Its files are gone.
            OSError: One of them cannot be read.
        """
        files = self._files()
        if not files:
            raise RunError(f"{self.directory} has no files of CSVLogger or TensorBoard any more.")
        if self._history.update() or self._seen is None:
            self._seen = _summary(self._history.rows)
        is_growing = time.time() - files.written < RUNNING_S
        return self._seen.model_copy(
            update={
                "state": "running" if is_growing else "quiet",
                "heartbeat": files.written,
                "started": self._seen.started if files.events else None,
                "ended": None if is_growing else files.written,
                "error": MISSING if files.events and not can_read_event_files() else None,
            }
        )

    def result(self) -> None:
        """None: nothing sums it up."""
        return None

    def events(self) -> list[Event]:
        """None: neither callback writes events."""
        return []

    @property
    def is_read_only(self) -> bool:
        """True: nobody here knows its process, and its files are not ours."""
        return True

    def history(self) -> ForeignHistory:
        """The metrics, of which nothing is read before `update`."""
        return ForeignHistory(self.directory)

    def log_tail(self, lines: int = 200) -> list[str]:
        """Nothing: there is no log."""
        return []

    def is_locked(self) -> bool:
        """False: its trainer holds no lock."""
        return False

    def _files(self) -> ForeignFiles:
        try:
            return ForeignFiles.within(self.directory)
        except (FileNotFoundError, NotADirectoryError):
            return ForeignFiles(None, {})


def _summary(rows: list[MetricRow]) -> Status:
    """What rows of metrics tell of a run's status."""
    epochs = [row for row in rows if row.kind == "epoch"]
    best = None
    for name in ("val_accuracy", "val_loss"):
        for row in epochs if best is None else ():
            best = best_of(best, name, row.values.get(name), row.epoch)
    last: dict[str, float] = {}
    for row in rows:
        last.update(row.values)
    return Status(
        attempt=1,
        started=min((row.t for row in rows), default=None),
        epoch=epochs[-1].epoch if epochs else 0,
        step=rows[-1].step if rows else 0,
        best=best,
        last=last,
    )


def stamp(directory: Path, files: ForeignFiles) -> str:
    """Return what the name of a run of the same age would be, so that both can be sorted together."""
    return datetime.fromtimestamp(files.begun, UTC).strftime("%Y%m%dT%H%M%SZ") + f"-{directory.name}"
