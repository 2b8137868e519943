"""`keras-tricks train`, and the hidden command by which a detached trainer starts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_tricks import presets
from keras_tricks.cli.launching import (
    Launcher,
    LauncherName,
    WorkerCount,
    check_launcher,
    launch,
    print_result,
)
from keras_tricks.cli.options import RunsDir, console, quiet_import, runs_root, say
from keras_tricks.cli.recipe_options import (
    Data,
    DataDir,
    RecipeName,
    Settings,
    Tricks,
    Weights,
    WeightsHead,
    Without,
    changed_recipe,
    refuse_errors,
)
from keras_tricks.cluster import Workers, find_workers
from keras_tricks.memory_estimate import as_text, estimate_memory
from keras_tricks.recipe import Recipe, RecipeError, has_field
from keras_tricks.runs import Run, RunError, RunWriter, create_run, start

_DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and print the recipe; train nothing.")]
_Detach = Annotated[
    bool,
    typer.Option("--detach", help="Train in a process of its own, which outlives this terminal."),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(train)
    app.command("train-run", hidden=True)(train_run)


def add_script(app: typer.Typer, recipe: Recipe) -> None:
    """Make `app` the command that trains `recipe`."""

    @app.command(help=recipe.description)
    def script(
        settings: Settings = None,
        tricks: Tricks = None,
        no_trick: Without = None,
        data: Data = None,
        data_dir: DataDir = None,
        weights: Weights = None,
        weights_head: WeightsHead = None,
        runs_dir: RunsDir = None,
        dry_run: _DryRun = False,
        detach: _Detach = False,
        launcher: LauncherName = None,
        workers: WorkerCount = None,
    ) -> None:
        fields = {"data": data, "data_dir": data_dir, "weights": weights, "weights_head": weights_head}
        changed = changed_recipe(recipe, settings, tricks, no_trick, fields)
        _start(changed, runs_root(runs_dir), dry_run, detach, launcher, workers)


def train(
    recipe: RecipeName,
    settings: Settings = None,
    tricks: Tricks = None,
    no_trick: Without = None,
    data: Data = None,
    data_dir: DataDir = None,
    weights: Weights = None,
    weights_head: WeightsHead = None,
    runs_dir: RunsDir = None,
    dry_run: _DryRun = False,
    detach: _Detach = False,
    launcher: LauncherName = None,
    workers: WorkerCount = None,
) -> None:
    """Train a recipe."""
    fields = {"data": data, "data_dir": data_dir, "weights": weights, "weights_head": weights_head}
    changed = changed_recipe(presets.find_recipe(recipe), settings, tricks, no_trick, fields)
    _start(changed, runs_root(runs_dir), dry_run, detach, launcher, workers)


def train_run(directory: Path, progress: Annotated[bool, typer.Option("--progress")] = False) -> None:
    """Train in an existing run directory, or go on there."""
    train_or_follow(directory, show_progress=progress)


def train_or_follow(directory: Path, show_progress: bool) -> None:
    """Train in a run directory, alone or together with the workers that the environment names.

    Only the chief needs the directory.
    """
    workers = find_workers()
    if workers.count == 1:
        train_in(directory, show_progress)
        return
    with quiet_import():
        from keras_tricks.distribute.multi_worker import join
    with _ending_well(None), join(workers) as team:
        if workers.is_chief:
            train_in(directory, show_progress, team=team)
        else:
            follow(team)


def follow(team: Any, recipe: Recipe | None = None, data_set: Any = None) -> None:
    """Train as one of the workers whose chief is another process."""
    with quiet_import():
        from keras_tricks import train as trainer
    workers: Workers = team.workers
    say(f"{workers.name(workers.index)} of {workers.count} trains with {workers.name(0)}")
    with _ending_well(None):
        trainer.follow(team, recipe, data_set)


@contextmanager
def _ending_well(directory: Path | None) -> Iterator[None]:
    """Say in a line how a training ended badly, and exit with 1 or 130."""
    from keras_tricks.callbacks import StopRequested
    from keras_tricks.cluster.link import WorkerStoppedError
    from keras_tricks.train import last_line

    try:
        yield
    except (StopRequested, WorkerStoppedError) as error:
        goes_on = "" if directory is None else f" `keras-tricks runs resume {directory.name}` goes on."
        say(f"{error}{goes_on}")
        raise typer.Exit(130) from error
    except (RecipeError, RunError, typer.Exit):
        raise
    except Exception as error:
        log = "" if directory is None else f" The log is {directory / 'train.log'}"
        what = "the worker" if directory is None else "the run"
        say(f"{what} failed: {last_line(error)}{log}")
        raise typer.Exit(1) from error


def train_in(directory: Path, show_progress: bool, data_set: Any = None, team: Any = None) -> None:
    """Train the recipe of a run directory in this process and exit with 1 or 130 if that does not end well."""
    recipe = Recipe.from_document(Run(directory).recipe(), str(directory))
    backend = Run(directory).status().backend
    if backend is not None:
        os.environ.setdefault("KERAS_BACKEND", backend)
    with quiet_import():
        from keras_tricks import train as trainer
        from keras_tricks.callbacks import Progress
    out = console()

    def show(writer: RunWriter) -> Progress:
        return Progress(writer, out)

    with _ending_well(directory):
        result = trainer.run(recipe, directory, data_set=data_set, show=show if show_progress else None, team=team)
    if show_progress:
        print_result(directory, result)


def _start(
    recipe: Recipe, root: Path, dry_run: bool, detach: bool, launcher: Launcher | None, worker_count: int | None
) -> None:
    check_launcher(launcher, worker_count, detach)
    workers = find_workers()
    refuse_errors(recipe, with_warnings=workers.is_chief)
    if dry_run:
        if workers.is_chief:
            _print_plan(recipe)
        return
    if launcher is not None and worker_count is not None:
        directory = _new_run(recipe, root)
        say(f"training in {directory}")
        launch(directory, launcher, worker_count)
        return
    if detach:
        directory = _new_run(recipe, root)
        pid = start(Run(directory))
        print(f"{directory.name} started as process {pid}")
        return
    with quiet_import():
        from keras_tricks import train as trainer
        from keras_tricks.distribute.multi_worker import join
    with _ending_well(None), join(workers) as team:
        data_set = trainer.load_data(recipe)
        trainer.check(recipe, data_set, team)
        if not workers.is_chief:
            follow(team, recipe, data_set)
            return
        for warning in data_set.warnings:
            say(f"warning: {warning}")
        directory = _new_run(recipe, root)
        say(f"training in {directory}")
        train_in(directory, show_progress=True, data_set=data_set, team=team)


def _new_run(recipe: Recipe, root: Path) -> Path:
    """Make a run of the recipe that can be resumed from any working directory."""
    recipe = recipe.with_absolute_paths()
    return create_run(root, recipe.name, recipe.model_dump(mode="json"), argv=sys.argv)


def _print_plan(recipe: Recipe) -> None:
    out = console()
    for field in Recipe.model_fields:
        value = getattr(recipe, field)
        if field != "tricks" and value not in (None, "", ()) and has_field(recipe.task, field):
            out.print(f"{field:14} {value}", markup=False)
    out.print(f"{'image_size':14} {recipe.resolved_image_size()} px", markup=False)
    for trick in recipe.tricks:
        settings = "  ".join(f"{name} {value}" for name, value in trick.arguments().items())
        out.print(f"{'trick':14} {trick.name:18} {settings}".rstrip(), markup=False)
    if recipe.task != "classification":
        # What the heads of others keep is not known.
        return
    memory = estimate_memory(recipe)
    parts = ", ".join(f"{name} {as_text(size)}" for name, size in memory.parts().items())
    out.print(f"{'parameters':14} {memory.parameters}", markup=False)
    out.print(f"{'memory':14} about {as_text(memory.total)} a device for {memory.images} images: {parts}", markup=False)
