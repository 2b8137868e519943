"""Columns: what can be asked of a run by name, for lists, filters and comparisons."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from keras_tricks.runs.schema import is_share
from keras_tricks.runs.summary import RunSummary

Kind = Literal["word", "number", "share", "duration", "moment"]
Value = float | str | None

DELTA = "delta."
"""What stands before the name of a number for its difference to the baseline's."""

LAST = "last."
"""What stands before the name of a metric that is called like a field of the recipe, as `last.learning_rate`."""


@dataclass(frozen=True)
class Viewpoint:
    """What the values of some columns depend on besides the run.

    Args:
        now: Seconds since 1970.
        baseline: The run that others are compared with.
        marked: The marked run directories.
    """

    now: float
    baseline: RunSummary | None = None
    marked: frozenset[Path] = field(default_factory=frozenset)


class Column(NamedTuple):
    """Something that can be asked of a run.

    Args:
        key: Its name.
        title: Its heading, short.
        kind: What its values are.
        value: The value of a run, None where it has none.
    """

    key: str
    title: str
    kind: Kind
    value: Callable[[RunSummary, Viewpoint], Value]


def _best(run: RunSummary) -> float | None:
    return run.status.best.value if run.status.best else None


def _tricks(run: RunSummary, view: Viewpoint) -> str | None:
    """The tricks that are on or, where there is a baseline, the difference to it."""
    own = run.facts.tricks
    if view.baseline is None or view.baseline.directory == run.directory:
        return " ".join(own) or None
    base = view.baseline.facts.tricks
    changed = [f"~{name}" for name in own if name in base and own[name] != base[name]]
    added = [f"+{name}" for name in own if name not in base]
    return " ".join([*added, *(f"-{name}" for name in base if name not in own), *changed]) or "="


def _variant(run: RunSummary) -> str | None:
    ablation = run.facts.ablation
    return None if ablation is None else str(ablation.get("variant", ablation.get("id", "")))


_BUILT_IN = {
    column.key: column
    for column in (
        Column("state", "State", "word", lambda run, _: run.state),
        Column("name", "Name", "word", lambda run, _: run.name),
        Column("id", "Id", "word", lambda run, _: run.id),
        Column("epoch", "Epoch", "number", lambda run, _: run.status.epoch or (0 if run.status.epochs else None)),
        Column("epochs", "Epochs", "number", lambda run, _: run.status.epochs or run.facts.recipe.get("epochs")),
        Column("step", "Step", "number", lambda run, _: run.status.step if run.status.steps else None),
        Column("best", "Best", "number", lambda run, _: _best(run)),
        Column("best_epoch", "Best at", "number", lambda run, _: run.status.best.epoch if run.status.best else None),
        Column("images_per_second", "Img/s", "number", lambda run, _: run.status.images_per_second),
        Column("eta", "ETA", "duration", lambda run, _: run.status.eta_s if run.is_live else None),
        Column("duration", "Time", "duration", lambda run, view: run.duration_s(view.now)),
        Column("started", "Started", "moment", lambda run, _: run.status.started),
        Column("age", "Age", "duration", lambda run, view: _age(run, view)),
        Column("attempt", "Attempt", "number", lambda run, _: run.status.attempt or None),
        Column("host", "Host", "word", lambda run, _: run.status.host or None),
        Column("parent", "Parent", "word", lambda run, _: run.facts.parent),
        Column("ablation", "Ablation", "word", lambda run, _: _variant(run)),
        Column("tricks", "Tricks", "word", _tricks),
        Column("error", "Error", "word", lambda run, _: run.error or None),
        Column("marked", "Marked", "word", lambda run, view: "yes" if run.directory in view.marked else "no"),
        Column("model", "Model", "word", lambda run, _: run.facts.recipe.get("model")),
        Column("data", "Data", "word", lambda run, _: run.facts.recipe.get("data")),
    )
}
_MOST_NAMED = 26
_OFTEN_LOGGED = ("val_accuracy", "val_loss", "accuracy", "loss")
_ALWAYS_KNOWN = (*_OFTEN_LOGGED, "batch_size", "learning_rate", "seed")
_TITLES = {
    "val_accuracy": "Val acc",
    "val_loss": "Val loss",
    "accuracy": "Acc",
    "loss": "Loss",
    "val_mean_iou": "Val mIoU",
    "mean_iou": "mIoU",
    "val_coco_map50": "Val mAP50",
    "coco_map50": "mAP50",
}


