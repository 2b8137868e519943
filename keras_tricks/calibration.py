"""Calibration: whether a classifier is right as often as it is sure. Nothing here imports Keras."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 15
"""Equal intervals of the confidence, as in the paper."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """How sure a classifier was of its answers, in intervals of equal width, and how often it was right.

    The confidence of an answer is the probability of the class that it names.

    Args:
        counts: Answers in each interval: (bins,).
        confidences: Sum of their confidences: (bins,).
        correct: How many of them are right: (bins,).

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv 1706.04599, section 2.
    """

    counts: np.ndarray
    confidences: np.ndarray
    correct: np.ndarray

    @classmethod
    def empty(cls, bins: int = BINS) -> Calibration:
        """Return that of no answers."""
        return cls(np.zeros(bins, np.int64), np.zeros(bins), np.zeros(bins, np.int64))

    def with_answers(self, confidences: np.ndarray, correct: np.ndarray) -> Calibration:
        """Return it with more answers; one whose confidence is no number is left out.

        Args:
            confidences: From 0 to 1: (answers,).
            correct: Whether each is right: (answers,).
        """
        known = ~np.isnan(confidences)
        confidences, correct = confidences[known], np.asarray(correct)[known]
        bins = len(self.counts)
        # The intervals are open below and closed above.
        places = np.clip(np.ceil(confidences * bins).astype(int) - 1, 0, bins - 1)
        count = np.bincount(places, minlength=bins)
        right = np.bincount(places, weights=correct, minlength=bins).astype(np.int64)
        return Calibration(
            self.counts + count,
            self.confidences + np.bincount(places, weights=confidences, minlength=bins),
            self.correct + right,
        )

    @property
    def error(self) -> float | None:
        """The expected calibration error: mean over answers of |accuracy - mean confidence| of their interval.

        None where there is no answer.
        """
        total = int(self.counts.sum())
        return None if total == 0 else float(np.abs(self.correct - self.confidences).sum() / total)

    @property
    def confidence(self) -> float | None:
        """The mean confidence; above the accuracy where the classifier is too sure. None where there is no answer."""
        total = int(self.counts.sum())
        return None if total == 0 else float(self.confidences.sum() / total)
