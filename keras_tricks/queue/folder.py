"""QueueFolder: the files of the queue, beside the runs."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, ValidationError

from keras_tricks.queue.order import Order
from keras_tricks.runs.schema import RunError, check_schema
from keras_tricks.runs.storage import cannot_write, write_atomically

FOLDER = ".queue"


class RunnerRecord(BaseModel):
    """What is written of the runner of a lane that is alive, or was the last one; times are seconds since 1970."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    pid: int
    host: str
    started: float
    ended: float | None = None
    reason: str | None = None


class QueueFolder:
    """The files of the queue: `<runs>/.queue/`.

    `order.json` is replaced whole, by whoever holds `changes.lock`. A lane has `<lane>.lock`, which its runner holds
    for life, `<lane>.json` (see `RunnerRecord`), `<lane>.stop`, the request to stop after the run in progress, and
    `<lane>.log`. Lane locks are taken, let go and looked at under `changes.lock` only, so that no look is in the way
    of a runner that starts.

    Args:
        root: The folder of run directories; made when something is written.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self.path = self.root / FOLDER

    def make(self) -> None:
        """Make the folder if it is absent.

        Raises:
            RunError: It cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(cannot_write(self.root, error)) from error

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Be the only one who changes something, for a `with` block.

        Raises:
            RunError: There is no queue, or it cannot be written.
        """
        try:
            lock = (self.path / "changes.lock").open("ab")
        except FileNotFoundError as error:
            raise RunError(f"Nothing is queued in {self.root}. `keras-tricks queue add quickstart` begins.") from error
        except OSError as error:
            raise RunError(cannot_write(self.path, error)) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let nobody change anything, for a `with` block."""
        try:
            lock = (self.path / "changes.lock").open("rb")
        except FileNotFoundError:
            yield
            return
        with lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield

    def order(self) -> Order:
        """Return the order as it stands.

        Raises:
            RunError: Its file is broken, or from a newer keras-tricks.
        """
        path = self.path / "order.json"
        try:
            document = json.loads(path.read_bytes())
            if isinstance(document, dict):
                check_schema(document, str(path))
            return Order.model_validate(document)
        except FileNotFoundError:
            return Order()
        except (OSError, ValueError) as error:
            raise RunError(
                f"{path} cannot be read: {error}. Mend it, or remove it: the runs stay, and `keras-tricks runs resume` "
                "trains each."
            ) from error

    def write(self, order: Order) -> None:
        """Replace the order.

        Raises:
            RunError: It cannot be written.
        """
        self._write("order.json", order)

    def runner(self, lane: str) -> RunnerRecord | None:
        """Return what is known of the runner of a lane, None where it never had one."""
        try:
            return RunnerRecord.model_validate(json.loads((self.path / f"{lane}.json").read_bytes()))
        except (FileNotFoundError, ValidationError, ValueError):
            return None

    def write_runner(self, lane: str, record: RunnerRecord) -> None:
        """Note something of the runner of a lane.

        Raises:
            RunError: It cannot be written.
        """
        self._write(f"{lane}.json", record)

    def log(self, lane: str) -> Path:
        """The file that the runner of a lane writes to."""
        return self.path / f"{lane}.log"

    def stop_request(self, lane: str) -> Path:
        """The file that asks the runner of a lane to stop; it says `now` if the run in progress is meant too."""
        return self.path / f"{lane}.stop"

    def take_lane(self, lane: str) -> IO[bytes] | None:
        """Return the held lock of a lane, or None if a runner holds it.

        Raises:
            RunError: The folder cannot be written.
        """
        try:
            lock = (self.path / f"{lane}.lock").open("ab")
        except OSError as error:
            raise RunError(cannot_write(self.path, error)) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        return lock

    def is_taken(self, lane: str) -> bool:
        """Whether a runner holds the lane."""
        try:
            with (self.path / f"{lane}.lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def holds(self, lane: str, lock: int) -> bool:
        """Whether an open file, given by its number, is the lock of a lane: not if the folder was made anew."""
        try:
            return os.path.samestat(os.fstat(lock), (self.path / f"{lane}.lock").stat())
        except FileNotFoundError:
            return False

    def lanes(self) -> list[str]:
        """The lanes that ever had a runner."""
        return [path.stem for path in self.path.glob("*.lock") if path.stem != "changes"] if self.path.is_dir() else []

    def _write(self, name: str, document: BaseModel) -> None:
        path = self.path / name
        try:
            write_atomically(path, document.model_dump_json())
        except OSError as error:
            raise RunError(cannot_write(path, error)) from error
