"""Write a comparison of runs into files: CSV, Markdown and PNG."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from keras_tricks.ablation.effects import effects, effects_table, group_runs
from keras_tricks.runs.comparison import ComparedRun, differences_table, metrics_of, values_table
from keras_tricks.runs.storage import write_with_folder

FOLDER = "comparisons"
"""The folder of comparisons beside the runs; it holds no run."""


def markdown_report(runs: Sequence[ComparedRun], metric: str, baseline: Path | None) -> str:
    """Return values, differences of the recipes and effects of the variants as Markdown.

    Args:
        runs: The runs.
        metric: The metric of the effects.
        baseline: The directory of the run that others are compared with.
    """
    parts = [f"# Comparison of {len(runs)} runs\n", values_table(runs, metrics_of(runs), baseline).markdown()]
    differences = differences_table(runs)
    if differences.rows:
        parts += ["## Differences of the recipes\n", differences.markdown()]
    found = effects(group_runs(runs, baseline), metric)
    if len(found) > 1:
        parts += [
            f"## Effects on {metric}\n",
            f"Differences to {found[0].group.name}, paired by seed; 95 % intervals of Student's t.\n",
            effects_table(found, metric).markdown(),
        ]
    return "\n".join(parts)


def write_png(runs: Sequence[ComparedRun], metric: str, baseline: Path | None, path: Path) -> Path:
    """Draw curves and effects into a PNG file.

    Raises:
        StorageError: It cannot be written.
    """
    # matplotlib takes a second to import.
    from keras_tricks.comparison_plots import plot_comparison

    return plot_comparison(runs, effects(group_runs(runs, baseline), metric), metric, path)


def write_comparison(root: Path, runs: Sequence[ComparedRun], metric: str, baseline: Path | None) -> list[Path]:
    """Write all files of a comparison into a new folder under `comparisons` in the folder of the runs.

    Raises:
        StorageError: They cannot be written.
    """
    folder = root / FOLDER / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    found = effects_table(effects(group_runs(runs, baseline), metric), metric)
    files = [
        write_with_folder(folder / "values.csv", values_table(runs, metrics_of(runs), baseline).csv()),
        write_with_folder(folder / "differences.csv", differences_table(runs).csv()),
        write_with_folder(folder / "effects.csv", found.csv()),
        write_with_folder(folder / "comparison.md", markdown_report(runs, metric, baseline)),
    ]
    return [*files, write_png(runs, metric, baseline, folder / "comparison.png")]
