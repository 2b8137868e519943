"""Count what true boxes were taken for, and what was found where no object is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from keras_tricks.metrics.detection import intersection_over_union

OVERLAP = 0.5
"""Intersection over union from which on a detection is one of a box."""

SURE = 0.5
"""The score from which on a detection counts."""


def count_boxes(
    found: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray], background: int
) -> Counter[tuple[int, int]]:
    """Return how often a box of a class (first) was taken for one of a class (second).

    A detection, those of the highest scores first, takes the free box that it overlaps most, of whatever class. A box
    that none takes was taken for the background; a detection that takes none takes the background for something.
    Difficult boxes count neither when they are found nor when they are not.

    Args:
        found: `boxes` (batch, n, 4), `labels` (batch, n) and `scores` (batch, n) of a batch; labels below 0 are none.
        targets: `boxes` (batch, m, 4), `labels` (batch, m) and, if there is any, `difficult` (batch, m).
        background: The class of what no object is.
    """
    counts: Counter[tuple[int, int]] = Counter()
    difficult = np.asarray(targets.get("difficult", np.zeros(targets["labels"].shape))).astype(bool)
    for index in range(len(targets["labels"])):
        true = targets["labels"][index] >= 0
        labels, hard = targets["labels"][index][true], difficult[index][true]
        sure = (found["labels"][index] >= 0) & (found["scores"][index] >= SURE)
        order = np.flatnonzero(sure)[np.argsort(-found["scores"][index][sure], kind="stable")]
        overlaps = intersection_over_union(found["boxes"][index][order], targets["boxes"][index][true])
        free = np.ones(len(labels), bool)
        for guess, row in zip(found["labels"][index][order].tolist(), overlaps, strict=True):
            near = np.where(free, row, -1.0)
            if not len(near) or near.max() < OVERLAP:
                counts[background, guess] += 1
                continue
            place = int(near.argmax())
            free[place] = False
            if not hard[place]:
                counts[int(labels[place]), guess] += 1
        for label in labels[free & ~hard].tolist():
            counts[label, background] += 1
    return counts
