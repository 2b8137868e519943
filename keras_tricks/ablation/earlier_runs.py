"""What the user's earlier runs say of a trick, and of how long the next ones take."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from keras_tricks.recipe import Recipe
from keras_tricks.runs.schema import is_share
from keras_tricks.runs.summary import RunSummary, whole_recipe

_WORDS_ONLY = frozenset({"name", "description", "published", "tensorboard"})
"""Fields of a recipe that change nothing about the result."""

_Tricks = frozenset[tuple[str, str]]
_Key = tuple[str, str, _Tricks]


@dataclass(frozen=True)
class TrickPairs:
    """The finished runs with a trick, and those of them that have a twin without it.

    Args:
        runs: How many finished runs have the trick on.
        pairs: The metric of a task without it and with it, by its name, in two runs whose recipes differ in nothing
            else, the seed included. Of several runs with one recipe it is the mean.
    """

    runs: int
    pairs: Mapping[str, tuple[tuple[float, float], ...]]


def trick_pairs(summaries: Sequence[RunSummary]) -> dict[str, TrickPairs]:
    """Return what there is on each trick that a finished run has."""
    values: dict[_Key, list[float]] = {}
    counts: dict[str, int] = {}
    for summary in summaries:
        metric = _metric(summary)
        value = summary.status.last.get(metric)
        if summary.state != "finished" or not summary.facts.recipe or value is None or not math.isfinite(value):
            continue
        recipe, tricks = _key(summary)
        values.setdefault((metric, recipe, tricks), []).append(value)
        for name, _ in tricks:
            counts[name] = counts.get(name, 0) + 1
    pairs: dict[str, dict[str, list[tuple[float, float]]]] = {name: {} for name in counts}
    for (metric, recipe, tricks), found in values.items():
        for trick in tricks:
            without = values.get((metric, recipe, tricks - {trick}))
            if without is not None:
                pairs[trick[0]].setdefault(metric, []).append((fmean(without), fmean(found)))
    return {
        name: TrickPairs(count, {metric: tuple(found) for metric, found in pairs[name].items()})
        for name, count in counts.items()
    }


def finding(found: TrickPairs | None) -> str:
    """Return in words what the runs say of a trick: the mean difference of each task's metric with its 95 % interval.

    Args:
        found: What there is on it; None if no finished run has it.
    """
    if found is None:
        return "no finished run with it yet"
    runs = f"{found.runs} run{'s' * (found.runs > 1)} with it"
    if not found.pairs:
        return f"{runs}; no pairs of runs with and without it yet"
    return ", ".join([runs, *(_difference(metric, pairs) for metric, pairs in found.pairs.items())])


def seconds_per_epoch(recipe: Recipe, summaries: Sequence[RunSummary]) -> float | None:
    """Return how long an epoch took in finished runs of the same model, data, batch and image size, in the median.

    Args:
        recipe: The recipe to be trained.
        summaries: The runs.
    """
    fields = ("model", "data", "batch_size", "image_size", "replicas")
    wanted = {field: getattr(recipe, field) for field in fields}
    times = []
    for summary in summaries:
        facts, status = summary.facts, summary.status
        seconds = summary.duration_s(status.heartbeat)
        same = all(facts.recipe.get(field) == value for field, value in wanted.items())
        if same and summary.state == "finished" and status.attempt <= 1 and status.epoch and seconds:
            times.append(seconds / status.epoch)
    return median(times) if times else None


def _difference(metric: str, pairs: Sequence[tuple[float, float]]) -> str:
    from keras_tricks.ablation.statistics import paired_difference

    without, with_it = (dict(enumerate(100 * pair[side] for pair in pairs)) for side in (0, 1))
    difference = paired_difference(without, with_it)
    words = f"Δ{metric} {difference.mean:+.2f} points"
    if difference.low is None:
        return f"{words} in 1 pair: no interval"
    return f"{words} ±{difference.mean - difference.low:.2f} (95 %, {difference.n} pairs)"


def _metric(summary: RunSummary) -> str:
    """The metric of the run's task; `val_accuracy` where it watches what is no share of something."""
    best = summary.status.best
    return best.metric if best is not None and is_share(best.metric) else "val_accuracy"


def _key(summary: RunSummary) -> tuple[str, _Tricks]:
    fields = {key: value for key, value in whole_recipe(summary.facts).items() if key not in _WORDS_ONLY}
    tricks = frozenset(
        (name, json.dumps(arguments, sort_keys=True)) for name, arguments in summary.facts.tricks.items()
    )
    return json.dumps(fields, sort_keys=True), tricks
