"""Effects: what runs of variants, each with several seeds, say of what sets these apart."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from keras_tricks.ablation.statistics import PairedDifference, Spread, paired_difference, spread
from keras_tricks.runs.columns import Value
from keras_tricks.runs.comparison import ComparedRun, Difference, Table, flat_recipe, recipe_differences

WHOLE = frozenset({"finished", "quiet"})
"""The states of runs that count; `quiet` is all that is known of a training by somebody else."""


@dataclass(frozen=True)
class Group:
    """The runs of one variant: their recipes are equal but for the seed.

    Args:
        name: What sets it apart.
        runs: Its runs, oldest first.
    """

    name: str
    runs: tuple[ComparedRun, ...]

    def values(self, metric: str) -> dict[int, float]:
        """The last value of a metric in each seed's newest finished run."""
        return {seed: value for seed, run in self.counted(metric).items() if (value := run.last(metric)) is not None}

    def counted(self, metric: str) -> dict[int, ComparedRun]:
        """Each seed's newest finished run that ended with a finite value of a metric."""
        counted = {}
        for run in self.runs:
            value = run.last(metric)
            if run.summary.state in WHOLE and value is not None and math.isfinite(value):
                counted[seed_of(run)] = run
        return counted

    @property
    def unfinished(self) -> tuple[ComparedRun, ...]:
        """The runs that do not count, because they are not finished."""
        return tuple(run for run in self.runs if run.summary.state not in WHOLE)


@dataclass(frozen=True)
class Effect:
    """A variant's values, and their difference to those of the variant that it is compared with.

    Args:
        group: The variant.
        values: Mean and spread of its values; None if no run of it counts.
        difference: The paired difference; None for the first variant, and without a common seed.
        note: What does not count, in words.
    """

    group: Group
    values: Spread | None
    difference: PairedDifference | None
    note: str = ""


def group_runs(runs: Sequence[ComparedRun], baseline: Path | None = None) -> list[Group]:
    """Return the variants that the runs belong to, the one that others are compared with first.

    That is the variant of `baseline`, else the first one of the runs' ablation, else that of the oldest run. Variants
    of its ablation have the names and the order that they were designed with, others are named by what sets them apart.

    Args:
        runs: The runs.
        baseline: The directory of a run of the variant that others are compared with.
    """
    found: dict[str, list[ComparedRun]] = {}
    for run in sorted(runs, key=lambda run: run.summary.id):
        found.setdefault(_variant_key(run), []).append(run)
    groups = list(found.values())
    if not groups:
        return []
    base = next(
        (group for group in groups if any(run.summary.directory == baseline for run in group)),
        min(groups, key=_place),
    )
    others = [group for group in groups if group is not base]
    ablation = _ablation_id(base)
    others.sort(key=lambda group: _place(group) if _ablation_id(group) == ablation else math.inf)
    return [Group(_name(group, base), tuple(group)) for group in (base, *others)]


def effects(groups: Sequence[Group], metric: str, *, stepwise: bool = False) -> list[Effect]:
    """Return what a metric says of each variant.

    Args:
        groups: The variants.
        metric: The metric.
        stepwise: Whether each is compared with the one before it. Defaults to False, all with the first.
    """
    found: list[Effect] = []
    base = groups[0].values(metric) if groups else {}
    for group in groups:
        values = group.values(metric)
        is_paired = bool(found) and bool(base.keys() & values.keys())
        effect = Effect(
            group,
            spread(list(values.values())) if values else None,
            paired_difference(base, values) if is_paired else None,
        )
        base_name = None if not found else "the step before" if stepwise else "the baseline"
        found.append(replace(effect, note=_note(effect, base_name, metric)))
        if stepwise:
            base = values
    return found


def effects_table(found: Sequence[Effect], metric: str) -> Table:
    """Return a row for each variant."""
    rows: list[tuple[Value, ...]] = []
    for effect in found:
        values, difference = effect.values, effect.difference
        rows.append(
            (
                effect.group.name,
                values.n if values else 0,
                values.mean if values else None,
                values.deviation if values else None,
                difference.n if difference else None,
                difference.mean if difference else None,
                difference.low if difference else None,
                difference.high if difference else None,
                effect.note or None,
            )
        )
    headings = ("variant", "n", metric, "standard deviation", "pairs", "difference", "95 % low", "95 % high", "note")
    return Table(headings, rows)


def difference_words(differences: Sequence[Difference]) -> str:
    """Return what the second of two recipes has otherwise than the first: `+mixup -warmup batch_size=64`."""
    switched = [one for one in differences if set(one.values) == {"on", "off"}]
    names = {one.key for one in switched}
    words = [f"+{one.key}" if one.values[1] == "on" else f"-{one.key}" for one in switched]
    for one in differences:
        if one.key.partition(".")[0] not in names:
            words.append(f"{one.key}={'none' if one.values[1] is None else one.values[1]}")
    return " ".join(words)


def _note(effect: Effect, base_name: str | None, metric: str) -> str:
    words = []
    difference = effect.difference
    if effect.values is None:
        words.append("no finished run with a value")
    elif difference is None and base_name is not None:
        words.append(f"no seed in common with {base_name}")
    if difference is not None and difference.n == 1:
        words.append("one seed, so no interval")
    if difference is not None and difference.left_out:
        words.append(f"unpaired: seed {', '.join(map(str, difference.left_out))}")
    words += [f"{run.summary.id} is {run.summary.state}" for run in effect.group.unfinished]
    return "; ".join([*words, *_left_out(effect.group, metric)])


def _left_out(group: Group, metric: str) -> list[str]:
    """Say which finished runs do not count, and why."""
    counted = group.counted(metric)
    words = []
    for run in group.runs:
        value, newest = run.last(metric), counted.get(seed_of(run))
        if run is newest or run in group.unfinished:
            continue
        if value is None:
            words.append(f"{run.summary.id} ended without a value")
        elif not math.isfinite(value):
            words.append(f"{run.summary.id} ended with {'NaN' if math.isnan(value) else value}")
        else:
            shared = "seed" if run.summary.facts.recipe else "name"
            words.append(f"{run.summary.id} has the {shared} of a newer run")
    return words


def seed_of(run: ComparedRun) -> int:
    """Return the seed of a run, 0 where it has no recipe."""
    seed = run.summary.facts.recipe.get("seed")
    return seed if isinstance(seed, int) else 0


def _variant_key(run: ComparedRun) -> str:
    facts = run.summary.facts
    if not facts.recipe:
        return f"name {facts.name}"
    recipe = {key: value for key, value in flat_recipe(facts).items() if key != "seed"}
    return json.dumps(recipe, sort_keys=True, default=str)


def _ablation_id(group: Sequence[ComparedRun]) -> object:
    return next((run.summary.facts.ablation.get("id") for run in group if run.summary.facts.ablation), None)


def _place(group: Sequence[ComparedRun]) -> float:
    places = [run.summary.facts.ablation.get("place") for run in group if run.summary.facts.ablation]
    return min((place for place in places if isinstance(place, int)), default=math.inf)


def _name(group: Sequence[ComparedRun], base: Sequence[ComparedRun]) -> str:
    wanted = _ablation_id(base)
    for run in group:
        ablation = run.summary.facts.ablation
        if ablation and ablation.get("id") == wanted and ablation.get("variant"):
            return str(ablation["variant"])
    if group is base:
        return base[0].summary.name
    both = [base[0].summary.facts, group[0].summary.facts]
    differing = [one for one in recipe_differences(both) if one.key != "seed"]
    return difference_words(differing) or group[0].summary.name
