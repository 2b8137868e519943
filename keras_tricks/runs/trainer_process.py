"""Tell whether a trainer lives, without trust in the clock of any machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil

from keras_tricks.runs import schema
from keras_tricks.runs.schema import Status

_REMOTE_SILENCE_S = 60.0


def identity(pid: int) -> dict[str, Any]:
    """Return the fields of `Status` that say which process `pid` is.

    Raises:
        psutil.NoSuchProcess: There is none.
    """
    return {"pid": pid, "pid_created": psutil.Process(pid).create_time(), "pid_ticks": _start_ticks(pid)}


def is_running(status: Status) -> bool:
    """Whether the process of a status runs, and is that one, not a later one with the same number."""
    if status.pid is None:
        return False
    try:
        process = psutil.Process(status.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        ticks = _start_ticks(status.pid)
        if ticks is not None and status.pid_ticks is not None:
            return ticks == status.pid_ticks
        return status.pid_created is None or abs(process.create_time() - status.pid_created) < 1.0
    except psutil.Error:
        return False


class RemoteHeartbeats:
    """Tell which runs on other hosts have fallen silent, whatever the clocks of those hosts say.

    Between two looks at a run only this process's own monotonic clock counts. At the first look there is nothing but
    the times in and of the file: a run is silent then if both are old, and a time in the future counts as now.
    """

    def __init__(self) -> None:
        self._first_seen: dict[Path, tuple[float, float]] = {}

    def are_silent(self, directory: Path, heartbeat: float) -> bool:
        """Whether the trainer of a run has not been heard of for a minute."""
        now = time.monotonic()
        before = self._first_seen.get(directory)
        if before is None:
            self._first_seen[directory] = heartbeat, now - _age(directory, heartbeat)
        elif before[0] != heartbeat:
            self._first_seen[directory] = heartbeat, now
        return now - self._first_seen[directory][1] > _REMOTE_SILENCE_S


def _age(directory: Path, heartbeat: float) -> float:
    """The seconds since a heartbeat, as far as its own time and the file's can tell."""
    now = time.time()
    try:
        written = (directory / schema.STATUS_FILE).stat().st_mtime
    except OSError:
        written = heartbeat
    past = [now - moment for moment in (heartbeat, written) if moment <= now]
    return min(past, default=0.0)


def _start_ticks(pid: int) -> int | None:
    """The start of a process in clock ticks since the machine booted; None where the system does not say."""
    try:
        # The name, second and in brackets, may hold anything; the start is field 22.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[19])
    except (OSError, ValueError, IndexError):
        return None
