"""Segment streets on backbones of `cifar10_grids.py`, and write what their tricks change into `results/transfer.md`.

    python benchmarks/transfer_backbones.py CIFAR10_RUNS RUNS --data masks:CAMVID --seeds 3 --jobs 2

Each seed has backbones of its own: those that the stack trained with that seed. The same words go on where they were
interrupted. The table goes between the marks of the page, and into `results/transfer_backbones.csv`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cifar10_grids import train
from cifar10_results import FOLDER, difference_words, put_into

from keras_tricks import Recipe
from keras_tricks.ablation import Variant
from keras_tricks.ablation.grid import Cell, Grid
from keras_tricks.ablation.launch_local import LocalLauncher
from keras_tricks.ablation.report import spread_words
from keras_tricks.ablation.reported_runs import runs_of_ablation
from keras_tricks.ablation.statistics import paired_difference, spread
from keras_tricks.presets import presets
from keras_tricks.runs.comparison import Table

METRIC = "val_mean_iou"
RANDOM = "none"
BASELINE = "baseline"
BACKBONES = (BASELINE, "+ ResNet-D", "+ cosine decay", "+ label smoothing", "+ distillation", "+ mixup")
"""Steps of the stack, of which each one has the tricks of those before."""


def backbones(root: Path) -> dict[tuple[str, int], Path]:
    """The finished runs of the stack by step and seed."""
    found = {}
    for summary in runs_of_ablation(root, "stack"):
        if summary.state == "finished":
            step, seed = str((summary.facts.ablation or {})["variant"]), int(summary.facts.recipe["seed"])
            found[step, seed] = summary.directory
    return found


def variants(base: Recipe, trained: dict[tuple[str, int], Path], seeds: int) -> list[Variant]:
    """The same training on random weights and on those of each step; the network is that of the backbone."""
    found = []
    for seed in range(seeds):
        for place, step in enumerate((RANDOM, *BACKBONES)):
            recipe = base.without_trick("resnet_variant") if step == BASELINE else base
            weights = None if step == RANDOM else str(trained[step, seed])
            recipe = recipe.changed(name=f"transfer-{place}-s{seed}", weights=weights, seed=seed)
            found.append(Variant(step, place, seed, recipe))
    return found


def values_of(cells: list[Cell]) -> dict[str, dict[int, float]]:
    """The mean IoU at the end of each finished run, by backbone and seed."""
    values: dict[str, dict[int, float]] = {}
    for cell in cells:
        if cell.run is not None and cell.state == "finished":
            values.setdefault(cell.variant.name, {})[cell.variant.seed] = cell.run.status().last[METRIC]
    return values


def table(values: dict[str, dict[int, float]]) -> Table:
    """A row for each backbone: mean and deviation over the seeds, and the difference to the baseline's."""
    rows = []
    for name, of_seeds in values.items():
        difference = None if name == BASELINE else paired_difference(values[BASELINE], of_seeds)
        found = spread(list(of_seeds.values()))
        rows.append((name, found.n, spread_words(found, 100), *difference_words(difference)))
    return Table(("backbone", "n", "mean IoU, %", "difference to the baseline's, points", "95 % interval"), rows)


def main() -> None:
    """Train what is left to do, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cifar10", type=Path, help="folder of the runs of cifar10_grids.py")
    parser.add_argument("runs", type=Path, help="folder of the runs to make")
    parser.add_argument("--data", required=True, help="CamVid as masks:PATH")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="how many to train at once")
    chosen = parser.parse_args()
    base = presets()["camvid_fcn_resnet50_d"].without_trick("mixed_precision")
    base = base.changed(
        data=chosen.data,
        model="resnet20",
        image_size=64,
        short_side=64,
        output_stride=4,
        epochs=chosen.epochs,
        batch_size=8,
        learning_rate=0.01,
    )
    made = Grid(
        chosen.runs,
        variants(base, backbones(chosen.cifar10), chosen.seeds),
        "one-at-a-time",
        "camvid_fcn_resnet50_d",
        "transfer",
    )
    launcher = LocalLauncher(chosen.jobs)
    for seed in range(chosen.seeds):
        train(made, [cell for cell in made.cells() if cell.variant.seed == seed], launcher)
    values = values_of(made.cells())
    rows = [(name, seed, value) for name, of_seeds in values.items() for seed, value in of_seeds.items()]
    csv = Table(("backbone", "seed", METRIC), rows).csv()
    (FOLDER / "transfer_backbones.csv").write_text(csv, encoding="utf-8")
    put_into(FOLDER / "transfer.md", "backbones", table(values).markdown())


if __name__ == "__main__":
    main()
