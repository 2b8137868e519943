"""LaneRunner: train the runs of a lane one after the other."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from keras_tricks.queue.folder import QueueFolder
from keras_tricks.queue.order import Item
from keras_tricks.runs import LIVE_STATES, Run, RunError, Status, fail, open_run, request_stop, spawn
from keras_tricks.runs.schema import TERMINAL_STATES
from keras_tricks.runs.trainer_process import is_running

_LOOK_S = 0.2
_PATIENCE_S = 60.0


class LaneRunner:
    """Train the runs of a lane one after the other, until it is empty or somebody asks to stop.

    However a run ends, the next one follows. A trainer that an earlier runner of the lane left is waited for first.

    Args:
        root: The folder of run directories.
        lane: The lane.
        lock: Number of the open file that holds the lane.
        trainer: The words of the command that trains a run, without its directory.
    """

    def __init__(self, root: str | Path, lane: str, lock: int, trainer: Sequence[str]):
        self._root = Path(root)
        self._lane = lane
        self._lock = lock
        self._trainer = trainer
        self._folder = QueueFolder(root)

    def run(self) -> None:
        """Train until there is nothing left to do, or the files of the queue cannot be written any more."""
        self._say(f"the runner of the lane {self._lane} begins as process {os.getpid()}")
        try:
            while (run := self._take_next()) is not None:
                reason = self._train(run)
                self._say(f"{run}: {reason or self._end_of(run)}")
                with self._changing():
                    self._folder.write(self._folder.order().with_ended(run, time.time(), reason))
        except RunError as error:
            self._say(f"the runner ends: {error}")
            with contextlib.suppress(RunError), self._changing():
                self._note_end(str(error))

    def _take_next(self) -> str | None:
        """Take the next run; without one, or asked to stop, let the lane go and return None.

        Whoever adds a run after that finds the lane free and starts a runner.
        """
        with self._changing():
            order = self._folder.order()
            items = order.items(self._lane)
            is_stopped = self._folder.stop_request(self._lane).exists()
            if items and not is_stopped:
                item = next((item for item in items if item.begun is not None or self._is_live(item)), items[0])
                self._folder.write(order.with_begun(item.run, item.begun or time.time()))
                return item.run
            reason = "it was asked to stop" if is_stopped else "its lane is empty"
            self._say(f"the runner ends: {reason}")
            self._folder.stop_request(self._lane).unlink(missing_ok=True)
            self._note_end(reason)
            os.close(self._lock)
            return None

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Change the queue, unless it is another one by now, which may have a runner of its own."""
        with self._folder.changing():
            if not self._folder.holds(self._lane, self._lock):
                raise RunError(f"{self._folder.path} was removed while the runner was at work.")
            yield

    def _note_end(self, reason: str) -> None:
        record = self._folder.runner(self._lane)
        if record is not None:
            ended = record.model_copy(update={"ended": time.time(), "reason": reason})
            self._folder.write_runner(self._lane, ended)

    def _is_live(self, item: Item) -> bool:
        try:
            return open_run(self._root / item.run).status().state in LIVE_STATES
        except RunError:
            return False

    def _train(self, name: str) -> str | None:
        """Train a run to its end; return why it was not trained, if so."""
        directory = self._root / name
        if not directory.is_dir():
            return "it was removed"
        try:
            run = open_run(directory)
            status = run.status()
        except RunError as error:
            return str(error)
        if status.state in LIVE_STATES:
            self._say(f"{name}: waits for process {status.pid}, which trains it")
            self._wait_for(run, status)
            return None
        if status.state != "queued":
            return None
        self._say(f"{name}: begins")
        try:
            child = spawn(run, trainer=self._trainer)
        except RunError as error:
            with contextlib.suppress(RunError):
                fail(run, str(error))
            return str(error)
        request = self._folder.stop_request(self._lane)
        with contextlib.suppress(OSError, RunError):
            # Somebody may have asked between the look at the queue and the start.
            if request.read_text() == "now":
                request_stop(run)
        self._wait_for_child(run, child)
        return None

    def _wait_for_child(self, run: Run, child: subprocess.Popen[bytes]) -> None:
        """Wait for a trainer; one that gave up before it could write why is noted as failed."""
        while True:
            try:
                code = child.wait(timeout=_PATIENCE_S)
                break
            except subprocess.TimeoutExpired:
                self._end_leftover(run, child)
        try:
            status = run.status()
            if status.state in LIVE_STATES:
                self._wait_for(run, status)
            elif status.state == "lost" and code >= 0:
                words = run.log_tail(1)
                fail(run, words[0] if words else f"Its process ended with code {code} and said nothing.")
        except RunError as error:
            self._say(f"{run.id}: {error}")

    def _end_leftover(self, run: Run, child: subprocess.Popen[bytes]) -> None:
        """Kill a trainer that has written its last word but does not end, and keeps the device."""
        with contextlib.suppress(RunError, ProcessLookupError):
            status = run.status()
            if status.state in TERMINAL_STATES and time.time() - (status.ended or 0.0) > _PATIENCE_S:
                self._say(f"{run.id}: is {status.state}, but its process does not end, so it is killed")
                os.killpg(child.pid, signal.SIGKILL)

    def _wait_for(self, run: Run, status: Status) -> None:
        """Wait for a trainer that is no child of this process, and for its process to be gone with its memory."""
        while status.state in LIVE_STATES or (status.host == socket.gethostname() and is_running(status)):
            time.sleep(_LOOK_S)
            try:
                status = run.status()
            except RunError:
                status = status.model_copy(update={"state": "lost"})

    def _end_of(self, name: str) -> str:
        try:
            status = open_run(self._root / name).status()
        except RunError as error:
            return str(error)
        return status.state if status.error is None else f"{status.state}: {status.error}"

    def _say(self, line: str) -> None:
        stamp = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
        with contextlib.suppress(OSError):
            print(f"{stamp} {line}", flush=True)
