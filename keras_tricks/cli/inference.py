"""`keras-tricks evaluate` and `predict`: use what a run has trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keras_tricks.cli.confusion import confusion_document, print_confusion
from keras_tricks.cli.options import (
    AsJson,
    RunsDir,
    print_json,
    print_table,
    quiet_import,
    runs_root,
    say,
)
from keras_tricks.runs import RunError, StorageError, find_run, schema

if TYPE_CHECKING:
    import numpy as np

_Name = Annotated[str, typer.Argument(help="A run's id, a unique part of it, its directory, or `last`.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(evaluate)
    app.command()(predict)


def evaluate(
    run: _Name,
    confusion: Annotated[
        bool, typer.Option("--confusion", help="Show how well each class is told, and which are confused.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the confusion matrix as PNG.", show_default=False)
    ] = None,
    runs_dir: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Measure a run's model on its validation images.

    What it got right and wrong is kept in the run's `predictions.npz`, which the terminal UI shows.
    """
    found = find_run(runs_root(runs_dir), run)
    found.recipe()
    if plot is not None and plot.suffix.lower() != ".png":
        raise RunError(f"The plot is a PNG file. Expected a name that ends in .png. Received: {plot}")
    with quiet_import():
        from keras_tricks import train as trainer
    training = trainer.trained(found.directory)
    values = training.task.evaluate(training)
    predictions = training.task.gather(training)
    if predictions.calibration is not None and predictions.calibration.error is not None:
        values["calibration_error"] = predictions.calibration.error
    try:
        predictions.save(found.directory / schema.PREDICTIONS_FILE)
    except StorageError as error:
        say(f"warning: {error}")
    if as_json:
        document = {"id": found.id, "images": training.data_set.validation.size, **values}
        print_json({**document, **confusion_document(predictions)} if confusion else document)
    else:
        print_table(
            ("metric", "value"),
            [(name, f"{value:.4f}") for name, value in values.items()],
            title=f"{found.id} on {training.data_set.validation.size} validation images",
        )
        if confusion:
            print_confusion(predictions)
    if plot is not None:
        from keras_tricks.confusion_plot import plot_confusion

        say(f"the plot is in {plot_confusion(predictions, plot, title=found.id)}")


def predict(
    run: _Name,
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    top: Annotated[
        int | None,
        typer.Option(min=1, help="How many to show; by default 5 classes, and all boxes of a score from 0.3."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Where to draw boxes and masks; the run's own pictures."),
    ] = None,
    runs_dir: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Say what is in images: their most likely classes, or boxes or masks, which are also drawn.

    Files that cannot be read as images are named at the end, and the exit code is not 0 then.
    """
    found = find_run(runs_root(runs_dir), run)
    model_file = found.directory / schema.MODEL_FILE
    if not model_file.exists():
        raise RunError(f"{found.id} has no model yet: it is {found.status().state}.")
    missing = [str(image) for image in images if not image.is_file()]
    if missing:
        raise RunError(f"There is no image file {', '.join(missing)}.")
    with quiet_import():
        from keras_tricks import saved_model
    saved = saved_model.load(model_file)
    folder = found.directory / schema.PICTURES / "predicted" if output is None else output
    nothing = ("nothing", *[""] * (len(saved.task.columns) - 1))
    documents, rows, errors = [], [], []
    pictures: list[Path] = []
    for image in images:
        try:
            answer = saved.answer(image, top)
        except RunError as error:
            errors.append(str(error))
            continue
        document = {"image": str(image), saved.task.findings: list(answer.findings)}
        if answer.picture is not None:
            # Each is written at once: the pictures of many images need not lie in memory together.
            pictures.append(_write_picture(answer.picture, folder, image.stem, pictures))
            document["picture"] = str(pictures[-1])
        documents.append(document)
        rows += [(str(image) if place == 0 else "", *row) for place, row in enumerate(answer.rows or (nothing,))]
    if as_json:
        print_json(documents)
    elif documents:
        print_table(("image", *saved.task.columns), rows)
        for picture in pictures:
            say(f"drawn into {picture}")
    if errors:
        raise RunError("\n".join(errors))


def _write_picture(picture: np.ndarray, folder: Path, stem: str, others: list[Path]) -> Path:
    """Write a picture by the name of its image, or that name with a number beside others of this name."""
    from keras_tricks.picture_files import write_picture

    path, number = folder / f"{stem}.png", 1
    while path in others:
        number += 1
        path = folder / f"{stem}-{number}.png"
    return write_picture(picture, path)
