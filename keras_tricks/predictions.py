"""Predictions: what a model got right and wrong, as `predictions.npz` of a run. Nothing here imports Keras."""

from __future__ import annotations

import heapq
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_tricks.calibration import Calibration
from keras_tricks.runs import RunError, schema
from keras_tricks.runs.storage import storing, write_atomically

WORST_KEPT = 64
GUESSES_KEPT = 5
THUMBNAIL_SIZE = 64


class ClassScore(NamedTuple):
    """How well one class is told from the others.

    Args:
        name: The class.
        images: How many images are of it.
        predicted: How many images were said to be of it.
        correct: How many of those are.
    """

    name: str
    images: int
    predicted: int
    correct: int

    @property
    def recall(self) -> float | None:
        """The share of the class's images that were found: its accuracy. None where it has no image."""
        return self.correct / self.images if self.images else None

    @property
    def precision(self) -> float | None:
        """The share of what was said to be of the class that is. None where nothing was."""
        return self.correct / self.predicted if self.predicted else None


class Confusion(NamedTuple):
    """One class that was taken for another.

    Args:
        true: The images' class.
        predicted: What they were taken for.
        count: How many.
        share: Their share of the class's images.
    """

    true: str
    predicted: str
    count: int
    share: float


@dataclass(frozen=True, eq=False)
class WorstImage:
    """An image with a large loss.

    Args:
        place: Its number in the validation split, from 0.
        path: Its file; empty where the data set has none.
        true: Index of its class.
        loss: The cross-entropy of the prediction, without label smoothing.
        guesses: The likeliest classes with their probabilities, the likeliest first.
        pixels: The image as the model saw it, made small: uint8 (height, width, 3).
    """

    place: int
    path: str
    true: int
    loss: float
    guesses: tuple[tuple[int, float], ...]
    pixels: np.ndarray


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says of all images of a split, of all their pixels or of all boxes.

    Args:
        class_names: The name of each class.
        counts: How many images of a class (first index) were taken for a class (second), where any were.
        worst: The images with the largest losses, the largest first.
        calibration: How sure it was; None where it is not known.
        unit: What is counted: `images`, `pixels` or `boxes`.
    """

    class_names: tuple[str, ...]
    counts: Mapping[tuple[int, int], int]
    worst: tuple[WorstImage, ...] = ()
    calibration: Calibration | None = None
    unit: str = "images"

    @cached_property
    def images(self) -> int:
        """How many images, pixels or boxes there are."""
        return sum(self.counts.values())

    @cached_property
    def correct(self) -> int:
        """How many were classified as what they are."""
        return sum(count for (true, predicted), count in self.counts.items() if true == predicted)

    @property
    def accuracy(self) -> float:
        """The share that was taken for what it is; NaN where there is nothing to count."""
        return self.correct / self.images if self.images else float("nan")

    @cached_property
    def scores(self) -> tuple[ClassScore, ...]:
        """The score of each class."""
        images: Counter[int] = Counter()
        predicted: Counter[int] = Counter()
        for (true, guess), count in self.counts.items():
            images[true] += count
            predicted[guess] += count
        return tuple(
            ClassScore(name, images[index], predicted[index], self.counts.get((index, index), 0))
            for index, name in enumerate(self.class_names)
        )

    @cached_property
    def confusions(self) -> tuple[Confusion, ...]:
        """The pairs of classes that were confused, the most frequent first."""
        wrong = [(pair, count) for pair, count in self.counts.items() if pair[0] != pair[1]]
        names, scores = self.class_names, self.scores
        return tuple(
            Confusion(names[true], names[guess], count, count / scores[true].images)
            for (true, guess), count in sorted(wrong, key=lambda item: (-item[1], item[0]))
        )

    def save(self, path: str | Path) -> None:
        """Write the file in one go.

        Raises:
            StorageError: There is no room, or the directory is not writable.
        """
        path = Path(path)
        pairs = np.array(sorted(self.counts), dtype=np.int32).reshape(-1, 2)
        guesses = [[guess for guess, _ in image.guesses] for image in self.worst]
        probabilities = [[probability for _, probability in image.guesses] for image in self.worst]
        kept = self.calibration
        calibration = {} if kept is None else {f"calibration_{name}": value for name, value in vars(kept).items()}
        content = BytesIO()
        np.savez_compressed(
            content,
            schema_version=np.array(schema.SCHEMA_VERSION),
            unit=np.array(self.unit),
            class_names=np.array(self.class_names),
            pairs=pairs,
            counts=np.array([self.counts[true, guess] for true, guess in pairs.tolist()], dtype=np.int64),
            places=np.array([image.place for image in self.worst], dtype=np.int64),
            paths=np.array([image.path for image in self.worst], dtype=np.str_),
            true=np.array([image.true for image in self.worst], dtype=np.int32),
            losses=np.array([image.loss for image in self.worst], dtype=np.float64),
            guesses=np.array(guesses, dtype=np.int32),
            probabilities=np.array(probabilities, dtype=np.float64),
            pixels=np.array([image.pixels for image in self.worst], dtype=np.uint8),
            **calibration,
        )
        with storing(path):
            write_atomically(path, content.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> Predictions:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: There is no such file.
            RunError: It is damaged, or a newer keras-tricks wrote it.
        """
        path = Path(path)
        try:
            with path.open("rb") as file:
                if not zipfile.is_zipfile(file):
                    raise zipfile.BadZipFile("It is no .npz file")
            with np.load(path, allow_pickle=False) as file:
                version = int(file["schema_version"])
                stored = {} if version > schema.SCHEMA_VERSION else {name: file[name] for name in file.files}
        except FileNotFoundError:
            raise
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
            raise RunError(f"{path} cannot be read: {error}. `keras-tricks evaluate` writes it anew.") from error
        schema.check_schema({"schema_version": version}, str(path))
        return cls._of(stored, path)

    @classmethod
    def _of(cls, stored: dict[str, Any], path: Path) -> Predictions:
        try:
            pairs = map(tuple, stored["pairs"].tolist())
            worst = tuple(
                WorstImage(place, file, true, loss, tuple(zip(guesses, probabilities, strict=True)), pixels)
                for place, file, true, loss, guesses, probabilities, pixels in zip(
                    *(stored[name].tolist() for name in ("places", "paths", "true", "losses")),
                    *(stored[name].tolist() for name in ("guesses", "probabilities")),
                    stored["pixels"],
                    strict=True,
                )
            )
            counts = dict(zip(pairs, stored["counts"].tolist(), strict=True))
            names = [f"calibration_{name}" for name in ("counts", "confidences", "correct")]
            calibration = Calibration(*(stored[name] for name in names)) if names[0] in stored else None
            unit = str(stored["unit"]) if "unit" in stored else "images"
            return cls(tuple(stored["class_names"].tolist()), counts, worst, calibration, unit)
        except (KeyError, ValueError, TypeError) as error:
            raise RunError(f"{path} cannot be read: {error}. `keras-tricks evaluate` writes it anew.") from error


