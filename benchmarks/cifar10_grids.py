"""Train what `results/cifar10.md` reports: the stack of Bag of Tricks, and clipping over batch sizes.

    python benchmarks/cifar10_grids.py RUNS --data-dir TFDS --seeds 3 --jobs 2

Each run is a cell of an ablation under RUNS: the same words go on where they were interrupted, and
`keras-tricks report` reports each grid (`--ablation stack`, `clipping-256`, ...). It goes seed after seed, so that what
is there at any time is whole. A run that diverged is not trained again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from keras_tricks import Recipe, tricks
from keras_tricks.ablation import Design, Variant
from keras_tricks.ablation.grid import Cell, Grid
from keras_tricks.ablation.launch_local import LocalLauncher
from keras_tricks.ablation.running import GridRunner
from keras_tricks.cli.ablation_progress import witness
from keras_tricks.trick import Trick

BATCH_SIZES = (256, 1024, 4096)
CLIPPINGS = (0.01, 0.02, 0.04, 0.08, 0.16)


def stack(base: Recipe, teacher: str) -> list[tuple[str, Recipe]]:
    """The paper's steps: batch 256 with steps of the rate, and then each trick on top of those before.

    The batch grows with the first one, and the steps leave with the cosine.
    """
    epochs = base.epochs
    steps = tricks.StepDecay(epochs=tuple(epochs * part for part in (0.25, 0.5, 0.75)))
    found = [("baseline", base.changed(batch_size=256, tricks=(steps,)))]
    added: list[Trick] = [steps]
    for name, trick in (
        ("linear scaling, batch 1024", tricks.LinearScaling()),
        ("warmup", tricks.Warmup(epochs=epochs * 5 / 120)),
        ("zero gamma", tricks.ZeroGamma()),
        ("no bias decay", tricks.NoBiasDecay()),
        ("mixed precision (bfloat16)", tricks.MixedPrecision(dtype="bfloat16")),
        ("ResNet-D", tricks.ResnetVariant(variant="D")),
        ("cosine decay", tricks.CosineDecay()),
        ("label smoothing", tricks.LabelSmoothing()),
        ("distillation", tricks.Distillation(teacher=teacher)),
        ("mixup", tricks.Mixup()),
    ):
        if isinstance(trick, tricks.CosineDecay):
            added.remove(steps)
        added.append(trick)
        found.append((f"+ {name}", base.changed(batch_size=1024, tricks=tuple(added))))
    return found


def clipping(base: Recipe, batch_size: int) -> list[tuple[str, Recipe]]:
    """An NF-ResNet at a batch size with its rate in proportion, without clipping and with it."""
    others = (tricks.LinearScaling(), tricks.Warmup(epochs=base.epochs * 5 / 90), tricks.CosineDecay())
    found = [("no clipping", base.changed(batch_size=batch_size, tricks=others))]
    for ratio in CLIPPINGS:
        clip = tricks.AdaptiveGradientClipping(clipping=ratio)
        found.append((f"clipping {ratio}", base.changed(batch_size=batch_size, tricks=(*others, clip))))
    return found


def grid(
    root: Path, name: str, design: Design, recipes: Sequence[tuple[str, Recipe]], seeds: int
) -> tuple[Grid, list[Cell]]:
    """The grid of named recipes, and its cells."""
    cells = [
        Variant(title, place, seed, recipe.changed(name=f"{name}-{place}-s{seed}", seed=seed))
        for place, (title, recipe) in enumerate(recipes)
        for seed in range(seeds)
    ]
    made = Grid(root, cells, design, "quickstart", name)
    return made, made.cells(retry=False)


def train(made: Grid, cells: Sequence[Cell], launcher: LocalLauncher) -> None:
    """Train what is left to do of some cells.

    Raises:
        SystemExit: It was stopped.
    """
    with made.held(), witness(len(cells), launcher.places) as told:
        if not GridRunner(made.make_runs(cells), launcher, told).run():
            raise SystemExit("stopped; the same command goes on")


def main() -> None:
    """Train what is left to do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="folder of the runs")
    parser.add_argument("--data-dir", help="where TFDS keeps CIFAR-10")
    parser.add_argument("--image-size", type=int, default=32, help="side in pixels that images are shrunk to")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--teacher-epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--clipping-seeds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=1, help="how many to train at once")
    chosen = parser.parse_args()
    base = Recipe(
        data="cifar10", data_dir=chosen.data_dir, image_size=chosen.image_size, epochs=chosen.epochs, learning_rate=0.1
    )
    teacher_recipe = base.changed(
        model="resnet56",
        epochs=chosen.teacher_epochs,
        batch_size=256,
        tricks=(tricks.ResnetVariant(), tricks.Warmup(epochs=0.5), tricks.CosineDecay(), tricks.LabelSmoothing()),
    )
    root: Path = chosen.runs
    launcher = LocalLauncher(chosen.jobs)
    taught, cells = grid(root, "teacher", "stack", [("teacher", teacher_recipe)], 1)
    train(taught, cells, launcher)
    run = taught.cells()[0].run
    if run is None or run.status().state != "finished":
        raise SystemExit("the teacher has not finished")
    grids = [grid(root, "stack", "stack", stack(base, str(run.directory)), chosen.seeds)]
    nf_resnet = base.changed(model="nf_resnet20", weight_decay=5e-5)
    for batch_size in BATCH_SIZES:
        recipes = clipping(nf_resnet, batch_size)
        grids.append(grid(root, f"clipping-{batch_size}", "one-at-a-time", recipes, chosen.clipping_seeds))
    for seed in range(max(chosen.seeds, chosen.clipping_seeds)):
        for made, cells in grids:
            train(made, [cell for cell in cells if cell.variant.seed == seed], launcher)


if __name__ == "__main__":
    main()
