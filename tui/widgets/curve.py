"""What is done to the points of a curve before it is drawn."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

_BLOCK = 64
_LARGEST = 1e300
_DIGITS = 17
"""Of a floating point number: after so many the bias is gone."""


class Polyline(NamedTuple):
    """Few points of a curve, ready to be drawn.

    Args:
        x: Never decreasing.
        y: Finite.
        joined: Whether a line leads to each point from the one before: no gap lies between them.
    """

    x: FloatArray
    y: FloatArray
    joined: NDArray[np.bool_]


def smoothed(values: ArrayLike, factor: float) -> FloatArray:
    """Return the exponential moving average of `values`, without a bias towards 0 at its start.

    A value that is not finite stays as it is and does not count.

    Args:
        values: The values, in order.
        factor: Share of the average that is kept at each step, in [0, 1); 0 changes nothing.
    """
    values = np.asarray(values, dtype=float)
    if factor == 0 or not len(values):
        return values
    finite = np.isfinite(values)
    if finite.all():
        return _unbiased_average(values, factor)
    result = values.copy()
    result[finite] = _unbiased_average(values[finite], factor)
    return result


def _unbiased_average(values: FloatArray, factor: float) -> FloatArray:
    averages = _average_from_zero(values, factor)
    biased = min(len(averages), math.ceil(_DIGITS / -math.log10(factor)))
    averages[:biased] /= -np.expm1(math.log(factor) * np.arange(1, biased + 1))
    return averages


def _average_from_zero(values: FloatArray, factor: float) -> FloatArray:
    """The exponential moving average in blocks: step by step for all blocks at once, then what each gets from before.

    Unlike scipy.signal.lfilter it takes no seconds to import.
    """
    count = len(values)
    rows = np.zeros((-(-count // _BLOCK), _BLOCK))
    rows.ravel()[:count] = values
    steps = (1 - factor) * rows.T
    for step in range(1, _BLOCK):
        steps[step] += factor * steps[step - 1]
    fading = factor ** np.arange(1, _BLOCK + 1)
    before, last = [], 0.0
    for own in steps[-1].tolist():
        before.append(last)
        last = own + last * float(fading[-1])
    steps += fading[:, None] * np.array(before)
    return steps.T.ravel()[:count]


def logarithm(values: FloatArray) -> FloatArray:
    """Return the decimal logarithm of `values`: -inf for what is 0 or below, NaN for NaN."""
    result = np.full(values.shape, -np.inf)
    result[np.isnan(values)] = np.nan
    np.log10(values, out=result, where=values > 0)
    return result


def within(x: FloatArray, x_limits: tuple[float, float]) -> slice:
    """Return which points lie between the limits, and one more on each side where there is one."""
    first, end = np.searchsorted(x, x_limits[0], "left"), np.searchsorted(x, x_limits[1], "right")
    return slice(max(0, int(first) - 1), int(end) + 1)


def polyline(x: FloatArray, y: FloatArray, columns: int, x_limits: tuple[float, float]) -> Polyline:
    """Return the part of a curve between the limits, as few points as its columns show.

    Where the curve crosses a limit, it gets a point there. A value that is not finite breaks it.

    Args:
        x: Never decreasing.
        y: The values.
        columns: Number of columns between `x_limits`.
        x_limits: The x of the left and of the right edge.
    """
    near = within(x, x_limits)
    x, y = x[near], y[near]
    finite = np.isfinite(y)
    gaps = np.cumsum(~finite)[finite]
    x, y = x[finite], y[finite]
    joined = np.zeros(len(x), dtype=bool)
    joined[1:] = gaps[1:] == gaps[:-1]
    low, high = x_limits
    first, last = 0, len(x)
    crossing: list[tuple[int, float]] = []
    if len(x) > 1 and x[0] < low and joined[1]:
        crossing.append((0, low))
    if len(x) > 1 and x[-1] > high and joined[-1]:
        crossing.append((len(x) - 1, high))
    if crossing:
        places, edges = [place for place, _ in crossing], [edge for _, edge in crossing]
        at_edges = np.interp(edges, x, y)
        x, y = x.copy(), y.copy()
        x[places], y[places] = edges, at_edges
    if first < last and x[first] < low:
        first += 1
    if first < last and x[last - 1] > high:
        last -= 1
    x, y, gaps = x[first:last], y[first:last], gaps[first:last]
    kept = thinned(x, y, columns, x_limits)
    joined = np.zeros(len(kept), dtype=bool)
    joined[1:] = gaps[kept[1:]] == gaps[kept[:-1]]
    return Polyline(x[kept], y[kept], joined)


def thinned(x: FloatArray, y: FloatArray, columns: int, x_limits: tuple[float, float]) -> NDArray[np.int64]:
    """Return the places of at most two points of a curve a column: its lowest and its highest, in their order.

    Args:
        x: Never decreasing, between `x_limits`.
        y: Finite.
        columns: Number of columns between `x_limits`.
        x_limits: The x of the left and of the right edge.
    """
    if len(x) <= 2 * columns:
        return np.arange(len(x))
    edges = np.linspace(*x_limits, columns + 1)[1:-1]
    bounds = [0, *np.searchsorted(x, edges).tolist(), len(x)]
    kept = set()
    for first, end in itertools.pairwise(bounds):
        if first < end:
            part = y[first:end]
            kept |= {first + int(part.argmin()), first + int(part.argmax())}
    return np.array(sorted(kept), dtype=np.int64)


def column_of(x: FloatArray, columns: int, x_limits: tuple[float, float]) -> NDArray[np.int64]:
    """Return the column, from 0, in which each x lies."""
    low, high = x_limits
    if low == high:
        return np.zeros(len(x), dtype=np.int64)
    place = (x - low) / (high - low) * columns
    return np.clip(place.astype(np.int64), 0, columns - 1)


def nearest(x: FloatArray, place: float) -> int:
    """Return the index of the x that is nearest to a place."""
    after = min(int(np.searchsorted(x, place)), len(x) - 1)
    return after - 1 if after and place - x[after - 1] <= x[after] - place else after


def with_room(low: float, high: float, columns: int) -> tuple[float, float]:
    """Return the limits of an axis from `low` to `high`, with room on the right for a mark beside the border."""
    return (low, high + 1.5 * (high - low) / columns) if high > low else (low - 0.5, high + 0.5)


def y_limits_of(lines: Sequence[Polyline]) -> tuple[float, float]:
    """Return the limits of an axis that shows these lines, with a little room."""
    y = np.concatenate([line.y for line in lines])
    if not len(y):
        return 0.0, 1.0
    # The difference of larger ones might not be a number.
    low, high = np.clip((y.min(), y.max()), -_LARGEST, _LARGEST).tolist()
    room = 0.04 * (high - low) or 0.05 * abs(high) or 0.5
    return low - room, high + room
