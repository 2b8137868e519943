"""Start, stop and remove runs as processes of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from keras_tricks.runs import schema
from keras_tricks.runs.run import Run
from keras_tricks.runs.schema import RunError, Status
from keras_tricks.runs.storage import cannot_write, write_atomically
from keras_tricks.runs.trainer_process import identity, is_running

LIVE_STATES = frozenset({"starting", "running"})
TRAINER = (sys.executable, "-m", "keras_tricks", "train-run")
"""The words of the command that trains a run, without its directory."""


def start(run: Run, *, resume: bool = False) -> int:
    """Start a detached trainer in the run's directory and return its process id.

    It has its own session, no standard input, and writes to `train.log`: it goes on when the caller, the terminal
    or the SSH connection ends.

    Raises:
        RunError: The run is alive, or it is finished, or it has no recipe, or its directory cannot be written.
    """
    return spawn(run, resume=resume).pid


def spawn(
    run: Run,
    *,
    resume: bool = False,
    trainer: Sequence[str] = TRAINER,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a trainer as `start` does, and return it as a child whose end the caller waits for.

    Args:
        run: The run.
        resume: Whether it goes on from its checkpoint. Defaults to False.
        trainer: The words of the trainer's command, without the directory. Defaults to our own trainer.
        environment: Variables for the trainer besides those of this process. Defaults to none.

    Raises:
        RunError: The run is alive, or it is finished, or it has no recipe, or its directory cannot be written.
    """
    require_ours(run)
    run.recipe()
    status = run.status()
    if status.state in LIVE_STATES:
        raise RunError(f"{run.id} is {status.state} as process {status.pid}. Stop it first.")
    if resume and status.state == "finished":
        raise RunError(f"{run.id} is finished. Start a new run to train longer.")
    arguments = [*trainer, str(run.directory.resolve())]
    try:
        (run.directory / schema.STOP_FILE).unlink(missing_ok=True)
        with (run.directory / schema.LOG_FILE).open("ab") as log:
            child = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        try:
            with contextlib.suppress(psutil.NoSuchProcess):
                _note_start(run, status, child.pid)
        except OSError:
            child.kill()
            child.wait()
            raise
    except OSError as error:
        raise RunError(f"Cannot start {run.id}: {error.strerror or error}.") from error
    return child


def fail(run: Run, reason: str) -> None:
    """Say of a run that no trainer works on that it failed.

    Raises:
        RunError: A trainer works on it, or its directory cannot be written.
    """
    status = run.status()
    if status.state in LIVE_STATES or run.is_locked():
        raise RunError(f"{run.id} is {status.state} as process {status.pid}. Stop it first.")
    failed = status.model_copy(update={"state": "failed", "error": reason, "ended": time.time()})
    try:
        write_atomically(run.directory / schema.STATUS_FILE, schema.encode(failed.model_dump()))
    except OSError as error:
        raise RunError(cannot_write(run.directory, error)) from error


def request_stop(run: Run) -> None:
    """Ask the trainer to stop at its next step; it looks once a second.

    Raises:
        RunError: The run is not alive.
    """
    _require_live(run)
    path = run.directory / schema.STOP_FILE
    path.parent.mkdir(exist_ok=True)
    path.touch()


def terminate(run: Run) -> None:
    """Send SIGTERM to the trainer's process group.

    Raises:
        RunError: The run is not alive, or lives on another host.
    """
    _signal(run, signal.SIGTERM)


def kill(run: Run) -> None:
    """Send SIGKILL to the trainer's process group.

    Raises:
        RunError: The run is not alive, or lives on another host.
    """
    _signal(run, signal.SIGKILL)


def wait(run: Run, timeout_s: float) -> Status:
    """Wait until the run is not alive any more, `timeout_s` seconds at most, and return its status."""
    deadline = time.monotonic() + timeout_s
    while True:
        status = run.status()
        if status.state not in LIVE_STATES or time.monotonic() > deadline:
            return status
        time.sleep(0.1)


def remove(run: Run) -> None:
    """Delete the run's directory.

    Raises:
        RunError: The run is alive, or it can only be looked at.
    """
    require_ours(run)
    is_live = False
    with contextlib.suppress(FileNotFoundError):
        with contextlib.suppress(RunError):
            is_live = run.status().state in LIVE_STATES
        if is_live or run.is_locked():
            raise RunError(f"{run.id} is being trained. Stop it first.")
        shutil.rmtree(run.directory)


def require_ours(run: Run) -> None:
    """Refuse to touch a training that wrote no run directory.

    Raises:
        RunError: The run can only be looked at.
    """
    if run.is_read_only:
        raise RunError(
            f"{run.id} can only be looked at: {run.document()['written_by']} wrote it. Its own script stops it or goes "
            f"on with it; its files in {run.directory} are left alone here."
        )


def _note_start(run: Run, status: Status, pid: int) -> None:
    """Say who was started, unless the trainer was faster and has said it itself."""
    if run.status().state in LIVE_STATES:
        return
    started = status.model_copy(
        update={
            "state": "starting",
            **identity(pid),
            "host": socket.gethostname(),
            "heartbeat": time.time(),
            "error": None,
        }
    )
    if not run.is_locked():
        write_atomically(run.directory / schema.STATUS_FILE, schema.encode(started.model_dump()))


def _require_live(run: Run) -> Status:
    require_ours(run)
    status = run.status()
    if status.state not in LIVE_STATES:
        raise RunError(f"{run.id} is not running: it is {status.state}.")
    return status


def _signal(run: Run, number: signal.Signals) -> None:
    status = _require_live(run)
    if status.host != socket.gethostname():
        raise RunError(f"{run.id} runs on {status.host}. Stop it there, or ask it to stop by file.")
    if status.pid is None or not is_running(status):
        raise RunError(f"{run.id} has no process any more.")
    try:
        if os.getpgid(status.pid) == status.pid:
            os.killpg(status.pid, number)
        else:
            os.kill(status.pid, number)
    except (ProcessLookupError, PermissionError) as error:
        raise RunError(f"Cannot signal process {status.pid} of {run.id}: {error.strerror}.") from error


def default_root() -> Path:
    """Where runs live: `$KERAS_TRICKS_RUNS`, else `runs` in the current directory."""
    return Path(os.environ.get("KERAS_TRICKS_RUNS", "runs"))
