"""The reading side of a run directory: for lists, the terminal UI and reports."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from keras_tricks.runs import schema
from keras_tricks.runs.records import JsonLines, MetricsHistory
from keras_tricks.runs.schema import Event, RunError, State, Status
from keras_tricks.runs.trainer_process import RemoteHeartbeats, is_running

_REMOTE_HEARTBEATS = RemoteHeartbeats()


class Run:
    """A run directory, read only.

    Args:
        directory: The run directory.

    Raises:
        RunError: It is not a run directory, or a newer keras-tricks wrote it.
    """

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        if not may_be_run(self.directory):
            raise RunError(f"{self.directory} is not a run: it has no {schema.RECIPE_FILE}.")

    @property
    def id(self) -> str:
        """The directory's name, which names the run everywhere."""
        return self.directory.name

    def document(self) -> dict[str, Any]:
        """The content of `recipe.json`: recipe, argv, versions, host, creation time, parent."""
        return self._read(schema.RECIPE_FILE)

    def recipe(self) -> dict[str, Any]:
        """The recipe that the run was started with.

        Raises:
            RunError: There is none: a `model.fit` of somebody's own wrote the run.
        """
        recipe = self.document().get("recipe")
        if not isinstance(recipe, dict):
            raise RunError(
                f"{self.id} has no recipe: it is a model.fit with RunLogger, which only its script can repeat."
            )
        return recipe

    def status(self) -> Status:
        """The content of `status.json`, with the state as it is now.

        A trainer that was killed cannot write that it was: where its lock is free and its state is not a
        final one, the state is `lost`.

        Raises:
            RunError: The file is missing, broken, or newer than this reader.
        """
        try:
            status = Status.model_validate(self._read(schema.STATUS_FILE))
        except ValidationError as error:
            detail = error.errors()[0]
            where = ".".join(map(str, detail["loc"]))
            words = f"{where}: {detail['msg']}. Received: {detail['input']!r}"
            raise RunError(f"{self.directory / schema.STATUS_FILE} is broken: {words}") from error
        return status.model_copy(update={"state": self._true_state(status)})

    def result(self) -> dict[str, Any] | None:
        """The content of `result.json`, or None while there is none."""
        if not (self.directory / schema.RESULT_FILE).exists():
            return None
        return self._read(schema.RESULT_FILE)

    def events(self) -> list[Event]:
        """All events so far."""
        events = []
        for record in JsonLines(self._path(schema.EVENTS_FILE)):
            with contextlib.suppress(ValidationError):
                events.append(Event.model_validate(record))
        return events

    @property
    def is_read_only(self) -> bool:
        """Whether it can only be looked at, and not be stopped, resumed or removed from here."""
        return False

    def history(self) -> MetricsHistory:
        """The metrics, of which nothing is read before `update`."""
        return MetricsHistory(self._path(schema.METRICS_FILE))

    def metrics(self) -> MetricsHistory:
        """All metrics so far, as a history that `update` carries on."""
        history = self.history()
        history.update()
        return history

    def log_tail(self, lines: int = 200) -> list[str]:
        """The last `lines` lines of `train.log`."""
        path = self._path(schema.LOG_FILE)
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            size = file.tell()
            file.seek(max(0, size - 400 * lines))
            text = file.read().decode(errors="replace")
        return text.splitlines()[-lines:]

    def is_locked(self) -> bool:
        """Whether a trainer on this host holds the run's lock."""
        try:
            with self._path(schema.LOCK_FILE).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def _path(self, file: str) -> Path:
        return self.directory / file

    def _read(self, file: str) -> dict[str, Any]:
        path = self._path(file)
        try:
            document = schema.decode(path.read_bytes())
        except FileNotFoundError as error:
            raise RunError(f"{self.directory} has no {file}: the run is incomplete.") from error
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read: {error}") from error
        if not isinstance(document, dict):
            raise RunError(f"{path} cannot be read: it is not a JSON object.")
        schema.check_schema(document, str(path))
        return document

    def _true_state(self, status: Status) -> State:
        if status.state in schema.TERMINAL_STATES or status.state == "queued":
            return status.state
        if status.host != socket.gethostname():
            return "lost" if _REMOTE_HEARTBEATS.are_silent(self.directory, status.heartbeat) else status.state
        if self.is_locked() or (status.state == "starting" and is_running(status)):
            return status.state
        # The trainer may have ended between the two looks: its last word counts.
        latest = Status.model_validate(self._read(schema.STATUS_FILE))
        return latest.state if latest.state in schema.TERMINAL_STATES else "lost"


def may_be_run(directory: Path) -> bool:
    """Whether this is a run directory, or one that only its owner may look into."""
    try:
        return (directory / schema.RECIPE_FILE).is_file()
    except PermissionError:
        return True
