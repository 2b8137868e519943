"""Draw a confusion matrix as a PNG file."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_tricks.predictions import Predictions
from keras_tricks.runs.storage import write_with_folder

_NUMBERED_CLASSES = 25
_MOST_CELLS = 500
_MOST_PAIRS = 30


def plot_confusion(predictions: Predictions, path: str | Path, title: str = "") -> Path:
    """Draw the matrix, each row as shares of its class; of more than 500 classes, the most confused pairs.

    Args:
        predictions: What to draw.
        path: The file.
        title: Heading. Defaults to none.

    Returns:
        The file.

    Raises:
        StorageError: It cannot be written.
    """
    path = Path(path)
    classes = len(predictions.class_names)
    side = 8.0 if classes > _NUMBERED_CLASSES else 3.0 + 0.45 * classes
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    if classes > _MOST_CELLS:
        _draw_pairs(figure.subplots(), predictions)
    else:
        _draw_matrix(figure.subplots(), predictions)
    figure.suptitle(" · ".join(part for part in (title, f"accuracy {predictions.accuracy:.4f}") if part))
    image = BytesIO()
    figure.savefig(image, dpi=120)
    return write_with_folder(path, image.getvalue())


def _draw_matrix(axes: Axes, predictions: Predictions) -> None:
    classes = len(predictions.class_names)
    shares = np.zeros((classes, classes))
    for (true, guess), count in predictions.counts.items():
        shares[true, guess] = count / predictions.scores[true].images
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.figure.colorbar(image, ax=axes, label="share of the class", shrink=0.8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if classes <= _NUMBERED_CLASSES:
        axes.set_xticks(range(classes), predictions.class_names, rotation=90)
        axes.set_yticks(range(classes), predictions.class_names)
        for (true, guess), count in predictions.counts.items():
            color = "white" if shares[true, guess] > 0.5 else "black"
            words = f"{shares[true, guess]:.0%}" if predictions.unit == "pixels" else str(count)
            axes.text(guess, true, words, ha="center", va="center", color=color, fontsize=8)


def _draw_pairs(axes: Axes, predictions: Predictions) -> None:
    pairs = predictions.confusions[:_MOST_PAIRS]
    axes.barh(range(len(pairs)), [pair.count for pair in pairs], color="#4477aa")
    axes.set_yticks(range(len(pairs)), [f"{pair.true} → {pair.predicted}" for pair in pairs], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(predictions.unit)
    axes.set_title("most confused")
