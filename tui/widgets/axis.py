"""Tick labels of charts: few, short, and at round values, on linear and on logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from textual_plot.axis_formatter import AxisFormatter

from tui.formats import duration, number, short_exponent

_DAY = 86400
_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, _DAY)


class LinearAxis(AxisFormatter):
    """Ticks at multiples of 1, 2 or 5 times a power of ten.

    Args:
        most: The largest number of ticks.
        whole: Whether ticks stand at whole numbers only, where there are some.
    """

    def __init__(self, most: int, whole: bool = False):
        self.most = max(2, most)
        self.whole = whole

    def get_ticks(self, min_: float, max_: float, max_ticks: int = 8) -> list[float]:
        """Return the places of the ticks between `min_` and `max_`."""
        step = _round_step((max_ - min_) / self.most)
        if self.whole and max_ - min_ >= 2:
            step = max(1.0, step)
        first, last = math.ceil(min_ / step - 1e-9), math.floor(max_ / step + 1e-9)
        return [index * step for index in range(first, last + 1)]

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        """Return a label for each tick, all with the same number of decimals."""
        if not ticks:
            return []
        largest = max(abs(tick) for tick in ticks)
        if largest >= 1e5 or largest < 1e-3:
            return [number(tick, 3) if tick else "0" for tick in ticks]
        step = ticks[1] - ticks[0] if len(ticks) > 1 else largest
        decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step else 0
        return [f"{tick:.{decimals}f}" for tick in ticks]


class LogAxis(AxisFormatter):
    """Ticks for values that are decimal logarithms, labelled with what they are logarithms of.

    Args:
        most: The largest number of ticks.
    """

    def __init__(self, most: int):
        self.most = max(2, most)

    def get_ticks(self, min_: float, max_: float, max_ticks: int = 8) -> list[float]:
        """Return the places of the ticks: powers of ten, where there is room 2 and 5 times these, or else any round."""
        low, high = math.floor(min_), math.ceil(max_)
        for mantissas in ((1, 2, 5), (1,)):
            ticks = [exponent + math.log10(mantissa) for exponent in range(low, high + 1) for mantissa in mantissas]
            inside = [tick for tick in ticks if min_ <= tick <= max_]
            if len(inside) <= self.most:
                break
        else:
            every = math.ceil(len(inside) / self.most)
            inside = inside[::every]
        if len(inside) >= 2:
            return inside
        round_values = LinearAxis(self.most - 1).get_ticks(10**min_, 10**max_)
        inside = [tick for tick in map(math.log10, filter(None, round_values)) if min_ <= tick <= max_]
        return inside if len(inside) >= 2 else [min_ + (max_ - min_) * share for share in (0.1, 0.9)]

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        """Return ten to the power of each tick, with as many digits as tell them apart."""
        labels: list[str] = []
        for digits in range(2, 7):
            labels = [short_exponent(f"{10**tick:.{digits}g}") for tick in ticks]
            if len(set(labels)) == len(ticks):
                break
        return labels


class TimeAxis(AxisFormatter):
    """Ticks for seconds, at round times: `30s`, `5m`, `1h30m`, `2d`.

    Args:
        most: The largest number of ticks.
    """

    def __init__(self, most: int):
        self.most = max(2, most)

    def get_ticks(self, min_: float, max_: float, max_ticks: int = 8) -> list[float]:
        """Return the places of the ticks between `min_` and `max_`."""
        least = (max_ - min_) / self.most
        step = next((step for step in _TIME_STEPS if step >= least), None)
        if step is None or least < 1:
            unit = 1 if step else _DAY
            return [tick * unit for tick in LinearAxis(self.most).get_ticks(min_ / unit, max_ / unit)]
        first, last = math.ceil(min_ / step - 1e-9), math.floor(max_ / step + 1e-9)
        return [float(index * step) for index in range(first, last + 1)]

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        """Return a label for each tick, down to the smallest unit that any of them needs."""
        if any(tick % 1 for tick in ticks):
            return [f"{label}s" for label in LinearAxis(self.most).get_labels_for_ticks(ticks)]
        return [_time_label(round(tick)) for tick in ticks]


def x_text(x: float, x_label: str) -> str:
    """Return a place on an axis of `epoch`, `step` or `time` as text."""
    if x_label == "time":
        return duration(x)
    return f"{x:.0f}" if x_label == "step" else f"{x:.2f}"


def _time_label(seconds: int) -> str:
    parts: list[str] = []
    rest = seconds
    for unit, name in ((_DAY, "d"), (3600, "h"), (60, "m"), (1, "s")):
        count, rest = divmod(rest, unit)
        if count:
            parts.append(f"{count:02d}{name}" if parts else f"{count}{name}")
    return "".join(parts) or "0"


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))
