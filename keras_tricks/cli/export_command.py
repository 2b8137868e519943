"""`keras-tricks export`: write a run's model for other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_tricks.cli.options import AsJson, RunsDir, console, print_json, quiet_import, runs_root, say
from keras_tricks.export_formats import FORMATS, check_target
from keras_tricks.runs import Run, RunError, find_run, schema

EXPORT_FOLDER = "export"
ExportFormat = StrEnum("ExportFormat", list(FORMATS))
_Name = Annotated[str, typer.Argument(help="A run's id, a unique part of it, its directory, or `last`.")]


def add_to(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(export)


def export(
    run: _Name,
    format: Annotated[ExportFormat, typer.Option("--format", "-f", help="Kind of file; onnx needs the extra export.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to write; the run's folder export by default.", show_default=False),
    ] = None,
    fold: Annotated[
        bool, typer.Option("--fold/--no-fold", help="Fold standardized kernels and BatchNorm into convolutions.")
    ] = True,
    probabilities: Annotated[bool, typer.Option("--probabilities/--logits", help="What the file returns.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    check_images: Annotated[
        int, typer.Option(min=0, help="Validation images to check the file with, where they are on this machine.")
    ] = 32,
    runs_dir: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Write a run's model for inference elsewhere, and check that the file gives the same outputs.

    The file takes normalised images, a batch of any size; a .json file beside it says which, and names the classes.
    """
    found = find_run(runs_root(runs_dir), run)
    model_file = found.directory / schema.MODEL_FILE
    if not model_file.exists():
        raise RunError(f"{found.id} has no model yet: it is {found.status().state}.")
    path = output or found.directory / EXPORT_FOLDER / _file_name(found, format)
    check_target(path, format, force)
    with quiet_import():
        from keras_tricks import saved_model
        from keras_tricks.export import ExportError, validation_images
        from keras_tricks.export import export as write

        classifier = saved_model.load(model_file)
        images = validation_images(found, classifier.preprocessing, check_images)
        failure = None
        try:
            exported = write(
                classifier, path, format, fold=fold, probabilities=probabilities, images=images, overwrite=force
            )
        except ExportError as error:
            failure = str(error)
    if failure is not None:
        say(failure)
        raise typer.Exit(1)
    if as_json:
        print_json({"id": found.id, "path": str(exported.path), **exported.description})
    else:
        _print(exported)


def _file_name(run: Run, format: str) -> str:
    model = run.recipe()["model"]
    return f"{model}{FORMATS[format].suffix or f'_{format}'}"


def _print(exported: Any) -> None:
    description, checked = exported.description, exported.description["check"]
    source, size = description["input"], description["input"]["shape"][1]
    numbers = {name: ", ".join(f"{value:.4g}" for value in source[name]) for name in ("mean", "std")}
    real = f" and {checked['real_images']} validation images" if checked["real_images"] else ""
    out = console()
    for name, words in {
        "file": str(exported.path),
        "input": f"{source['name']}: float32 (batch, {size}, {size}, {source['shape'][3]}), {source['values']}",
        "": f"mean {numbers['mean']}; std {numbers['std']}",
        "output": f"{description['output']['values']} of {len(description['classes'])} classes: float32 (batch, "
        f"{description['output']['shape'][1]})",
        "description": str(exported.description_path),
        "check": f"differs from the model by at most {checked['largest_difference']:.1e} of the largest output, on "
        f"{checked['random_images']} random{real}",
    }.items():
        out.print(f"{name:12} {words}", markup=False)
