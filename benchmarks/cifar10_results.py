"""Write the tables and the picture of what `cifar10_grids.py` trained: `python benchmarks/cifar10_results.py RUNS`.

They go into `results/cifar10_stack.csv`, `results/cifar10_clipping.csv`, between the marks in `results/cifar10.md`, and
into `pictures/cifar10.png` of the repository.
"""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

from cifar10_grids import BATCH_SIZES, CLIPPINGS
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from keras_tricks.ablation.effects import Effect, Group, effects, group_runs
from keras_tricks.ablation.report import signed, spread_words
from keras_tricks.ablation.reported_runs import read_runs, runs_of_ablation
from keras_tricks.ablation.statistics import PairedDifference, spread
from keras_tricks.runs import RunError, open_run
from keras_tricks.runs.comparison import Table

METRIC = "val_accuracy"
CHANCE = 0.1
FOLDER = Path(__file__).parent / "results"
PICTURE = FOLDER.parents[1] / "pictures" / "cifar10.png"
COLORS = ("#4477aa", "#ee6677", "#228833")


def groups_of(root: Path, ablation: str) -> list[Group]:
    """The variants of an ablation in their order."""
    runs = read_runs([open_run(summary.directory) for summary in runs_of_ablation(root, ablation)])
    return group_runs([run for run in runs if run.summary.state in ("finished", "failed")])


def tricks_of(group: Group) -> set[str]:
    """The names of a variant's tricks."""
    return set(group.runs[0].summary.facts.tricks)


def stack_table(found: Sequence[Effect]) -> Table:
    """A row for each step of the stack, with the trick that it adds."""
    rows = []
    before: set[str] = set()
    for effect in found:
        values, difference = effect.values, effect.difference
        added = sorted(tricks_of(effect.group) - before) if effect is not found[0] else []
        before = tricks_of(effect.group)
        rows.append(
            (
                effect.group.name,
                ",".join(added),
                values.n if values else 0,
                values.mean if values else None,
                values.deviation if values else None,
                difference.mean if difference else None,
                difference.low if difference else None,
                difference.high if difference else None,
            )
        )
    headings = ("step", "trick", "n", METRIC, "standard deviation", "difference", "95 % low", "95 % high")
    return Table(headings, rows)


def clipping_table(groups: dict[int, list[Group]]) -> Table:
    """A row for each run: batch size, largest ratio (none: not clipped), seed, accuracy, and how it ended."""
    rows = []
    for batch_size, variants in groups.items():
        for group in variants:
            for run in group.runs:
                clip = run.summary.facts.tricks.get("adaptive_gradient_clipping", {})
                seed = run.summary.facts.recipe.get("seed")
                error = re.sub(r"\s+", " ", run.summary.error or "")
                rows.append((batch_size, clip.get("clipping"), seed, run.last(METRIC), run.summary.state, error))
    return Table(("batch size", "clipping", "seed", METRIC, "state", "error"), rows)


def difference_words(difference: PairedDifference | None) -> tuple[str, str]:
    """A difference of shares in points, and its interval; empty where there is none."""
    if difference is None:
        return "", ""
    change = signed(100 * difference.mean, 100)
    if difference.low is None or difference.high is None:
        return change, ""
    return change, f"{signed(100 * difference.low, 100)} to {signed(100 * difference.high, 100)}"


def put_into(page: Path, name: str, table: str) -> None:
    """Put a table between the marks of its name in a page."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    text = page.read_text(encoding="utf-8")
    text = re.sub(pattern, lambda match: f"{match[1]}\n{table}\n{match[2]}", text, flags=re.DOTALL)
    page.write_text(text, encoding="utf-8")


def stack_words(found: Sequence[Effect]) -> str:
    """The stack as Markdown."""
    rows = []
    for effect in found:
        values = effect.values
        words = spread_words(values, 100) or "-"
        rows.append((effect.group.name, values.n if values else 0, words, *difference_words(effect.difference)))
    return Table(("step", "n", "val_accuracy, %", "difference, points", "95 % interval"), rows).markdown()


def clipping_words(groups: dict[int, list[Group]]) -> str:
    """The accuracy for each largest ratio and batch size as Markdown."""
    rows = []
    for ratio in (None, *CLIPPINGS):
        cells = []
        for variants in groups.values():
            runs = [group for group in variants if clip_of(group) == ratio]
            values = [value for group in runs for value in group.values(METRIC).values()]
            failed = sum(run.summary.state == "failed" for group in runs for run in group.runs)
            words = ", ".join(f"{100 * value:.2f}" for value in sorted(values))
            cells.append(", ".join(filter(None, (words, f"{failed} diverged" if failed else ""))))
        rows.append(("none" if ratio is None else ratio, *cells))
    headings = ("clipping", *(f"batch {size}: val_accuracy, %" for size in groups))
    return Table(headings, rows).markdown()


def clip_of(group: Group) -> float | None:
    """The largest ratio of a variant; None where it is not clipped."""
    return group.runs[0].summary.facts.tricks.get("adaptive_gradient_clipping", {}).get("clipping")


def draw_stack(axes: Axes, found: Sequence[Effect]) -> None:
    """Bars of the accuracy of each step, with the seeds as points."""
    names = [effect.group.name for effect in found]
    for place, effect in enumerate(found):
        values = [100 * value for value in effect.group.values(METRIC).values()]
        axes.barh(place, sum(values) / len(values) if values else 0, color=COLORS[0], alpha=0.75)
        axes.plot(values, [place] * len(values), "o", color="black", markersize=3)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("validation accuracy, %")
    axes.set_title("Bag of Tricks, one step after the other")


def draw_clipping(axes: Axes, groups: dict[int, list[Group]]) -> None:
    """Accuracy over the largest ratio, a line for each batch size; without clipping at the right."""
    beside = CLIPPINGS[-1] * 2
    for color, (batch_size, variants) in zip(COLORS, groups.items(), strict=False):
        means: dict[float, float] = {}
        for group in variants:
            values = list(group.values(METRIC).values()) or [CHANCE]
            means[clip_of(group) or beside] = 100 * spread(values).mean
        clipped = {ratio: mean for ratio, mean in means.items() if ratio != beside}
        axes.plot(list(clipped), list(clipped.values()), "o-", color=color, label=f"batch {batch_size}")
        if beside in means:
            axes.plot([beside], [means[beside]], "s", color=color)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks([*CLIPPINGS, beside], [*map(str, CLIPPINGS), "none"])
    axes.set_xlabel("largest ratio of a unit's gradient to its weights")
    axes.set_title("NF-ResNet-20: adaptive gradient clipping")
    axes.legend(loc="best")


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="folder of the runs")
    root: Path = parser.parse_args().runs
    found = effects(groups_of(root, "stack"), METRIC, stepwise=True)
    groups = {}
    for batch_size in BATCH_SIZES:
        with contextlib.suppress(RunError):
            if variants := groups_of(root, f"clipping-{batch_size}"):
                groups[batch_size] = variants
    (FOLDER / "cifar10_stack.csv").write_text(stack_table(found).csv(), encoding="utf-8")
    (FOLDER / "cifar10_clipping.csv").write_text(clipping_table(groups).csv(), encoding="utf-8")
    put_into(FOLDER / "cifar10.md", "stack", stack_words(found))
    put_into(FOLDER / "cifar10.md", "clipping", clipping_words(groups))
    figure = Figure(figsize=(13, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_stack(left, found)
    draw_clipping(right, groups)
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
