"""GridRunner: train the cells of an ablation until none is left, or somebody asks to stop."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Protocol

from keras_tricks.ablation.grid import Cell
from keras_tricks.runs import LIVE_STATES, Run, RunError, Status, kill, request_stop
from keras_tricks.stop_signals import signals_call

_LOOK_S = 0.2
_TO_DO = frozenset({"train", "resume", "train again"})


class Job(Protocol):
    """A cell that a launcher works on."""

    def has_ended(self) -> bool:
        """Whether nothing works on it any more."""

    def cancel(self) -> None:
        """End it at once, or take it back where it has not begun."""


class Launcher(Protocol):
    """What trains cells: processes here, or the jobs of a cluster.

    Attributes:
        places: How many cells it takes at once.
        words: How it shares the devices out, for people.
    """

    places: int
    words: str

    def begin(self, runs: Sequence[Run]) -> Sequence[Job]:
        """Take on the training of runs, at most as many as there are free places."""


class Witness(Protocol):
    """What is told of a grid's progress."""

    def begun(self, cell: Cell) -> None:
        """A cell begins, or goes on."""

    def ended(self, cell: Cell, status: Status) -> None:
        """A cell has ended, well or not."""

    def looked(self, active: Sequence[tuple[Cell, Status]], waiting: int) -> None:
        """So it stands, several times a second."""

    def stopping(self, count: int) -> None:
        """So many cells are asked to stop, for the first time."""


class GridRunner:
    """Train the cells of an ablation until none is left; however one ends, the others follow.

    Cells that another process trains are waited for. Ctrl-C and SIGTERM ask the cells in progress to stop, which keep
    their checkpoints; a second one kills them.

    Args:
        cells: The cells, each with its run.
        launcher: What trains them.
        witness: What is told of the progress.
    """

    def __init__(self, cells: Sequence[Cell], launcher: Launcher, witness: Witness):
        self._launcher = launcher
        self._witness = witness
        self._waiting = [cell for cell in cells if cell.action in _TO_DO]
        self._active: list[tuple[Cell, Job | None]] = [(cell, None) for cell in cells if cell.action == "wait for"]
        self._signals = 0
        self._is_stopping = False
        self._asked: set[str] = set()

    def run(self) -> bool:
        """Train, and return whether all cells had their turn: False if somebody asked to stop."""
        with signals_call(self._count_signal):
            while self._active or (self._waiting and not self._signals):
                if self._signals:
                    self._stop()
                else:
                    self._begin()
                self._look()
        return not (self._is_stopping or self._waiting)

    def _count_signal(self) -> None:
        self._signals += 1

    def _begin(self) -> None:
        free = max(0, self._launcher.places - len(self._active))
        cells, self._waiting = self._waiting[:free], self._waiting[free:]
        if not cells:
            return
        for cell in cells:
            self._witness.begun(cell)
        jobs = self._launcher.begin([_run(cell) for cell in cells])
        self._active += zip(cells, jobs, strict=True)

    def _look(self) -> None:
        going_on, shown = [], []
        for cell, job in self._active:
            status = _status(_run(cell))
            if (job is not None and not job.has_ended()) or status.state in LIVE_STATES:
                going_on.append((cell, job))
                shown.append((cell, status))
            else:
                self._witness.ended(cell, _status(_run(cell)))
        self._active = going_on
        self._witness.looked(shown, len(self._waiting))
        if going_on:
            time.sleep(_LOOK_S)

    def _stop(self) -> None:
        if not self._is_stopping:
            self._is_stopping = True
            self._witness.stopping(len(self._active))
        for cell, job in self._active:
            run = _run(cell)
            state = _status(run).state
            with contextlib.suppress(RunError):
                if self._signals > 1:
                    if job is not None:
                        job.cancel()
                    kill(run)
                elif state == "queued" and job is not None:
                    # It waits in the queue of a cluster.
                    job.cancel()
                elif run.id not in self._asked:
                    request_stop(run)
                    self._asked.add(run.id)


def _run(cell: Cell) -> Run:
    if cell.run is None:
        raise ValueError(f"Expected cells with their runs. Received: {cell.title} without one")
    return cell.run


def _status(run: Run) -> Status:
    """The status of a run, `lost` where its directory was removed or damaged."""
    try:
        return run.status()
    except RunError as error:
        return Status(state="lost", error=str(error))
