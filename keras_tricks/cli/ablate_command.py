"""`keras-tricks ablate`: train all variants of a recipe with several seeds, and report what each trick is worth."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from keras_tricks.ablation import DESIGNS, parse_seeds, variants
from keras_tricks.ablation.grid import Cell, Grid
from keras_tricks.ablation.launch_local import LocalLauncher
from keras_tricks.ablation.running import GridRunner, Launcher
from keras_tricks.cli.ablation_progress import witness
from keras_tricks.cli.options import RunsDir, console, print_table, quiet_import, runs_root, say
from keras_tricks.cli.recipe_options import (
    Data,
    DataDir,
    RecipeName,
    Settings,
    Tricks,
    Without,
    changed_recipe,
    refuse_errors_of,
)
from keras_tricks.cli.report_command import report_on
from keras_tricks.cli.variants_command import DesignName
from keras_tricks.presets import find_recipe
from keras_tricks.recipe import Recipe, RecipeError


class LauncherChoice(StrEnum):
    """What trains the cells."""

    LOCAL = "local"
    RAY = "ray"
    SLURM = "slurm"


def add_to(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(ablate)


def ablate(
    recipe: RecipeName,
    design: Annotated[
        DesignName,
        typer.Option(
            help="stack: no tricks, then one more at a time, in the papers' order, each compared with the step before; "
            "leave-one-out: the recipe, then each trick left out; one-at-a-time: no tricks, then each alone."
        ),
    ] = DesignName.STACK,
    seeds: Annotated[
        str,
        typer.Option(
            metavar="COUNT|SEEDS", help="How many seeds, from the recipe's own on, or which ones, as 0-4 or 0,1,7."
        ),
    ] = "3",
    settings: Settings = None,
    tricks: Tricks = None,
    no_trick: Without = None,
    data: Data = None,
    data_dir: DataDir = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, max=1000, help="How many to train at once; 1, on a cluster as many as fit.", show_default=False
        ),
    ] = None,
    launcher: Annotated[
        LauncherChoice, typer.Option(help="Train with processes here, tasks of Ray, or an array of SLURM jobs.")
    ] = LauncherChoice.LOCAL,
    slurm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A parameter of submitit, as slurm_partition=gpu or timeout_min=600.",
            show_default=False,
        ),
    ] = None,
    ablation_id: Annotated[
        str | None,
        typer.Option("--id", help="Go on with this ablation, or call a new one so.", show_default=False),
    ] = None,
    retry: Annotated[bool, typer.Option("--retry/--no-retry", help="Train failed runs again, or leave them.")] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the cells and what is left to do; train none.")
    ] = False,
    runs_dir: RunsDir = None,
) -> None:
    """Train variants of a recipe and report what each trick is worth.

    Each cell, a variant with a seed, is a run. The same words go on where they were interrupted: finished cells stay.
    """
    fields = {"data": data, "data_dir": data_dir}
    changed = changed_recipe(find_recipe(recipe), settings, tricks, no_trick, fields)
    chosen = next(known for known in DESIGNS if known == design.value)
    planned = variants(changed, chosen, chosen_seeds(seeds, changed.seed))
    refuse_errors_of(planned)
    # Its errors are those of variants, and one that no variant has does no harm.
    for problem in changed.problems():
        if problem.level == "warning":
            say(f"warning: {problem.message}")
    if slurm and launcher != LauncherChoice.SLURM:
        raise RecipeError(f"--slurm is for --launcher slurm. Received: --launcher {launcher}")
    grid = Grid(runs_root(runs_dir), planned, chosen, recipe, ablation_id)
    cells = grid.cells(retry=retry)
    if dry_run:
        print_cells(cells)
        console().print(f"ablation {grid.id}: {counts(cells)}", markup=False)
        return
    trains = _launcher(launcher, jobs, changed, grid, slurm or ())
    with grid.held():
        cells = grid.make_runs(grid.cells(retry=retry))
        console().print(f"ablation {grid.id}: {counts(cells)}; {trains.words}", markup=False)
        with witness(len(cells), trains.places) as told:
            is_whole = GridRunner(cells, trains, told).run()
    _end(grid, is_whole, retry)


def chosen_seeds(text: str, first: int) -> tuple[int, ...]:
    """Read `3` as so many seeds from `first` on, and anything else as `parse_seeds` does.

    Raises:
        RecipeError: It is none of that.
    """
    if not text.strip().isdecimal():
        return parse_seeds(text)
    if not 1 <= int(text) <= 1000:
        raise RecipeError(f"Expected 1 to 1000 seeds, or which ones, as 0-4. Received: --seeds {text}")
    return tuple(range(first, first + int(text)))


def print_cells(cells: Sequence[Cell]) -> None:
    """Print the cells and what is left to do for each."""
    rows = [
        (
            str(cell.variant.place),
            cell.variant.name,
            str(cell.variant.seed),
            cell.action,
            cell.run.id if cell.run else "",
        )
        for cell in cells
    ]
    print_table(("place", "variant", "seed", "to do", "run"), rows)


def counts(cells: Sequence[Cell]) -> str:
    """Return how many cells there are, and what is left to do for them."""
    actions = [cell.action for cell in cells]
    return f"{len(cells)} cells, " + ", ".join(f"{actions.count(one)} to {one}" for one in dict.fromkeys(actions))


def _launcher(name: LauncherChoice, jobs: int | None, recipe: Recipe, grid: Grid, settings: Sequence[str]) -> Launcher:
    replicas = recipe.replicas or 1
    if name == LauncherChoice.RAY:
        from keras_tricks.ablation.launch_ray import RayLauncher

        with quiet_import():
            return RayLauncher(jobs, replicas)
    if name == LauncherChoice.SLURM:
        from keras_tricks.ablation.launch_slurm import SlurmLauncher

        return SlurmLauncher(grid.folder / "slurm", jobs, replicas, _parameters(settings))
    return LocalLauncher(jobs or 1, replicas)


def _parameters(settings: Sequence[str]) -> dict[str, Any]:
    """The parameters of submitit, numbers as numbers."""
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise RecipeError(f"Expected NAME=VALUE, as timeout_min=600. Received: --slurm {setting}")
        found[name] = value
        for kind in (float, int):
            with contextlib.suppress(ValueError):
                found[name] = kind(value)
    return found


def _end(grid: Grid, is_whole: bool, retry: bool) -> None:
    """Report, say what is open, and exit with 1 for failed cells and 130 after a stop."""
    cells = grid.cells(retry=False)
    for path in report_on([cell.run for cell in cells if cell.run is not None], grid.folder):
        console().print(f"wrote {path}", markup=False)
    bad = sum(cell.state != "finished" for cell in cells)
    if bad and not is_whole:
        say(
            f"the ablation {grid.id} is stopped: {counts(grid.cells())}. The same command goes on; "
            f"`keras-tricks report --ablation {grid.id}` shows how far it is."
        )
        raise typer.Exit(130)
    if bad:
        way_on = "The same command" if retry else "The same command without --no-retry"
        say(f"{bad} of {len(cells)} cells are not finished. {way_on} trains these again.")
        raise typer.Exit(1)
