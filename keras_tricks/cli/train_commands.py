"""`keras-tricks train`, and the hidden command by which a detached trainer starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_tricks import presets
from keras_tricks.cli.options import RunsDir, console, quiet_import, runs_root, say
from keras_tricks.data_facts import FOLDER_PREFIX
from keras_tricks.recipe import Recipe, RecipeError
from keras_tricks.runs import Run, RunError, RunWriter, create_run, start

_Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Set a field of the recipe, as epochs=5.",
        show_default=False,
    ),
]
_Tricks = Annotated[
    list[str] | None,
    typer.Option(
        "--trick",
        metavar="NAME[.PARAM=VALUE]",
        help="Turn a trick on, or set its parameter, as mixup.alpha=0.3.",
        show_default=False,
    ),
]
_Without = Annotated[
    list[str] | None,
    typer.Option("--no-trick", metavar="NAME", help="Turn a trick off.", show_default=False),
]
_Data = Annotated[
    str | None,
    typer.Option(help="Data: digits, any TFDS name, or folder:PATH.", show_default=False),
]
_DataDir = Annotated[
    str | None,
    typer.Option(help="Where TFDS keeps its data; its own default if unset.", show_default=False),
]
_Weights = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE",
        help="Weights to begin with: a .safetensors file or hub id of timm, an .npz file of the original NFNets, "
        "a .keras or .weights.h5 file, or imagenet.",
        show_default=False,
    ),
]
_Head = Annotated[
    bool | None,
    typer.Option(
        "--weights-head/--new-head",
        help="Take over the classifier of the weights too, or begin a new one, as for other classes.",
        show_default=False,
    ),
]
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
        settings: _Settings = None,
        tricks: _Tricks = None,
        no_trick: _Without = None,
        data: _Data = None,
        data_dir: _DataDir = None,
        weights: _Weights = None,
        weights_head: _Head = None,
        runs_dir: RunsDir = None,
        dry_run: _DryRun = False,
        detach: _Detach = False,
    ) -> None:
        fields = {"data": data, "data_dir": data_dir, "weights": weights, "weights_head": weights_head}
        changed = _changed(recipe, settings, tricks, no_trick, fields)
        _launch(changed, runs_root(runs_dir), dry_run, detach)


def train(
    recipe: Annotated[str, typer.Argument(help="A preset (`keras-tricks recipes`), or a .json or .py file.")],
    settings: _Settings = None,
    tricks: _Tricks = None,
    no_trick: _Without = None,
    data: _Data = None,
    data_dir: _DataDir = None,
    weights: _Weights = None,
    weights_head: _Head = None,
    runs_dir: RunsDir = None,
    dry_run: _DryRun = False,
    detach: _Detach = False,
) -> None:
    """Train a recipe."""
    fields = {"data": data, "data_dir": data_dir, "weights": weights, "weights_head": weights_head}
    changed = _changed(presets.find_recipe(recipe), settings, tricks, no_trick, fields)
    _launch(changed, runs_root(runs_dir), dry_run, detach)


def train_run(directory: Path) -> None:
    """Train in an existing run directory, or go on there."""
    train_in(directory, show_progress=False)


def train_in(directory: Path, show_progress: bool, data_set: Any = None) -> None:
    """Train the recipe of a run directory in this process and exit with 1 or 130 if that does not end well."""
    recipe = Recipe.from_document(Run(directory).recipe(), str(directory))
    backend = Run(directory).status().backend
    if backend is not None:
        os.environ.setdefault("KERAS_BACKEND", backend)
    with quiet_import():
        from keras_tricks import train as trainer
        from keras_tricks.callbacks import Progress, StopRequested
    out = console()

    def show(writer: RunWriter) -> Progress:
        return Progress(writer, out)

    try:
        result = trainer.run(recipe, directory, data_set=data_set, show=show if show_progress else None)
    except StopRequested as error:
        say(f"{error} `keras-tricks runs resume {directory.name}` goes on.")
        raise typer.Exit(130) from error
    except (RecipeError, RunError):
        raise
    except Exception as error:
        say(f"the run failed: {trainer.last_line(error)} The log is {directory / 'train.log'}")
        raise typer.Exit(1) from error
    if show_progress:
        _print_result(directory, result)


def _changed(
    recipe: Recipe,
    settings: list[str] | None,
    tricks: list[str] | None,
    without: list[str] | None,
    fields: dict[str, Any],
) -> Recipe:
    recipe = presets.change(recipe, settings or (), tricks or (), without or ())
    return recipe.changed(**{field: value for field, value in fields.items() if value is not None})


def _launch(recipe: Recipe, root: Path, dry_run: bool, detach: bool) -> None:
    problems = recipe.problems()
    for problem in problems:
        say(f"{problem.level}: {problem.message}")
    if any(problem.level == "error" for problem in problems):
        raise typer.Exit(2)
    if dry_run:
        _print_plan(recipe)
        return
    if detach:
        directory = _new_run(recipe, root)
        pid = start(Run(directory))
        print(f"{directory.name} started as process {pid}")
        return
    with quiet_import():
        from keras_tricks import train as trainer
    data_set = trainer.load_data(recipe)
    trainer.check(recipe, data_set)
    for warning in data_set.warnings:
        say(f"warning: {warning}")
    directory = _new_run(recipe, root)
    say(f"training in {directory}")
    train_in(directory, show_progress=True, data_set=data_set)


def _new_run(recipe: Recipe, root: Path) -> Path:
    """Make a run of the recipe that can be resumed from any working directory."""
    places: dict[str, str] = {}
    if recipe.data.startswith(FOLDER_PREFIX):
        folder = Path(recipe.data.removeprefix(FOLDER_PREFIX)).expanduser().resolve()
        places["data"] = f"{FOLDER_PREFIX}{folder}"
    if recipe.data_dir is not None:
        places["data_dir"] = str(Path(recipe.data_dir).expanduser().resolve())
    if recipe.weights is not None and Path(recipe.weights).expanduser().is_file():
        places["weights"] = str(Path(recipe.weights).expanduser().resolve())
    recipe = recipe.changed(**places)
    return create_run(root, recipe.name, recipe.model_dump(mode="json"), argv=sys.argv)


def _print_plan(recipe: Recipe) -> None:
    out = console()
    for field in Recipe.model_fields:
        value = getattr(recipe, field)
        if field != "tricks" and value not in (None, ""):
            out.print(f"{field:14} {value}", markup=False)
    out.print(f"{'image_size':14} {recipe.resolved_image_size()} px", markup=False)
    for trick in recipe.tricks:
        settings = "  ".join(f"{name} {value}" for name, value in trick.arguments().items())
        out.print(f"{'trick':14} {trick.name:18} {settings}".rstrip(), markup=False)


def _print_result(directory: Path, result: dict[str, Any]) -> None:
    metrics = result["metrics"]
    shown = [f"{name} {metrics[name]:.4f}" for name in ("val_accuracy", "val_loss") if name in metrics]
    if result["best"]:
        shown.append(f"best {result['best']['value']:.4f} in epoch {result['best']['epoch']}")
    shown.append(f"{result['seconds_of_last_attempt']:.0f} s")
    out = console()
    out.print("  ".join(shown), markup=False)
    out.print(
        f"keras-tricks evaluate {directory.name}    model and curves are in {directory}",
        markup=False,
    )
