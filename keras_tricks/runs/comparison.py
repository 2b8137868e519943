"""Comparisons of runs: their values side by side, and where their recipes differ."""

from __future__ import annotations

import csv
import io
import math
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from keras_tricks.runs.columns import Value, as_value, column, sorts_descending
from keras_tricks.runs.schema import MetricRow
from keras_tricks.runs.summary import RunFacts, RunSummary, whole_recipe

NOT_COMPARED = frozenset({"name", "description", "published"})
"""Fields of a recipe that change nothing in its training."""

_LETTERS = string.ascii_uppercase + string.ascii_lowercase
_FIRST_METRICS = ("val_accuracy", "val_loss", "accuracy", "loss")


class Table(NamedTuple):
    """Headings and rows, for a file."""

    headings: tuple[str, ...]
    rows: list[tuple[Value, ...]]

    def csv(self) -> str:
        """The table as CSV, with all digits and nothing where there is no value."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.headings)
        writer.writerows([["" if value is None else value for value in row] for row in self.rows])
        return text.getvalue()

    def markdown(self) -> str:
        """The table as Markdown, numbers at the right with five digits."""
        columns = [[row[place] for row in self.rows] for place in range(len(self.headings))]
        is_number = [any(isinstance(value, int | float) for value in values) for values in columns]
        lines = [self.headings, tuple("---:" if number else "---" for number in is_number)]
        lines += [tuple(_markdown_cell(value) for value in row) for row in self.rows]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)


class Extreme(NamedTuple):
    """The best value of a metric and the epoch that ended with it."""

    value: float
    epoch: float


@dataclass(frozen=True)
class ComparedRun:
    """A run with the values of its epochs.

    Args:
        summary: The run.
        letter: The letter that stands for it.
        curves: The epochs and the values of each metric.
    """

    summary: RunSummary
    letter: str
    curves: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]]

    def last(self, metric: str) -> float | None:
        """The newest value of a metric."""
        if metric in self.summary.status.last:
            return self.summary.status.last[metric]
        values = self.curves.get(metric, ((), ()))[1]
        return values[-1] if values else None

    def best(self, metric: str) -> Extreme | None:
        """The best value of a metric, which is the smallest one of a loss or an error; None without a finite one."""
        epochs, values = self.curves.get(metric, ((), ()))
        finite = [(value, epoch) for epoch, value in zip(epochs, values, strict=True) if math.isfinite(value)]
        if not finite:
            return None
        choose = max if sorts_descending(column(metric)) else min
        return Extreme(*choose(finite, key=lambda pair: pair[0]))


class Difference(NamedTuple):
    """A field, a trick or a parameter, and its value in each run; None where a run has none."""

    key: str
    values: tuple[Value, ...]


def letter(place: int) -> str:
    """Return the letter of the run at a place, from A; beyond z two of them or more."""
    round_, place = divmod(place, len(_LETTERS))
    return (letter(round_ - 1) if round_ else "") + _LETTERS[place]


def compare_run(summary: RunSummary, rows: Iterable[MetricRow], place: int) -> ComparedRun:
    """Return a run with the curves of its epochs.

    Args:
        summary: The run.
        rows: The rows of its metrics.
        place: Its place among the compared runs.
    """
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows:
        if row.kind == "epoch":
            for name, value in row.values.items():
                epochs, values = curves.setdefault(name, ([], []))
                epochs.append(row.epoch)
                values.append(value)
    frozen = {name: (tuple(epochs), tuple(values)) for name, (epochs, values) in curves.items()}
    return ComparedRun(summary, letter(place), frozen)


def metrics_of(runs: Iterable[ComparedRun]) -> list[str]:
    """Return the metrics that any of the runs has, the validation's first."""
    found = dict.fromkeys(name for run in runs for name in (*run.curves, *run.summary.status.last))
    first = [name for name in _FIRST_METRICS if name in found]
    return [*first, *(name for name in found if name not in first)]


def values_table(runs: Sequence[ComparedRun], metrics: Sequence[str], baseline: Path | None) -> Table:
    """Return a row for each run: last and best value of each metric, and the differences to the baseline's."""
    base = next((run for run in runs if run.summary.directory == baseline), None)
    headings = ["run", "id", "name", "state", "seed", "epoch"]
    for metric in metrics:
        headings += [metric, *([f"delta {metric}"] if base else []), f"best {metric}", f"epoch of best {metric}"]
    rows = []
    for run in runs:
        summary = run.summary
        seed = as_value(summary.facts.recipe.get("seed"))
        row: list[Value] = [run.letter, summary.id, summary.name, summary.state, seed, summary.status.epoch]
        for metric in metrics:
            last, best = run.last(metric), run.best(metric)
            row.append(last)
            if base:
                row.append(None if run is base else _minus(last, base.last(metric)))
            row += [best.value, best.epoch] if best else [None, None]
        rows.append(tuple(row))
    return Table(tuple(headings), rows)


def flat_recipe(facts: RunFacts) -> dict[str, Any]:
    """Return the fields that shape the training, the tricks that are on, and the parameters of these."""
    flat = {key: value for key, value in whole_recipe(facts).items() if key not in NOT_COMPARED}
    for trick, parameters in facts.tricks.items():
        flat[trick] = "on"
        flat |= {f"{trick}.{name}": value for name, value in parameters.items()}
    return flat


def recipe_differences(runs: Sequence[RunFacts]) -> list[Difference]:
    """Return the fields, tricks and parameters that are not the same in all runs.

    A parameter is listed where runs that have the trick on differ in it. A run without a recipe has no values.
    """
    flat = [flat_recipe(facts) for facts in runs]
    found = []
    for key in dict.fromkeys(key for recipe in flat for key in recipe):
        trick = key.partition(".")[0]
        is_parameter = "." in key
        compared = {as_value(recipe.get(key)) for recipe in flat if recipe and (not is_parameter or trick in recipe)}
        if len(compared) > 1:
            is_trick = any(key in facts.tricks for facts in runs)
            words = (
                "off" if is_trick and recipe and key not in recipe else as_value(recipe.get(key)) for recipe in flat
            )
            found.append(Difference(key, tuple(words)))
    return found


def no_differences(runs: Sequence[RunFacts]) -> str:
    """Return what to say where `recipe_differences` finds none."""
    recipes = sum(bool(facts.recipe) for facts in runs)
    if recipes < 2:
        return f"{'Only one' if recipes else 'None'} of the runs has a recipe."
    whose = "" if recipes == len(runs) else f" of the {recipes} runs with one"
    return f"The recipes{whose} are equal."


def differences_table(runs: Sequence[ComparedRun]) -> Table:
    """Return a row for each difference of the recipes, and a column for each run."""
    found = recipe_differences([run.summary.facts for run in runs])
    headings = ("field", *(f"{run.letter} {run.summary.name}" for run in runs))
    return Table(headings, [(difference.key, *difference.values) for difference in found])


def _minus(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None else value - base


def _markdown_cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.5g}"
    return str(value).replace("|", "\\|").replace("\n", " ")
