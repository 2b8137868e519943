"""Curves: the points of all metrics of a run, which grow while others look at them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_tricks.runs import MetricRow

FloatArray = NDArray[np.float64]

_DRAWN_KINDS = frozenset({"step", "epoch"})
_BLOCK = 512


class Curve(NamedTuple):
    """The points of one metric: whoever holds it sees it as it was, whatever is added later.

    Args:
        step: Optimizer steps done; increasing.
        seconds: For how long the run had been trained; never decreasing.
        value: The values, NaN and infinities among them.
    """

    step: FloatArray
    seconds: FloatArray
    value: FloatArray


class Curves:
    """The points of all metrics of a run.

    Time is that of training: it stands still between two attempts, and what an attempt repeats does not count.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all points."""
        self._curves: dict[str, _GrowingCurve] = {}
        self._attempt_began: float | None = None
        self._seconds_before = 0.0
        self._seconds = 0.0

    def add(self, row: MetricRow) -> None:
        """Add the values of a row. One of kind `attempt` removes what its attempt does again."""
        if row.kind == "attempt":
            for curve in self._curves.values():
                curve.cut(row.step + 1)
            self._attempt_began = row.t
            self._seconds = self._seconds_before = max((curve.seconds for curve in self._curves.values()), default=0.0)
        if row.kind not in _DRAWN_KINDS:
            return
        if self._attempt_began is None:
            self._attempt_began = row.t
        # A clock that is set back must not fold the curve.
        self._seconds = max(self._seconds, self._seconds_before + row.t - self._attempt_began)
        step, seconds, curves = row.step, self._seconds, self._curves
        for name, value in row.values.items():
            if name not in curves:
                curves[name] = _GrowingCurve()
            curves[name].add(step, seconds, value)

    def show(self) -> dict[str, Curve]:
        """Return the points so far, in the order in which the metrics came; a curve without news is the same object."""
        return {name: curve.show() for name, curve in self._curves.items()}


class _GrowingCurve:
    """A curve in arrays with room at their end, of which the part that was shown is never written to."""

    def __init__(self) -> None:
        self._points = np.empty((3, _BLOCK))
        self._length = 0
        self._new: list[tuple[int, float, float]] = []
        self._last_step = -1
        self._shown: Curve | None = None
        self._shown_length = 0

    @property
    def seconds(self) -> float:
        """The time of the last point."""
        self._store()
        return float(self._points[1, self._length - 1]) if self._length else 0.0

    def add(self, step: int, seconds: float, value: float) -> None:
        """Add a point, in the place of those at and beyond its step."""
        if step <= self._last_step:
            self.cut(step)
        self._last_step, self._shown = step, None
        self._new.append((step, seconds, value))
        if len(self._new) == _BLOCK:
            self._store()

    def cut(self, step: int) -> None:
        """Leave out the points at and beyond a step."""
        while self._new and self._new[-1][0] >= step:
            self._new.pop()
            self._shown = None
        if not self._new:
            length = int(np.searchsorted(self._points[0, : self._length], step))
            if length < self._length:
                self._length, self._shown = length, None
        self._last_step = step - 1

    def show(self) -> Curve:
        """Return the points so far."""
        if self._shown is None:
            self._store()
            self._shown, self._shown_length = Curve(*self._points[:, : self._length]), self._length
        return self._shown

    def _store(self) -> None:
        """Move the new points into the arrays, which numpy does faster for many at once."""
        if not self._new:
            return
        length = self._length + len(self._new)
        if length > self._points.shape[1] or self._length < self._shown_length:
            points = np.empty((3, max(_BLOCK, 2 * length)))
            points[:, : self._length] = self._points[:, : self._length]
            self._points, self._shown_length = points, 0
        self._points[:, self._length : length] = np.array(self._new).T
        self._length = length
        self._new.clear()
