"""Read what a report needs of runs, and find the runs of an ablation."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_tricks.runs import Run, RunError
from keras_tricks.runs.comparison import ComparedRun, compare_run
from keras_tricks.runs.summary import RunSummary, broken, summarize, summarize_all

Documents = tuple[dict[str, Any], dict[str, Any]]
"""The content of a run's `recipe.json` and `result.json`, empty where there is none."""


def read_runs(runs: Sequence[Run]) -> list[ComparedRun]:
    """Read runs with their curves; one that cannot be read is there in the state `broken`."""
    found = []
    for place, run in enumerate(runs):
        try:
            found.append(compare_run(summarize(run), run.metrics().rows, place))
        except RunError as error:
            found.append(compare_run(broken(run.directory, str(error)), (), place))
    return found


def read_documents(runs: Sequence[Run]) -> dict[str, Documents]:
    """Read what the runs say of themselves, by their ids; of one that cannot be read, nothing."""
    found: dict[str, Documents] = {}
    for run in runs:
        with contextlib.suppress(RunError):
            found[run.id] = run.document(), run.result() or {}
    return found


def runs_of_ablation(root: str | Path, name: str) -> list[RunSummary]:
    """Return the runs of the ablation with this id, or an id that begins so, or of the `last` one; oldest first.

    Raises:
        RunError: There is no such ablation, or more than one.
    """
    found: dict[str, list[RunSummary]] = {}
    for summary in summarize_all(root):
        if summary.facts.ablation is not None and isinstance(summary.facts.ablation.get("id"), str):
            found.setdefault(summary.facts.ablation["id"], []).append(summary)
    if not found:
        raise RunError(f"There is no ablation under {root}. `keras-tricks ablate quickstart` begins one.")
    # The runs are listed newest first, and so are the ablations.
    exact = [next(iter(found))] if name == "last" and name not in found else [one for one in found if one == name]
    matching = exact or [one for one in found if one.startswith(name)]
    if len(matching) != 1:
        what = f"{len(matching)} ablations" if matching else "no ablation"
        raise RunError(f"{name!r} means {what} under {root}. There are: {', '.join(matching or found)}.")
    return found[matching[0]][::-1]
