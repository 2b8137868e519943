"""Mean average precision of detections, as Pascal VOC 2007 and as COCO define it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

VOC07_OVERLAP = 0.5
VOC07_RECALLS = np.arange(0.0, 1.1, 0.1)
COCO_OVERLAPS = np.linspace(0.5, 0.95, 10)
COCO_RECALLS = np.linspace(0.0, 1.0, 101)
COCO_MOST_DETECTIONS = 100
"""How many detections of each class of an image count, those of the highest scores."""

_HIT, _FAULT, _UNCOUNTED = 1, 0, -1


class _Image(NamedTuple):
    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    true_boxes: np.ndarray
    true_labels: np.ndarray
    difficult: np.ndarray


class DetectionMetrics:
    """Collect detections and true boxes of images, and say how precise they are.

    `voc07_map` is the mean over the classes of the mean precision at 11 recalls, where a detection is a hit if the
    true box that it overlaps most has an intersection over union of more than 0.5 with it and no earlier hit.
    `coco_map` is the mean over the classes and over 10 overlaps from 0.5 to 0.95 of the mean precision at 101 recalls,
    where a detection takes the free true box that it overlaps most, if by so much; `coco_map50` and `coco_map75` are
    those of one overlap. Difficult boxes count neither as found nor as missed, in both. A class without a true box that
    counts is left out of the mean; without any class the result is NaN.

    The areas of boxes are continuous: `(right - left) * (bottom - top)`. Corners that count pixels from 1, as in the
    files of Pascal VOC, become such boxes by taking one from left and top, as `read_annotation` does, and the overlaps
    are then those of its development kit.

    Args:
        classes: Number of classes.

    Raises:
        ValueError: If there is no class.

    Example:

        metrics = DetectionMetrics(classes=20)
        for images, targets in batches:
            metrics.add(detect(images), targets)
        metrics.result()["voc07_map"]

    Source: Everingham et al. 2010, "The Pascal Visual Object Classes (VOC) Challenge", section 4.2; Lin et al. 2014,
    arXiv 1405.0312, with the evaluation of pycocotools.
    """

    def __init__(self, classes: int):
        if classes < 1:
            raise ValueError(f"Expected at least one class. Received: classes={classes}")
        self.classes = classes
        self._images: list[_Image] = []

    def add(self, predictions: Mapping[str, Any], targets: Mapping[str, Any]) -> None:
        """Take up a batch of images; places with a label below 0 are empty.

        Args:
            predictions: `boxes` (batch, n, 4), the left, top, right and bottom, `labels` (batch, n) and `scores`
                (batch, n).
            targets: `boxes` (batch, m, 4) in the same pixels, `labels` (batch, m), and maybe `difficult` (batch, m).

        Raises:
            ValueError: If the numbers of images differ, a label is no class, or a score or a box is not finite.
        """
        found = {name: np.asarray(predictions[name]) for name in ("boxes", "labels", "scores")}
        true = {name: np.asarray(targets[name]) for name in ("boxes", "labels")}
        true["difficult"] = np.asarray(targets.get("difficult", np.zeros(true["labels"].shape, bool))).astype(bool)
        counts = {len(value) for value in (*found.values(), *true.values())}
        if len(counts) != 1:
            raise ValueError(f"Expected predictions and targets of the same images. Received: {sorted(counts)} images")
        for index in range(counts.pop()):
            image = _Image(*_present(found, index), *_present(true, index))
            largest = max((*image.labels, *image.true_labels), default=0)
            if largest >= self.classes:
                raise ValueError(f"Expected labels below classes={self.classes}. Received: label={largest}")
            for name, value in (("scores", image.scores), ("boxes", image.boxes), ("boxes", image.true_boxes)):
                if not np.isfinite(value).all():
                    raise ValueError(f"Expected finite {name}. Received: {value[~np.isfinite(value)][0]}")
            self._images.append(image)

    def reset(self) -> None:
        """Forget all images."""
        self._images.clear()

    def result(self) -> dict[str, float]:
        """Return `voc07_map`, `coco_map`, `coco_map50` and `coco_map75`, each from 0 to 1."""
        coco = self.coco_average_precisions()
        means = (_mean(self.voc07_average_precisions()), _mean(coco.mean(1)), _mean(coco[:, 0]), _mean(coco[:, 5]))
        return dict(zip(("voc07_map", "coco_map", "coco_map50", "coco_map75"), means, strict=True))

    def voc07_average_precisions(self) -> np.ndarray:
        """Return the 11-point average precision of each class (classes,), NaN for one left out."""
        return self._of_all_classes(_voc07_outcomes, VOC07_RECALLS)[:, 0]

    def coco_average_precisions(self) -> np.ndarray:
        """Return the 101-point average precision (classes, 10) at each overlap, NaN for a class left out."""
        return self._of_all_classes(_coco_outcomes, COCO_RECALLS)

    def _of_all_classes(self, outcomes_of: Callable, recalls: np.ndarray) -> np.ndarray:
        return np.stack([self._average_precisions(label, outcomes_of, recalls) for label in range(self.classes)])

    def _average_precisions(self, label: int, outcomes_of: Callable, recalls: np.ndarray) -> np.ndarray:
        scores, outcomes, positives = [np.zeros(0)], [outcomes_of(np.zeros((0, 0)), np.zeros(0, bool))], 0
        for image in self._images:
            mine, true = image.labels == label, image.true_labels == label
            order = np.argsort(-image.scores[mine], kind="stable")
            if outcomes_of is _coco_outcomes:
                order = order[:COCO_MOST_DETECTIONS]
            difficult = image.difficult[true]
            overlaps = intersection_over_union(image.boxes[mine][order], image.true_boxes[true])
            scores.append(image.scores[mine][order])
            outcomes.append(outcomes_of(overlaps, difficult))
            positives += int((~difficult).sum())
        by_score = np.argsort(-np.concatenate(scores), kind="stable")
        ranked = np.concatenate(outcomes, axis=1)[:, by_score]
        if not positives:
            return np.full(len(ranked), np.nan)
        return np.array([_average_precision(each, positives, recalls) for each in ranked])


def intersection_over_union(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the overlaps (n, m) of boxes (n, 4) with others (m, 4), each left, top, right and bottom."""
    corner = np.maximum(boxes[:, None, :2], others[None, :, :2])
    opposite = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    intersection = np.prod(np.maximum(opposite - corner, 0), axis=-1)
    areas = [np.prod(each[:, 2:] - each[:, :2], axis=-1) for each in (boxes, others)]
    union = areas[0][:, None] + areas[1][None, :] - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def _present(values: dict[str, np.ndarray], index: int) -> list[np.ndarray]:
    present = values["labels"][index] >= 0
    return [
        value[index][present].astype(np.float64 if name in ("boxes", "scores") else value.dtype)
        for name, value in values.items()
    ]


