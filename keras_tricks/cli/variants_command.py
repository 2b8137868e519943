"""`keras-tricks queue variants`: the runs of an ablation."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from keras_tricks.cli.options import RunsDir, print_table, runs_root
from keras_tricks.cli.recipe_options import RecipeName, Settings, Tricks, Without, changed_recipe, refuse_errors_of
from keras_tricks.presets import find_recipe
from keras_tricks.queue import DEFAULT_LANE, RunQueue, lane_name


class DesignName(StrEnum):
    """The designs of `keras_tricks.ablation`."""

    LEAVE_ONE_OUT = "leave-one-out"
    ONE_AT_A_TIME = "one-at-a-time"
    STACK = "stack"


def add_to(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("variants")(queue_ablation)


def queue_ablation(
    recipe: RecipeName,
    design: Annotated[
        DesignName,
        typer.Option(
            help="leave-one-out: the recipe, then each trick left out; one-at-a-time: no tricks, then each alone; "
            "stack: no tricks, then one more at a time, in the papers' order."
        ),
    ] = DesignName.LEAVE_ONE_OUT,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="SEEDS", help="Seeds of each variant, as 0-2 or 0,1,2; the recipe's own if unset."),
    ] = None,
    settings: Settings = None,
    tricks: Tricks = None,
    no_trick: Without = None,
    lane: Annotated[str, typer.Option(metavar="LANE", help="all, cpu, gpu0, gpu1, gpu0,1 and so on.")] = DEFAULT_LANE,
    start: Annotated[bool, typer.Option("--start/--no-start", help="Start the lane's runner if none is alive.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs; queue none.")] = False,
    runs_dir: RunsDir = None,
) -> None:
    """Queue variants of a recipe, to see what each of its tricks does."""
    # NumPy comes with it, which no other command need wait for.
    from keras_tricks.ablation import DESIGNS, parse_seeds, variants
    from keras_tricks.ablation.queueing import queue_variants

    changed = changed_recipe(find_recipe(recipe), settings, tricks, no_trick, {})
    chosen = next(known for known in DESIGNS if known == design.value)
    lane = lane_name(lane)
    runs = variants(changed, chosen, (changed.seed,) if seeds is None else parse_seeds(seeds))
    refuse_errors_of(runs)
    if dry_run:
        rows = ((str(run.place), run.name, str(run.seed), run.recipe.name) for run in runs)
        print_table(("place", "variant", "seed", "name of the run"), rows)
        return
    queue = RunQueue(runs_root(runs_dir))
    for run in queue_variants(queue, runs, chosen, recipe, lane=lane):
        print(f"{run.id} queued in the lane {lane}")
    if start:
        queue.ensure_runner(lane)
