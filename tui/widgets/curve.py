"""What is done to the points of a curve before it is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def smoothed(values: Sequence[float], factor: float) -> FloatArray:
    """Return the exponential moving average of `values`, without a bias towards 0 at its start.

    A value that is not finite stays as it is and does not count.

    Args:
        values: The values, in order.
        factor: Share of the average that is kept at each step, in [0, 1); 0 changes nothing.
    """
    if factor == 0:
        return np.asarray(values, dtype=float)
    result = np.empty(len(values))
    average, weight = 0.0, 0.0
    for index, value in enumerate(values):
        if value - value != 0:
            result[index] = value
            continue
        average = factor * average + (1 - factor) * value
        weight = factor * weight + (1 - factor)
        result[index] = average / weight
    return result


def logarithm(values: FloatArray) -> FloatArray:
    """Return the decimal logarithm of `values`: -inf for what is 0 or below, NaN for NaN."""
    result = np.full(values.shape, -np.inf)
    result[np.isnan(values)] = np.nan
    np.log10(values, out=result, where=values > 0)
    return result


def segments(x: FloatArray, y: FloatArray) -> list[tuple[FloatArray, FloatArray]]:
    """Cut a curve where `y` is not finite and return the pieces."""
    finite = np.isfinite(y)
    cuts = np.flatnonzero(np.diff(finite)) + 1
    pieces = zip(np.split(x, cuts), np.split(y, cuts), np.split(finite, cuts), strict=True)
    return [(piece_x, piece_y) for piece_x, piece_y, whole in pieces if len(whole) and whole[0]]


def thinned(x: FloatArray, y: FloatArray, columns: int, x_limits: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """Return at most two points of a curve a column, its lowest and its highest, in their order.

    Args:
        x: Increasing.
        y: Finite.
        columns: Number of columns between `x_limits`.
        x_limits: The x of the left and of the right edge.
    """
    if len(x) <= 2 * columns or x_limits[0] == x_limits[1]:
        return x, y
    column = column_of(x, columns, x_limits)
    keep = np.zeros(len(x), dtype=bool)
    for order in (np.lexsort((y, column)), np.lexsort((-y, column))):
        first = np.ones(len(x), dtype=bool)
        first[1:] = column[order][1:] != column[order][:-1]
        keep[order[first]] = True
    return x[keep], y[keep]


def column_of(x: FloatArray, columns: int, x_limits: tuple[float, float]) -> NDArray[np.int64]:
    """Return the column, from 0, in which each x lies."""
    low, high = x_limits
    if low == high:
        return np.zeros(len(x), dtype=np.int64)
    place = (x - low) / (high - low) * columns
    return np.clip(place.astype(np.int64), 0, columns - 1)