@dataclass
class PredictionCounter:
    """Gather predictions batch by batch, in memory that does not grow with the number of images.

    Args:
        class_names: The name of each class.
        paths: The file of each image; none by default.
        kept: How many of the worst images to keep. Defaults to 64.
        unit: What is counted. Defaults to images.
    """

    class_names: tuple[str, ...]
    paths: Sequence[str] = ()
    kept: int = WORST_KEPT
    unit: str = "images"
    _counts: Counter[tuple[int, int]] = field(default_factory=Counter)
    _worst: list[tuple[float, int, WorstImage]] = field(default_factory=list)
    _seen: int = 0
    _calibration: Calibration = field(default_factory=Calibration.empty)

    def add(self, logits: np.ndarray, true: np.ndarray, images: np.ndarray) -> None:
        """Take in a batch.

        Args:
            logits: (batch, classes).
            true: Index of each image's class: (batch,).
            images: uint8 (batch, height, width, 3).
        """
        logits = np.asarray(logits, dtype=np.float64)
        shifted = logits - logits.max(axis=-1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        losses = -np.take_along_axis(log_probabilities, np.asarray(true)[:, None], axis=-1)[:, 0]
        answers = logits.argmax(axis=-1)
        self._calibration = self._calibration.with_answers(
            np.exp(log_probabilities.max(axis=-1)), answers == np.asarray(true)
        )
        self._counts.update(zip(np.asarray(true).tolist(), answers.tolist(), strict=True))
        for index, loss in enumerate(losses.tolist()):
            shares = np.exp(log_probabilities[index])
            self._keep_worst(self._seen + index, int(true[index]), loss, shares, images[index])
        self._seen += len(losses)

    def add_pixels(self, logits: np.ndarray, true: np.ndarray, images: np.ndarray) -> None:
        """Take in a batch of images with a class for each pixel.

        The loss of an image is the mean over the pixels that count, its class the most frequent one, and its guesses
        are the classes that most of its pixels were taken for, with their shares.

        Args:
            logits: (batch, height, width, classes).
            true: Class of each pixel, (batch, height, width); others than classes do not count.
            images: uint8 (batch, height, width, 3).
        """
        classes = len(self.class_names)
        for place, (scores, mask, image) in enumerate(zip(logits, true, images, strict=True), start=self._seen):
            counted = (mask >= 0) & (mask < classes)
            if not counted.any():
                continue
            labels, scores = mask[counted], np.asarray(scores[counted], np.float64)
            answers = scores.argmax(axis=-1)
            pairs = np.bincount(labels.astype(np.int64) * classes + answers, minlength=classes**2)
            self._counts.update({divmod(int(pair), classes): int(pairs[pair]) for pair in np.flatnonzero(pairs)})
            shifted = scores - scores.max(axis=-1, keepdims=True)
            losses = np.log(np.exp(shifted).sum(axis=-1)) - shifted[np.arange(len(labels)), labels]
            shares = np.bincount(answers, minlength=classes) / len(answers)
            self._keep_worst(place, int(np.bincount(labels).argmax()), float(losses.mean()), shares, squared(image))
        self._seen += len(images)

    def _keep_worst(self, place: int, true: int, loss: float, shares: np.ndarray, image: np.ndarray) -> None:
        # A loss that is no number is the worst of all.
        rank = np.inf if np.isnan(loss) else loss
        if len(self._worst) == self.kept and rank <= self._worst[0][0]:
            return
        best = np.argsort(-shares, kind="stable")[:GUESSES_KEPT]
        guesses = tuple(zip(best.tolist(), shares[best].tolist(), strict=True))
        path = self.paths[place] if len(self.paths) else ""
        kept = WorstImage(place, path, true, loss, guesses, thumbnail(image))
        push = heapq.heappush if len(self._worst) < self.kept else heapq.heapreplace
        push(self._worst, (rank, -place, kept))

    def predictions(self) -> Predictions:
        """Return what was gathered."""
        worst = sorted(self._worst, key=lambda entry: entry[:2], reverse=True)
        # Of pixels nobody asks how sure a model was.
        calibration = self._calibration if self.unit == "images" else None
        return Predictions(
            self.class_names, dict(self._counts), tuple(image for _, _, image in worst), calibration, self.unit
        )


def squared(image: np.ndarray) -> np.ndarray:
    """Return an image with black below it or at its right, so that thumbnails of images of all shapes are of one."""
    side = max(*image.shape[:2], THUMBNAIL_SIZE)
    return np.pad(image, [(0, side - image.shape[0]), (0, side - image.shape[1]), (0, 0)])


def thumbnail(image: np.ndarray, size: int = THUMBNAIL_SIZE) -> np.ndarray:
    """Return a uint8 image whose sides are at most `size` pixels, each the mean of those that it stands for."""
    pixels = np.asarray(image, dtype=np.float64)
    for axis in (0, 1):
        length = pixels.shape[axis]
        if length > size:
            starts = np.arange(size) * length // size
            widths = np.diff([*starts, length]).reshape([-1 if side == axis else 1 for side in range(3)])
            pixels = np.add.reduceat(pixels, starts, axis=axis) / widths
    return np.round(pixels).astype(np.uint8)
