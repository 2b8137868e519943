"""How the command line shows what a classifier got right and wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras_tricks.cli.options import print_table

if TYPE_CHECKING:
    from keras_tricks.predictions import ClassScore, Predictions

_MOST_CLASSES = 30
_MOST_PAIRS = 15


def confusion_document(predictions: Predictions) -> dict[str, Any]:
    """Return the classes, the confused pairs and the worst images as a value of JSON."""
    names = predictions.class_names
    return {
        "classes": [
            {**score._asdict(), "recall": score.recall, "precision": score.precision} for score in predictions.scores
        ],
        "confused": [pair._asdict() for pair in predictions.confusions],
        "worst": [
            {
                "place": image.place,
                "path": image.path or None,
                "true": names[image.true],
                "loss": image.loss,
                "classes": [{"class": names[guess], "probability": share} for guess, share in image.guesses],
            }
            for image in predictions.worst
        ],
    }


def print_confusion(predictions: Predictions) -> None:
    """Print the classes, the least found first if they are many, and the most confused pairs."""
    scores, title = predictions.scores, ""
    if len(scores) > _MOST_CLASSES:
        title = f"{_MOST_CLASSES} of {len(scores)} classes, the least found first"
        scores = tuple(sorted(scores, key=_recall)[:_MOST_CLASSES])
    print_table(
        ("class", predictions.unit, "correct", "recall", "precision"),
        [
            (score.name, str(score.images), str(score.correct), _share(score.recall), _share(score.precision))
            for score in scores
        ],
        title=title or None,
    )
    if not predictions.confusions:
        print(f"None of the {predictions.unit} was taken for one of another class.")
        return
    pairs = predictions.confusions[:_MOST_PAIRS]
    print_table(
        ("class", "taken for", predictions.unit, "of the class"),
        [(pair.true, pair.predicted, str(pair.count), _share(pair.share)) for pair in pairs],
        title=f"the most confused of {len(predictions.confusions)} confused pairs",
    )


def _recall(score: ClassScore) -> float:
    return 2.0 if score.recall is None else score.recall


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
