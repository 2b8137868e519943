"""Curves before they are drawn: smoothing, logarithm, gaps, thinning, ticks."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.widgets.axis import LinearAxis, LogAxis
from tui.widgets.curve import logarithm, polyline, smoothed, thinned

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80)


def test_smoothing_is_the_unbiased_moving_average():
    values = [3.0, 1.0, 2.0]
    average, expected = 0.0, []
    for index, value in enumerate(values):
        average = 0.6 * average + 0.4 * value
        expected.append(average / (1 - 0.6 ** (index + 1)))
    np.testing.assert_allclose(smoothed(values, 0.6), expected)


@given(VALUES)
def test_no_smoothing_changes_nothing(values):
    np.testing.assert_array_equal(smoothed(values, 0.0), values)


@given(VALUES, st.floats(0, 0.99))
def test_smoothing_stays_within_the_values(values, factor):
    result = smoothed(values, factor)
    room = 1e-6 * max(1.0, max(abs(value) for value in values))
    assert min(values) - room <= result.min() and result.max() <= max(values) + room


def test_smoothing_passes_over_what_is_not_finite():
    result = smoothed([1.0, math.nan, math.inf, 3.0], 0.5)
    assert math.isnan(result[1]) and math.isinf(result[2])
    assert result[3] == smoothed([1.0, 3.0], 0.5)[1]


def test_logarithm_keeps_what_has_none_apart():
    result = logarithm(np.array([100.0, 0.0, -1.0, math.nan, math.inf]))
    np.testing.assert_array_equal(result, [2, -math.inf, -math.inf, math.nan, math.inf])


def test_a_line_ends_at_gaps():
    x = np.arange(7.0)
    y = np.array([math.nan, 1, 2, math.inf, 3, math.nan, math.nan])
    line = polyline(x, y, 10, (0.0, 6.0))
    assert line.x.tolist() == [1, 2, 4] and line.joined.tolist() == [False, True, False]
    assert not len(polyline(x, np.full(7, math.nan), 10, (0.0, 6.0)).x)


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=400), st.integers(1, 40))
def test_thinning_keeps_extremes_and_two_points_a_column(values, columns):
    x, y = np.arange(len(values), dtype=float), np.array(values)
    kept = thinned(x, y, columns, (0.0, len(values) - 1.0))
    thin_x, thin_y = x[kept], y[kept]
    assert len(thin_x) <= 2 * columns
    assert thin_y.min() == y.min() and thin_y.max() == y.max()
    assert (np.diff(thin_x) > 0).all()
    assert (y[thin_x.astype(int)] == thin_y).all()


@given(st.floats(-1e5, 1e5), st.floats(1e-6, 1e5), st.integers(2, 8))
def test_linear_ticks_are_few_round_and_inside(low, width, most):
    high = low + width
    axis = LinearAxis(most)
    ticks = axis.get_ticks(low, high)
    assert len(ticks) <= most + 1
    room = 1e-6 * width
    assert all(low - room <= tick <= high + room for tick in ticks)
    assert len(axis.get_labels_for_ticks(ticks)) == len(ticks)


def test_linear_tick_labels():
    axis = LinearAxis(5)
    assert axis.get_labels_for_ticks(axis.get_ticks(0.0, 1.0)) == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    whole = LinearAxis(8, whole=True)
    assert whole.get_labels_for_ticks(whole.get_ticks(0.1, 2.9)) == ["1", "2"]


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (-3, 1, ["0.001", "0.01", "0.1", "1", "10"]),
        (0, 1, ["1", "2", "5", "10"]),
        (0.24, 0.38, ["1.8", "2", "2.2"]),
        (0.3, 0.301, ["1.996", "1.998"]),
    ],
)
def test_log_ticks_are_labelled_with_the_values(low, high, labels):
    axis = LogAxis(5)
    assert axis.get_labels_for_ticks(axis.get_ticks(low, high)) == labels


@given(st.floats(-8, 6), st.floats(1e-3, 6))
def test_log_ticks_are_at_least_two_and_inside(low, width):
    ticks = LogAxis(5).get_ticks(low, low + width)
    assert 2 <= len(ticks) <= 5
    assert all(low <= tick <= low + width for tick in ticks)
