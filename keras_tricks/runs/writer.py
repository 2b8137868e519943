"""The writing side of a run directory: the trainer's."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from keras_tricks.runs import schema
from keras_tricks.runs.schema import RunError, State, Status
from keras_tricks.runs.storage import (
    StorageError,
    append,
    cannot_write,
    remove_leftovers,
    storing,
    write_atomically,
)
from keras_tricks.runs.trainer_process import identity

_LOCK_PATIENCE_S = 2.0
_END_PATIENCE_S = 5.0
_RESERVE_BYTES = 32 * 1024


class RunWriter:
    """Write one attempt of a run: status, metrics, events and log lines.

    A writer holds the run's lock while it is open, so that a second trainer is refused and a killed one is known
    at once. It also keeps the heartbeat: a thread of its own rewrites `status.json` once a second. On a full disk it
    still says how the run ended: a few kilobytes are reserved for that. A directory that is removed stays removed.

    Example:

    ```python
    with RunWriter(directory) as run:
        run.begin(epochs=5, steps=500)
        run.metrics("epoch", epoch=1, step=100, values={"loss": 1.5})
        run.end("finished")
    ```

    Args:
        directory: An existing run directory (see `create_run`).

    Raises:
        RunError: Another trainer is alive in this directory, or it cannot be written.
        StorageError: In any later call that writes: there is no room, or the directory has been removed.
    """

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        self._guard = threading.RLock()
        self._closing = threading.Event()
        self._stop = threading.Event()
        self._next_look = 0.0
        try:
            self._lock_file = (self.directory / schema.LOCK_FILE).open("ab")
        except OSError as error:
            raise RunError(cannot_write(self.directory, error)) from error
        lock = os.fstat(self._lock_file.fileno())
        self._lock_identity = lock.st_dev, lock.st_ino
        self._acquire_lock()
        previous = self._previous_status()
        self.status = Status(
            **{
                **previous.model_dump(exclude={"error", "ended", "eta_s", "images_per_second"}),
                "schema_version": schema.SCHEMA_VERSION,
                "state": "starting",
                "attempt": previous.attempt + 1,
                **identity(os.getpid()),
                "host": socket.gethostname(),
                "started": previous.started or time.time(),
            }
        )
        try:
            # `start` has removed an old request to stop: one that is here now was made since, and counts.
            if (previous.state, previous.pid) != ("starting", os.getpid()):
                (self.directory / schema.STOP_FILE).unlink(missing_ok=True)
            remove_leftovers(self.directory)
            # Random bytes keep their room also where the file system compresses.
            write_atomically(self.directory / schema.RESERVE_FILE, os.urandom(_RESERVE_BYTES))
            for file in (schema.METRICS_FILE, schema.EVENTS_FILE):
                self._end_torn_line(file)
            self._write_status()
        except OSError as error:
            self._give_up_reserve()
            self._lock_file.close()
            raise RunError(cannot_write(self.directory, error)) from error
        self._heartbeat = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._heartbeat.start()

    def begin(self, *, epochs: int, steps: int, epoch: int = 0, step: int = 0) -> None:
        """Say that training starts, or goes on, at `epoch` finished epochs and `step` finished steps."""
        self._append(schema.METRICS_FILE, self._row("attempt", epoch, step, {}))
        best = self.status.best
        if best is not None and best.epoch > epoch:
            # It is of an epoch that is trained again.
            best = None
        self.update("running", epochs=epochs, steps=steps, epoch=epoch, step=step, best=best)

    def update(self, state: State | None = None, **fields: Any) -> None:
        """Change the status; a new state or epoch is written at once, the rest with the next beat.

        `last` goes on top of the values before: each metric keeps its newest value, also between two validations.
        """
        with self._guard:
            before = self.status
            if "last" in fields:
                fields["last"] = {**before.last, **fields["last"]}
            if state is not None:
                fields["state"] = state
            self.status = before.model_copy(update=fields)
            if (self.status.state, self.status.epoch) != (before.state, before.epoch):
                self._write_status()

    def metrics(
        self, kind: str, *, epoch: int, step: int, values: dict[str, float], file: str = schema.METRICS_FILE
    ) -> None:
        """Append a row to `metrics.jsonl`, or to another file of rows."""
        self._append(file, self._row(kind, epoch, step, values))

    def event(self, kind: str, message: str) -> None:
        """Append to `events.jsonl` and, as a line, to the log."""
        record = {
            "kind": kind,
            "t": time.time(),
            "attempt": self.status.attempt,
            "step": self.status.step,
            "message": message,
        }
        self._append(schema.EVENTS_FILE, record)
        self.log(f"{kind}: {message}")

    def log(self, line: str) -> None:
        """Append a line, with the local time in front, to `train.log`."""
        stamp = datetime.now().astimezone().strftime("%H:%M:%S")
        self._append_bytes(schema.LOG_FILE, f"{stamp} {line.rstrip()}\n".encode())

    def request_stop(self) -> None:
        """Ask this run to stop, from within its process."""
        self._stop.set()

    def stop_requested(self) -> bool:
        """Whether somebody asked for this run to stop; the file is looked at once a second.

        Raises:
            StorageError: The run's directory has been removed.
        """
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + 1.0
            self.require_directory()
            if (self.directory / schema.STOP_FILE).exists():
                self._stop.set()
        return self._stop.is_set()

    def require_directory(self) -> None:
        """Raise where the run's directory has been removed: nothing may bring a part of it back.

        Raises:
            StorageError: It has been removed.
        """
        if self._is_removed():
            raise StorageError(
                f"{self.directory} was removed while the run was trained in it: nothing of the run can be kept."
            )

    def result(self, document: dict[str, Any]) -> None:
        """Write `result.json`, the summary that lists read in place of all metrics."""
        document = {"schema_version": schema.SCHEMA_VERSION, **document}
        self.require_directory()
        path = self.directory / schema.RESULT_FILE
        with storing(path):
            write_atomically(path, schema.encode(document))

    def end(self, state: State, error: str | None = None) -> None:
        """Say how the attempt ended; the last change to the status.

        On a full disk it gives the reserved room up, and tries for some seconds before it raises `StorageError`.
        """
        with self._guard:
            self.status = self.status.model_copy(
                update={"state": state, "error": error, "ended": time.time(), "eta_s": None}
            )
        self._give_up_reserve()
        deadline = time.monotonic() + _END_PATIENCE_S
        while True:
            try:
                self._write_status()
                return
            except StorageError:
                if self._is_removed() or time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def close(self) -> None:
        """Stop the heartbeat and let the lock go."""
        self._closing.set()
        self._heartbeat.join(timeout=5)
        self._give_up_reserve()
        self._lock_file.close()

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _acquire_lock(self) -> None:
        # flock, unlike lockf, survives a reader in this process that opens and closes the file. A reader's own test
        # holds the lock for an instant, hence the second look.
        deadline = time.monotonic() + _LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    self._lock_file.close()
                    pid = self._previous_status().pid
                    raise RunError(
                        f"{self.directory} is being trained by process {pid}. Stop that run first, or start a new one."
                    ) from error
                time.sleep(0.05)

    def _previous_status(self) -> Status:
        try:
            document = schema.decode((self.directory / schema.STATUS_FILE).read_bytes())
        except (OSError, ValueError):
            return Status()
        try:
            schema.check_schema(document, str(self.directory / schema.STATUS_FILE))
            return Status.model_validate(document)
        except ValidationError:
            return Status()
        except RunError:
            self._lock_file.close()
            raise

    def _row(self, kind: str, epoch: int, step: int, values: dict[str, float]) -> dict[str, Any]:
        return {
            "kind": kind,
            "t": time.time(),
            "attempt": self.status.attempt,
            "epoch": epoch,
            "step": step,
            "values": {name: float(value) for name, value in values.items()},
        }

    def _append(self, file: str, record: dict[str, Any]) -> None:
        self._append_bytes(file, (schema.encode(record) + "\n").encode())

    def _append_bytes(self, file: str, data: bytes) -> None:
        self.require_directory()
        path = self.directory / file
        with storing(path):
            append(path, data)

    def _is_removed(self) -> bool:
        """Whether the directory is not the one any more in which this run began."""
        try:
            lock = (self.directory / schema.LOCK_FILE).stat()
        except FileNotFoundError:
            return True
        return (lock.st_dev, lock.st_ino) != self._lock_identity

    def _give_up_reserve(self) -> None:
        with contextlib.suppress(OSError):
            (self.directory / schema.RESERVE_FILE).unlink(missing_ok=True)

    def _end_torn_line(self, file: str) -> None:
        """End the line that a killed attempt left half-written, so that it does not swallow the next one."""
        path = self.directory / file
        if path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            self._append_bytes(file, b"\n")

    def _write_status(self) -> None:
        with self._guard:
            self.require_directory()
            self.status = self.status.model_copy(update={"heartbeat": time.time()})
            path = self.directory / schema.STATUS_FILE
            with storing(path):
                write_atomically(
                    path,
                    schema.encode(self.status.model_dump()),
                    durable=self.status.state in schema.TERMINAL_STATES,
                )

    def _beat(self) -> None:
        while not self._closing.wait(1.0):
            if self.status.state in schema.TERMINAL_STATES:
                return
            # The training thread meets the same full disk and reports it; the beat goes on for when there is room.
            with contextlib.suppress(OSError):
                self._write_status()
