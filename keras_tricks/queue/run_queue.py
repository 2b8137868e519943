"""RunQueue: what the command line, the terminal UI and programs do with the queue."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_tricks.queue.folder import QueueFolder, RunnerRecord
from keras_tricks.queue.lane import DEFAULT_LANE, lane_environment, lane_name, lane_order
from keras_tricks.queue.order import Ended, Item, Place
from keras_tricks.recipe import Recipe
from keras_tricks.runs import LIVE_STATES, TRAINER, Run, RunError, create_run, open_run, remove, request_stop, schema
from keras_tricks.runs.storage import write_atomically


@dataclass(frozen=True)
class Lane:
    """A lane as it stands.

    Args:
        name: Its name.
        items: Its runs, those that its runner took first.
        is_alive: Whether it has a runner now.
        is_stopping: Whether that runner ends after the run in progress.
        runner: Who its runner is or, if none is alive, was.
    """

    name: str
    items: tuple[Item, ...]
    is_alive: bool
    is_stopping: bool
    runner: RunnerRecord | None


@dataclass(frozen=True)
class Queue:
    """All lanes, and the runs that they were done with last, the newest last."""

    lanes: tuple[Lane, ...]
    ended: tuple[Ended, ...]


class RunQueue:
    """Runs that wait for their turn, one lane for each set of devices.

    A lane's runner is a process of its own, which trains the runs of the lane one after the other. Any number of
    processes may use the queue of a folder at once.

    Example:

    ```python
    queue = RunQueue("runs")
    queue.add(recipe, lane="gpu0")
    queue.ensure_runner("gpu0")
    ```

    Args:
        root: The folder of run directories.
        trainer: The words of the command that trains a run, without its directory. Defaults to our own trainer.
    """

    def __init__(self, root: str | Path, trainer: Sequence[str] = TRAINER):
        self.root = Path(root)
        self._folder = QueueFolder(root)
        self._trainer = tuple(trainer)

    def add(
        self,
        recipe: Recipe,
        *,
        argv: list[str] | None = None,
        parent: str | None = None,
        lane: str = DEFAULT_LANE,
        ablation: dict[str, Any] | None = None,
    ) -> Run:
        """Make a run of the recipe, put it at the end of a lane, and return it; `ensure_runner` has it trained.

        Args:
            recipe: What to train; relative paths in it mean the current directory.
            argv: The words of the command that trains it. Defaults to none.
            parent: Id of the run whose recipe this one's was made from. Defaults to None.
            lane: The lane: `all`, `cpu`, `gpu0`, `gpu0,1` and so on. Defaults to `all`.
            ablation: Where it belongs to a set of variants (see `create_run`). Defaults to None.

        Raises:
            RunError: The recipe has an error, there is no such lane, or nothing can be written. Nothing is left then.
        """
        lane = lane_name(lane)
        errors = [problem.message for problem in recipe.problems() if problem.level == "error"]
        if errors:
            raise RunError(f"Not queued. {errors[0]}")
        document = recipe.with_absolute_paths().model_dump(mode="json")
        directory = create_run(self.root, recipe.name, document, argv=argv, parent=parent, ablation=ablation)
        try:
            self._folder.make()
            with self._folder.changing():
                self._folder.write(self._folder.order().with_added(directory.name, lane, time.time()))
        except RunError:
            shutil.rmtree(directory)
            raise
        return open_run(directory)

    def read(self) -> Queue:
        """Return the queue as it stands.

        Raises:
            RunError: It cannot be read.
        """
        try:
            with self._folder.reading():
                order = self._folder.order()
                names = {*order.lanes, *self._folder.lanes()}
                lanes = tuple(self._lane(name, order.items(name)) for name in sorted(names, key=lane_order))
        except OSError as error:
            raise RunError(f"{self._folder.path} cannot be read: {error.strerror or error}.") from error
        return Queue(lanes, order.ended)

    def move(self, run: str, place: Place, lane: str | None = None) -> None:
        """Move a waiting run to another place of its lane, or into another lane.

        Args:
            run: The run's id.
            place: The place among the waiting runs, counted from 1, or `up`, `down`, `first` or `last`.
            lane: The lane to move it to. Defaults to the one that it is in.

        Raises:
            RunError: The run is not waiting, or there is no such place or lane.
        """
        lane = None if lane is None else lane_name(lane)
        with self._folder.changing():
            self._folder.write(self._folder.order().with_moved(run, place, lane))

    def remove(self, run: str) -> None:
        """Take a run out of the queue and delete its directory.

        Raises:
            RunError: It is not in the queue, or it is being trained.
        """
        with self._folder.changing():
            order = self._folder.order()
            lane, item = order.find(run)
            if item.begun is not None and self._folder.is_taken(lane):
                raise RunError(f"{run} has been taken by the runner of its lane. Stop it first.")
            if (self.root / run / schema.RECIPE_FILE).exists():
                remove(Run(self.root / run))
            self._folder.write(order.without(run))

    def ensure_runner(self, lane: str = DEFAULT_LANE) -> int | None:
        """Start the runner of a lane if none is alive, and return its process id, or None if one is.

        A runner that was asked to stop after its run still does.

        Raises:
            RunError: There is no such lane, or the runner cannot be started.
        """
        return self._start(lane_name(lane), goes_on=False)

    def start(self, lane: str = DEFAULT_LANE) -> int | None:
        """Do as `ensure_runner`, and let a runner go on that was asked to stop."""
        return self._start(lane_name(lane), goes_on=True)

    def stop(self, lane: str = DEFAULT_LANE, *, now: bool = False) -> None:
        """Ask the runner of a lane to stop after the run in progress.

        Args:
            lane: The lane.
            now: Ask that run to stop too; it keeps its checkpoint. Defaults to False.

        Raises:
            RunError: Nothing is going on in the lane.
        """
        lane = lane_name(lane)
        with self._folder.changing():
            is_alive = self._folder.is_taken(lane)
            if is_alive:
                write_atomically(self._folder.stop_request(lane), "now" if now else "")
            live = self._live_runs(lane) if now else []
        if not is_alive and not live:
            raise RunError(f"The lane {lane} has no runner that could stop.")
        for run in live:
            request_stop(run)

    def log(self, lane: str) -> Path:
        """The file that the runner of a lane writes to."""
        return self._folder.log(lane)

    def _start(self, lane: str, goes_on: bool) -> int | None:
        environment = lane_environment(lane, os.environ)
        self._folder.make()
        with self._folder.changing():
            lock = self._folder.take_lane(lane)
            if lock is None:
                if goes_on:
                    self._folder.stop_request(lane).unlink(missing_ok=True)
                return None
            with lock:
                self._folder.stop_request(lane).unlink(missing_ok=True)
                return self._spawn(lane, lock.fileno(), environment)

    def _spawn(self, lane: str, lock: int, environment: dict[str, str]) -> int:
        """Start the runner, which inherits the lock: from its first moment on there is no other."""
        words = [sys.executable, "-m", "keras_tricks.queue", str(self.root.resolve()), lane, str(lock), *self._trainer]
        try:
            with self._folder.log(lane).open("ab") as log:
                child = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=(lock,),
                    env=environment,
                )
        except OSError as error:
            raise RunError(f"Cannot start the runner of the lane {lane}: {error.strerror or error}.") from error
        try:
            self._folder.write_runner(lane, RunnerRecord(pid=child.pid, host=socket.gethostname(), started=time.time()))
        except RunError:
            # It waits for `changes.lock`, which is held here: nothing has been taken yet.
            child.kill()
            child.wait()
            raise
        return child.pid

    def _lane(self, name: str, items: tuple[Item, ...]) -> Lane:
        is_alive = self._folder.is_taken(name)
        is_stopping = is_alive and self._folder.stop_request(name).exists()
        return Lane(name, items, is_alive, is_stopping, self._folder.runner(name))

    def _live_runs(self, lane: str) -> list[Run]:
        found = []
        for item in self._folder.order().items(lane):
            try:
                run = open_run(self.root / item.run)
                if run.status().state in LIVE_STATES:
                    found.append(run)
            except RunError:
                continue
        return found