def column(key: str) -> Column:
    """Return the column of a name: a built-in one, a field of the recipe, a trick or its parameter, or a metric.

    Any name is one; a run that knows nothing of that name has no value there.
    """
    if key in _BUILT_IN:
        return _BUILT_IN[key]
    if key.startswith(DELTA):
        inner = column(key.removeprefix(DELTA))
        return Column(key, f"Δ{inner.title}", inner.kind, lambda run, view: _delta(inner, run, view))
    kind: Kind = "share" if is_share(key) else "number"
    metric = key.removeprefix(LAST)
    return Column(key, _TITLES.get(key, key), kind, lambda run, _: _lookup(run, key, metric))


def main_column(runs: Iterable[RunSummary]) -> str:
    """Return the name of the column that says how good these runs are.

    It is the metric of which they keep the best value, a loss aside; `best` where they keep those of different ones, as
    runs of several tasks do; `val_accuracy` where none keeps any.
    """
    watched = {run.status.best.metric for run in runs if run.status.best is not None} - {"val_loss", "loss"}
    return "best" if len(watched) > 1 else next(iter(watched), "val_accuracy")


def known_keys(runs: Iterable[RunSummary]) -> list[str]:
    """Return the names of all columns of which some of these runs may have a value."""
    fields: dict[str, None] = {}
    parameters: dict[str, None] = {}
    metrics = dict.fromkeys(_OFTEN_LOGGED)
    for run in runs:
        fields.update(dict.fromkeys(run.facts.recipe))
        metrics.update(dict.fromkeys(run.status.last))
        for trick, values in run.facts.tricks.items():
            parameters[trick] = None
            parameters.update(dict.fromkeys(f"{trick}.{name}" for name in values))
    clashing = [name for name in metrics if name in fields or name in _BUILT_IN]
    numbers = ["best", *(name for name in metrics if name not in clashing)]
    names = [
        *_BUILT_IN,
        *numbers[1:],
        *(f"{LAST}{name}" for name in clashing),
        *(f"{DELTA}{name}" for name in numbers),
        *fields,
        *_ALWAYS_KNOWN,
        *sorted(parameters),
    ]
    return list(dict.fromkeys(names))


def no_such_column(key: str, known: Iterable[str]) -> str:
    """Return what to say of a name that is not among the known ones."""
    names = list(known)
    close = difflib.get_close_matches(key, names, n=1)
    if close:
        return f"There is no {key!r}. Did you mean {close[0]}?"
    shown = [name for name in names if not name.startswith((DELTA, LAST)) and "." not in name]
    more = ", and any field of the recipe, trick.parameter or metric" if len(shown) > _MOST_NAMED else ""
    return f"There is no {key!r}. There are: {', '.join(shown[:_MOST_NAMED])}{more}."


def is_nothing(value: Value) -> bool:
    """Whether there is no value to sort by."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def sorted_runs(runs: Iterable[RunSummary], by: Column, descending: bool, view: Viewpoint) -> list[RunSummary]:
    """Return runs in the order of a column, those without a value last; words after numbers.

    Args:
        runs: The runs, newest first.
        by: The column; for `started` they stay as they are, since a run that waits has no start.
        descending: Whether the largest value comes first.
        view: What the values depend on.
    """
    if by.key == "started":
        return list(runs) if descending else list(runs)[::-1]
    valued: list[tuple[tuple[bool, Any], RunSummary]] = []
    without = []
    for run in runs:
        value = by.value(run, view)
        if is_nothing(value):
            without.append(run)
        else:
            valued.append(((isinstance(value, str), value), run))
    valued.sort(key=lambda pair: pair[0], reverse=descending)
    return [*(run for _, run in valued), *without]


def sorts_descending(by: Column) -> bool:
    """Whether the largest value is the one that one looks for first."""
    is_error = any(word in by.key for word in ("loss", "error"))
    return by.kind != "word" and not is_error


def as_value(value: Any) -> Value:
    """Return a value of a recipe as a number or a word."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or isinstance(value, int | float | str):
        return value
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _age(run: RunSummary, view: Viewpoint) -> float | None:
    return None if run.status.started is None else max(0.0, view.now - run.status.started)


def _delta(inner: Column, run: RunSummary, view: Viewpoint) -> float | None:
    if view.baseline is None or view.baseline.directory == run.directory:
        return None
    own, base = inner.value(run, view), inner.value(view.baseline, view)
    return own - base if isinstance(own, int | float) and isinstance(base, int | float) else None


def _lookup(run: RunSummary, key: str, metric: str) -> Value:
    if key in run.facts.recipe:
        return as_value(run.facts.recipe[key])
    trick, dot, parameter = key.partition(".")
    if trick in run.facts.tricks:
        return as_value(run.facts.tricks[trick].get(parameter)) if dot else "on"
    return run.status.last.get(metric)
