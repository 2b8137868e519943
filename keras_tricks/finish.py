"""What is left of a run in its directory when it has been trained."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from keras_tricks import saved_model
from keras_tricks.callbacks import Checkpoint
from keras_tricks.confusion_plot import plot_confusion
from keras_tricks.diagnostics_plot import plot_diagnostics
from keras_tricks.hardware import hardware
from keras_tricks.picture_files import write_picture
from keras_tricks.plots import plot_learning_curves
from keras_tricks.runs import MetricsHistory, Run, RunWriter, schema
from keras_tricks.runs.storage import storing
from keras_tricks.training import Training

PICTURES_KEPT = 8
"""Validation images that are kept as pictures with what was found in them."""


def finish(training: Training, writer: RunWriter, checkpoint: Checkpoint, started: float) -> dict[str, Any]:
    """Write the model, its predictions, the plots and the summary of a run that has been trained.

    Args:
        training: What was trained.
        writer: The run's writer.
        checkpoint: The callback that kept its checkpoints.
        started: When this attempt started, on the monotonic clock.

    Returns:
        The content of `result.json`.
    """
    with storing(writer.directory / schema.MODEL_FILE) as model_file:
        saved_model.save(saved_model.of_training(training), model_file)
    predictions = training.task.gather(training)
    predictions.save(writer.directory / schema.PREDICTIONS_FILE)
    history = Run(writer.directory).metrics()
    plots, title = writer.directory / schema.PLOTS, training.recipe.name
    plot_learning_curves(history, plots, title)
    plot_diagnostics(history, MetricsHistory(writer.directory / schema.CLIPPING_FILE), predictions, plots, title)
    plot_confusion(predictions, plots / "confusion.png", title)
    for name, picture in training.task.pictures(training, PICTURES_KEPT).items():
        write_picture(picture, writer.directory / schema.PICTURES / f"{name}.png")
    epoch_rows = [row for row in history.rows if row.kind == "epoch"]
    result = {
        "name": training.recipe.name,
        "epochs": training.recipe.epochs,
        "steps": training.facts.total_steps,
        "parameters": training.model.count_params(),
        "calibration_error": None if predictions.calibration is None else predictions.calibration.error,
        "metrics": epoch_rows[-1].values if epoch_rows else {},
        "best": None if writer.status.best is None else writer.status.best.model_dump(),
        "best_checkpoint": _relative(checkpoint.best_weights, writer.directory),
        "seconds_of_last_attempt": time.monotonic() - started,
        "attempts": writer.status.attempt,
        "hardware": hardware(),
    }
    writer.result(result)
    return result


def _relative(path: Path | None, directory: Path) -> str | None:
    return None if path is None else str(path.relative_to(directory))
