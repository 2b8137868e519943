"""`keras-tricks evaluate` and `predict`: use what a run has trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
        from keras_tricks.predicting import predict_validation
    training = trainer.trained(found.directory)
    values = training.model.evaluate(training.validation_batches(), verbose=0, return_dict=True)
    predictions = predict_validation(training)
    if predictions.calibration is not None and predictions.calibration.error is not None:
        values["calibration_error"] = predictions.calibration.error
    try:
        predictions.save(found.directory / schema.PREDICTIONS_FILE)
    except StorageError as error:
        say(f"warning: {error}")
    if as_json:
        document = {"id": found.id, "images": predictions.images, **values}
        print_json({**document, **confusion_document(predictions)} if confusion else document)
    else:
        print_table(
            ("metric", "value"),
            [(name, f"{value:.4f}") for name, value in values.items()],
            title=f"{found.id} on {predictions.images} validation images",
        )
        if confusion:
            print_confusion(predictions)
    if plot is not None:
        from keras_tricks.confusion_plot import plot_confusion

        say(f"the plot is in {plot_confusion(predictions, plot, title=found.id)}")


def predict(
    run: _Name,
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 5,
    runs_dir: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Classify images and show the most likely classes."""
    found = find_run(runs_root(runs_dir), run)
    model_file = found.directory / schema.MODEL_FILE
    if not model_file.exists():
        raise RunError(f"{found.id} has no model yet: it is {found.status().state}.")
    missing = [str(image) for image in images if not image.is_file()]
    if missing:
        raise RunError(f"There is no image file {', '.join(missing)}.")
    with quiet_import():
        from keras_tricks import saved_model
    answers = saved_model.load(model_file).predict(images, top)
    if as_json:
        print_json([{"image": str(image), "classes": answer} for image, answer in zip(images, answers, strict=True)])
        return
    print_table(
        ("image", "class", "probability"),
        [
            (str(image) if place == 0 else "", guess["class"], f"{guess['probability']:.4f}")
            for image, answer in zip(images, answers, strict=True)
            for place, guess in enumerate(answer)
        ],
    )
