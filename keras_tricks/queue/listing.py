"""QueueLister: look at the queue and its runs again and again, reading only once what does not change."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from keras_tricks.presets import command
from keras_tricks.queue.lane import shares_devices
from keras_tricks.queue.order import Item
from keras_tricks.queue.run_queue import Lane, RunQueue
from keras_tricks.recipe import Recipe, RecipeError
from keras_tricks.runs import RunError, open_run, schema
from keras_tricks.runs.summary import RunFacts, RunSummary, broken, read_facts, summarize

RunnerState = Literal["running", "stopping", "none", "gone"]
"""A runner may be at work, about to end after its run, not there, or gone without a word: killed."""


@dataclass(frozen=True)
class QueuedRun:
    """A run of the queue at one look.

    Args:
        summary: The run; its state is `broken` where its directory is gone.
        lane: Its lane.
        place: Its place among the waiting runs of the lane, counted from 1; None once its runner took it.
        added: When it was added, in seconds since 1970.
        ended: When its lane was done with it; None before that.
        differs: What its recipe has that its preset has not.
    """

    summary: RunSummary
    lane: str
    place: int | None
    added: float
    ended: float | None
    differs: str


@dataclass(frozen=True)
class ListedLane:
    """A lane at one look.

    Args:
        name: Its name.
        state: What its runner does.
        pid: The runner's process; None if it has none.
        since: When that runner was started, in seconds since 1970.
        reason: Why the last runner ended, if none is alive.
        runs: The runs that are trained or wait, in their order.
        shares_with: The other lanes that train on some of its devices now, while it does.
    """

    name: str
    state: RunnerState
    pid: int | None
    since: float | None
    reason: str
    runs: tuple[QueuedRun, ...]
    shares_with: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """The queue at one look.

    `ended` holds what the lanes were done with since their runners started, newest first. A run that somebody resumed
    is not among it while it is trained.
    """

    lanes: tuple[ListedLane, ...]
    ended: tuple[QueuedRun, ...]


@dataclass(frozen=True)
class _Known:
    """What was read of a run, and when its status had been written."""

    changed: int
    summary: RunSummary
    differs: str


class QueueLister:
    """Look at the queue under a folder of runs; what has not changed since the last look is not read again.

    Args:
        root: The folder of run directories.
    """

    def __init__(self, root: str | Path):
        self._root = Path(root)
        self._queue = RunQueue(root)
        self._known: dict[str, _Known] = {}

    def look(self) -> Listing:
        """Return the queue as it stands.

        Raises:
            RunError: It cannot be read.
        """
        queue = self._queue.read()
        alive = [lane.name for lane in queue.lanes if lane.is_alive]
        lanes = tuple(self._lane(lane, alive) for lane in queue.lanes)
        since = {lane.name: lane.runner.started for lane in queue.lanes if lane.runner is not None}
        ended = []
        for entry in reversed(queue.ended):
            if entry.ended >= since.get(entry.lane, 0.0):
                summary, differs = self._read(entry.run)
                if summary.is_live:
                    continue
                if entry.reason is not None and not summary.error:
                    summary = replace(summary, error=entry.reason)
                ended.append(QueuedRun(summary, entry.lane, None, entry.added, entry.ended, differs))
        here = {run.summary.id for lane in lanes for run in lane.runs} | {run.summary.id for run in ended}
        self._known = {name: value for name, value in self._known.items() if name in here}
        return Listing(lanes, tuple(ended))

    def _lane(self, lane: Lane, alive: Sequence[str]) -> ListedLane:
        taken = sum(item.begun is not None for item in lane.items)
        runs = tuple(self._run(lane.name, item, index + 1 - taken) for index, item in enumerate(lane.items))
        state: RunnerState
        if lane.is_alive:
            state = "stopping" if lane.is_stopping else "running"
        else:
            state = "gone" if lane.runner is not None and lane.runner.ended is None else "none"
        runner = lane.runner if lane.is_alive else None
        reason = "" if lane.runner is None or lane.is_alive else lane.runner.reason or ""
        pid, since = (runner.pid, runner.started) if runner is not None else (None, None)
        others = [other for other in alive if lane.is_alive and other != lane.name]
        shares_with = tuple(other for other in others if shares_devices(lane.name, other))
        return ListedLane(lane.name, state, pid, since, reason, runs, shares_with)

    def _run(self, lane: str, item: Item, place: int) -> QueuedRun:
        summary, differs = self._read(item.run)
        return QueuedRun(summary, lane, place if item.begun is None else None, item.added, None, differs)

    def _read(self, name: str) -> tuple[RunSummary, str]:
        directory = self._root / name
        known = self._known.get(name)
        try:
            changed = (directory / schema.STATUS_FILE).stat().st_mtime_ns
            if known is not None and known.changed == changed and not known.summary.is_live:
                return known.summary, known.differs
            run = open_run(directory)
            facts = read_facts(run) if known is None else known.summary.facts
            differs = _differences(facts) if known is None else known.differs
            summary = summarize(run, facts)
        except FileNotFoundError:
            reason = f"It has no {schema.STATUS_FILE}." if directory.is_dir() else "Its directory was removed."
            return broken(directory, reason), ""
        except (RunError, OSError) as error:
            return broken(directory, str(error)), ""
        self._known[name] = _Known(changed, summary, differs)
        return summary, differs


def _differences(facts: RunFacts) -> str:
    """Say what is special about a run: its place in an ablation, and what its recipe changes in its preset."""
    words = [] if facts.ablation is None else [str(facts.ablation.get("variant", ""))]
    try:
        recipe = Recipe.from_document(_document(facts))
        changes = shlex.split(command(recipe, recipe.name))[3:]
    except RecipeError:
        return " ".join([*words, *facts.tricks])
    for option, value in zip(changes[::2], changes[1::2], strict=True):
        sign = {"--no-trick": "-", "--trick": "" if "." in value else "+"}.get(option, "")
        words.append(sign + value)
    return " ".join(words)


def _document(facts: RunFacts) -> dict[str, Any]:
    return {**facts.recipe, "tricks": [{"trick": name, **values} for name, values in facts.tricks.items()]}
