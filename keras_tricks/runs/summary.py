"""RunSummary: what lists, filters and comparisons know of a run, from two of its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from keras_tricks.runs import schema
from keras_tricks.runs.listing import list_runs
from keras_tricks.runs.process import LIVE_STATES
from keras_tricks.runs.run import Run
from keras_tricks.runs.schema import RunError, Status


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What `recipe.json` says of a run, which does not change.

    Args:
        name: The run's name.
        recipe: The fields of its recipe but for the tricks; none where it has no recipe.
        tricks: The parameters of each trick that is on.
        parent: Id of the run that its recipe was made from.
        ablation: Its place in a set of variants.
        written_by: The callbacks that wrote it, where it is no run directory.
    """

    name: str
    recipe: Mapping[str, Any] = field(default_factory=dict)
    tricks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    parent: str | None = None
    ablation: Mapping[str, Any] | None = None
    written_by: str = ""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run at one look; `state` is `broken`, and `error` the reason, where it cannot be read.

    Args:
        directory: The run directory.
        state: The true state, `stopping` for a live run that was asked to stop.
        facts: What its `recipe.json` says.
        status: What its `status.json` says.
        is_read_only: Whether it can only be looked at.
        error: What went wrong.
    """

    directory: Path
    state: str
    facts: RunFacts
    status: Status = field(default_factory=Status)
    is_read_only: bool = False
    error: str = ""

    @property
    def id(self) -> str:
        """The directory's name."""
        return self.directory.name

    @property
    def name(self) -> str:
        """The run's name."""
        return self.facts.name

    @property
    def about(self) -> str:
        """Model and data, or what wrote it."""
        words = [str(self.facts.recipe[key]) for key in ("model", "data") if key in self.facts.recipe]
        return " on ".join(words) or self.facts.written_by

    @property
    def is_live(self) -> bool:
        """Whether a trainer works on it."""
        return self.state in LIVE_STATES or self.state == "stopping"

    def duration_s(self, now: float) -> float | None:
        """The seconds from its start to its end, or to `now` while it is live."""
        if self.status.started is None:
            return None
        end = now if self.is_live else self.status.ended or self.status.heartbeat
        return max(0.0, end - self.status.started)


def read_facts(run: Run) -> RunFacts:
    """Return what the run's `recipe.json` says.

    Raises:
        RunError: It is missing, broken, or newer than this reader.
    """
    document = run.document()
    recipe = document.get("recipe")
    recipe = dict(recipe) if isinstance(recipe, dict) else {}
    listed = recipe.pop("tricks", None)
    tricks = {
        str(trick["trick"]): {key: value for key, value in trick.items() if key != "trick"}
        for trick in (listed if isinstance(listed, list) else [])
        if isinstance(trick, dict) and "trick" in trick
    }
    parent, ablation = document.get("parent"), document.get("ablation")
    return RunFacts(
        name=str(document.get("name") or run.id),
        recipe=recipe,
        tricks=tricks,
        parent=parent if isinstance(parent, str) else None,
        ablation=ablation if isinstance(ablation, dict) else None,
        written_by=str(document.get("written_by") or ""),
    )


def whole_recipe(facts: RunFacts) -> dict[str, Any]:
    """Return the fields of a run's recipe, without the tricks; of those that it is too old to have, the defaults."""
    if not {"model", "data"} <= facts.recipe.keys():
        return dict(facts.recipe)
    # It reads runs, of which weights may be.
    from keras_tricks.recipe import Recipe

    defaults = {name: field.default for name, field in Recipe.model_fields.items() if name != "tricks"}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()}
    return {**plain, **facts.recipe}


def summarize(run: Run, facts: RunFacts | None = None) -> RunSummary:
    """Return a run's summary as it is now.

    Args:
        run: The run.
        facts: What its `recipe.json` says, if that has been read before.

    Raises:
        RunError: A file is missing, broken, or newer than this reader.
    """
    status = run.status()
    state: str = status.state
    if state in LIVE_STATES and (run.directory / schema.STOP_FILE).exists():
        state = "stopping"
    return RunSummary(
        directory=run.directory,
        state=state,
        facts=facts or read_facts(run),
        status=status,
        is_read_only=run.is_read_only,
        error=status.error or "",
    )


def broken(directory: Path, reason: str) -> RunSummary:
    """Return the summary of a run that cannot be read."""
    return RunSummary(directory=directory, state="broken", facts=RunFacts(directory.name), error=reason)


def summarize_all(root: str | Path) -> list[RunSummary]:
    """Return the summaries of all runs under `root`, newest first."""
    return [_summary_or_broken(run) for run in list_runs(root)]


def _summary_or_broken(run: Run) -> RunSummary:
    try:
        return summarize(run)
    except (RunError, OSError, ValidationError) as error:
        return broken(run.directory, str(error))
