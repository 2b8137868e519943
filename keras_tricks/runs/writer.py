"""The writing side of a run directory: the trainer's, and the launcher's first files."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import re
import secrets
import socket
import subprocess
import threading
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from pydantic import ValidationError

from keras_tricks.runs import schema
from keras_tricks.runs.schema import RunError, State, Status

_LOCK_PATIENCE_S = 2.0


def create_run(
    root: str | Path,
    name: str,
    recipe: dict[str, Any] | None,
    *,
    argv: list[str] | None = None,
    parent: str | None = None,
) -> Path:
    """Make a new run directory under `root` and return it.

    It is named `<UTC stamp>-<name>-<4 hex digits>`, holds `recipe.json`, and its state is `queued`. Without a recipe it
    is the record of somebody's own `model.fit`.

    Raises:
        RunError: `root` is full, read-only or not a directory. Nothing is left behind then.
    """
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "run"
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    directory = Path(root) / f"{stamp}-{slug}-{secrets.token_hex(2)}"
    document = {
        "schema_version": schema.SCHEMA_VERSION,
        "name": name,
        "recipe": recipe,
        "argv": argv or [],
        "created": time.time(),
        "host": socket.gethostname(),
        "git_commit": _git_commit(),
        "versions": _versions(),
        "seed": None if recipe is None else recipe.get("seed"),
        "parent": parent,
    }
    try:
        directory.mkdir(parents=True)
    except OSError as error:
        raise RunError(_cannot_write(root, error)) from error
    try:
        write_atomically(directory / schema.RECIPE_FILE, schema.encode(document))
        write_atomically(
            directory / schema.STATUS_FILE,
            schema.encode(Status(host=socket.gethostname(), heartbeat=time.time()).model_dump()),
        )
    except OSError as error:
        for left_over in directory.iterdir():
            left_over.unlink()
        directory.rmdir()
        raise RunError(_cannot_write(root, error)) from error
    return directory


def write_atomically(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Write `content` so that a reader sees either the old file or the new one.

    Args:
        path: The file.
        content: What to write.
        durable: Wait until it is on the disk, so that a crash of the machine keeps it too. Defaults to True.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    data = content.encode() if isinstance(content, str) else content
    try:
        with temporary.open("wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


class RunWriter:
    """Write one attempt of a run: status, metrics, events and log lines.

    A writer holds the run's lock while it is open, so that a second trainer is refused and a killed one is known
    at once. It also keeps the heartbeat: a thread of its own rewrites `status.json` once a second.

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
            raise RunError(_cannot_write(self.directory, error)) from error
        self._acquire_lock()
        previous = self._previous_status()
        self.status = Status(
            **{
                **previous.model_dump(exclude={"error", "ended", "eta_s", "images_per_second"}),
                "schema_version": schema.SCHEMA_VERSION,
                "state": "starting",
                "attempt": previous.attempt + 1,
                "pid": os.getpid(),
                "pid_created": psutil.Process().create_time(),
                "host": socket.gethostname(),
                "started": previous.started or time.time(),
            }
        )
        try:
            # `start` has removed an old request to stop: one that is here now was made since, and counts.
            if (previous.state, previous.pid) != ("starting", os.getpid()):
                (self.directory / schema.STOP_FILE).unlink(missing_ok=True)
            for file in (schema.METRICS_FILE, schema.EVENTS_FILE):
                self._end_torn_line(file)
            self._write_status()
        except OSError as error:
            self._lock_file.close()
            raise RunError(_cannot_write(self.directory, error)) from error
        self._heartbeat = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._heartbeat.start()

    def begin(self, *, epochs: int, steps: int, epoch: int = 0, step: int = 0) -> None:
        """Say that training starts, or goes on, at `epoch` finished epochs and `step` finished steps."""
        self._append(schema.METRICS_FILE, self._row("attempt", epoch, step, {}))
        self.update("running", epochs=epochs, steps=steps, epoch=epoch, step=step)

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

    def metrics(self, kind: str, *, epoch: int, step: int, values: dict[str, float]) -> None:
        """Append a row to `metrics.jsonl`."""
        self._append(schema.METRICS_FILE, self._row(kind, epoch, step, values))

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
        """Whether somebody asked for this run to stop; the file is looked at once a second."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + 1.0
            if (self.directory / schema.STOP_FILE).exists():
                self._stop.set()
        return self._stop.is_set()

    def result(self, document: dict[str, Any]) -> None:
        """Write `result.json`, the summary that lists read in place of all metrics."""
        document = {"schema_version": schema.SCHEMA_VERSION, **document}
        write_atomically(self.directory / schema.RESULT_FILE, schema.encode(document))

    def end(self, state: State, error: str | None = None) -> None:
        """Say how the attempt ended; the last change to the status."""
        self.update(state, error=error, ended=time.time(), eta_s=None)

    def close(self) -> None:
        """Stop the heartbeat and let the lock go."""
        self._closing.set()
        self._heartbeat.join(timeout=5)
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
        descriptor = os.open(self.directory / file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)

    def _end_torn_line(self, file: str) -> None:
        """End the line that a killed attempt left half-written, so that it does not swallow the next one."""
        path = self.directory / file
        if path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            self._append_bytes(file, b"\n")

    def _write_status(self) -> None:
        with self._guard:
            self.status = self.status.model_copy(update={"heartbeat": time.time()})
            write_atomically(
                self.directory / schema.STATUS_FILE,
                schema.encode(self.status.model_dump()),
                durable=self.status.state in schema.TERMINAL_STATES,
            )

    def _beat(self) -> None:
        while not self._closing.wait(1.0):
            if self.status.state in schema.TERMINAL_STATES:
                return
            try:
                self._write_status()
            except OSError:
                # The training thread meets the same full disk and reports it; the beat goes on for when there is room.
                continue


def _git_commit() -> str | None:
    source = Path(__file__).resolve().parents[2]
    if not (source / ".git").exists():
        return None
    answer = subprocess.run(
        ["git", "-C", str(source), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or None


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in ("keras-tricks", "keras", "tensorflow", "jax", "torch"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _cannot_write(path: str | Path, error: OSError) -> str:
    return f"Cannot write to {path}: {error.strerror or error}. Name another place for runs, or make room there."
