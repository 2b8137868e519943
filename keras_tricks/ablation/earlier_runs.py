"""What the user's earlier runs say of a trick, and of how long the next ones take."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from keras_tricks.recipe import Recipe
from keras_tricks.runs.summary import RunSummary, whole_recipe

METRIC = "val_accuracy"
_WORDS_ONLY = frozenset({"name", "description", "published", "tensorboard"})
"""Fields of a recipe that change nothing about the result."""

_Key = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True)
class TrickPairs:
    """The finished runs with a trick, and those of them that have a twin without it.

    Args:
        runs: How many finished runs have the trick on.
        pairs: `METRIC` without it and with it, in two runs whose recipes differ in nothing else, the seed included.
            Of several runs with one recipe it is the mean.
    """

    runs: int
    pairs: tuple[tuple[float, float], ...]


def trick_pairs(summaries: Sequence[RunSummary]) -> dict[str, TrickPairs]:
    """Return what there is on each trick that a finished run has."""
    values: dict[_Key, list[float]] = {}
    counts: dict[str, int] = {}
    for summary in summaries:
        value = summary.status.last.get(METRIC)
        if summary.state != "finished" or not summary.facts.recipe or value is None or not math.isfinite(value):
            continue
        key = _key(summary)
        values.setdefault(key, []).append(value)
        for name, _ in key[1]:
            counts[name] = counts.get(name, 0) + 1
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in counts}
    for (recipe, tricks), found in values.items():
        for trick in tricks:
            without = values.get((recipe, tricks - {trick}))
            if without is not None:
                pairs[trick[0]].append((fmean(without), fmean(found)))
    return {name: TrickPairs(count, tuple(pairs[name])) for name, count in counts.items()}


def finding(found: TrickPairs | None) -> str:
    """Return in a sentence what the runs say of a trick: the mean difference with its 95 % interval.

    Args:
        found: What there is on it; None if no finished run has it.
    """
    if found is None:
        return "no finished run with it yet"
    runs = f"{found.runs} run{'s' * (found.runs > 1)} with it"
    if not found.pairs:
        return f"{runs}; no pairs of runs with and without it yet"
    from keras_tricks.ablation.statistics import paired_difference

    without, with_it = (dict(enumerate(100 * pair[side] for pair in found.pairs)) for side in (0, 1))
    difference = paired_difference(without, with_it)
    words = f"{runs}, Δ{METRIC} {difference.mean:+.2f} points"
    if difference.low is None:
        return f"{words} in 1 pair: no interval"
    return f"{words} ±{difference.mean - difference.low:.2f} (95 %, {difference.n} pairs)"


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


def _key(summary: RunSummary) -> _Key:
    fields = {key: value for key, value in whole_recipe(summary.facts).items() if key not in _WORDS_ONLY}
    tricks = frozenset(
        (name, json.dumps(arguments, sort_keys=True)) for name, arguments in summary.facts.tricks.items()
    )
    return json.dumps(fields, sort_keys=True), tricks
