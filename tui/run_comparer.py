"""RunComparer: read the runs that are compared, again only what is new."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from keras_tricks.runs import MetricsHistory, Run, RunError, open_run
from keras_tricks.runs.comparison import ComparedRun, compare_run, letter
from keras_tricks.runs.summary import RunFacts, read_facts, summarize
from tui.run_lister import reason_without_path


@dataclass(frozen=True)
class Comparison:
    """The compared runs at one look.

    Args:
        runs: Those that could be read, in the order in which they were marked.
        baseline: The directory of the one that others are compared with.
        troubles: What kept others, or parts of them, from being read.
    """

    runs: tuple[ComparedRun, ...] = ()
    baseline: Path | None = None
    troubles: tuple[str, ...] = ()


@dataclass
class _Opened:
    run: Run
    facts: RunFacts
    history: MetricsHistory
    seen: ComparedRun | None = None


class RunComparer:
    """Read runs for a comparison."""

    def __init__(self) -> None:
        self._opened: dict[Path, _Opened] = {}

    def look(self, directories: Sequence[Path], baseline: Path | None) -> Comparison:
        """Read what is new in these runs.

        Without a baseline among them others are compared with the first variant of their ablation, else with the first.
        """
        self._opened = {path: opened for path, opened in self._opened.items() if path in directories}
        runs: list[ComparedRun] = []
        troubles = []
        for directory in directories:
            try:
                runs.append(self._look_at(directory, len(runs)))
            except (RunError, OSError, ValidationError) as error:
                self._opened.pop(directory, None)
                reason = reason_without_path(error, directory) if directory.exists() else "it is not there any more."
                troubles.append(f"{directory.name}: {reason}")
            else:
                if lines := self._opened[directory].history.broken_lines:
                    troubles.append(f"{directory.name}: unreadable lines in its metrics: {lines}.")
        found = [run.summary.directory for run in runs]
        base = baseline if baseline in found else min(runs, key=_place).summary.directory if runs else None
        return Comparison(tuple(runs), base, tuple(troubles))

    def _look_at(self, directory: Path, place: int) -> ComparedRun:
        opened = self._opened.get(directory)
        if opened is None:
            run = open_run(directory)
            opened = self._opened[directory] = _Opened(run, read_facts(run), run.history())
        summary = summarize(opened.run, opened.facts)
        before = opened.seen
        new = opened.history.update()
        if before is not None and not new and before.letter == letter(place):
            opened.seen = ComparedRun(summary, before.letter, before.curves)
        else:
            opened.seen = compare_run(summary, opened.history.rows, place)
        return opened.seen


def _place(run: ComparedRun) -> tuple[float, str]:
    """The place of a run's variant in its ablation, and its id; those without one keep their order behind."""
    place = (run.summary.facts.ablation or {}).get("place")
    return (place, run.summary.id) if isinstance(place, int) else (math.inf, "")