def _voc07_outcomes(overlaps: np.ndarray, difficult: np.ndarray) -> np.ndarray:
    """Return what each detection is (1, n); those of the highest score come first."""
    outcomes, taken = np.full((1, len(overlaps)), _FAULT), np.zeros(len(difficult), bool)
    for rank, row in enumerate(overlaps):
        if not len(row) or row.max() <= VOC07_OVERLAP:
            continue
        best = row.argmax()
        if difficult[best]:
            outcomes[0, rank] = _UNCOUNTED
        elif not taken[best]:
            outcomes[0, rank], taken[best] = _HIT, True
    return outcomes


def _coco_outcomes(overlaps: np.ndarray, difficult: np.ndarray) -> np.ndarray:
    """Return what each detection is (10, n) at each overlap; those of the highest score come first."""
    outcomes = np.full((len(COCO_OVERLAPS), len(overlaps)), _FAULT)
    for place, least in enumerate(COCO_OVERLAPS):
        free = np.ones(len(difficult), bool)
        for rank, row in enumerate(overlaps):
            near = free & (row >= least)
            candidates = near & ~difficult if (near & ~difficult).any() else near
            if candidates.any():
                # Of equal overlaps pycocotools takes the last.
                best = len(row) - 1 - np.where(candidates, row, -1)[::-1].argmax()
                free[best] = False
                outcomes[place, rank] = _UNCOUNTED if difficult[best] else _HIT
    return outcomes


def _average_precision(outcomes: np.ndarray, positives: int, recalls: np.ndarray) -> float:
    """Return the mean over the recalls of the best precision at that recall or a higher one."""
    counted = outcomes[outcomes != _UNCOUNTED]
    hits = np.cumsum(counted == _HIT)
    precision = hits / np.arange(1, len(counted) + 1)
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return float(best[np.searchsorted(hits / positives, recalls)].mean())


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
