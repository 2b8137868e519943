"""Draw charts as SVG that takes its colours from the style sheet of the page it stands in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

COLORS = 7
"""How many colours the style sheet has; more lines take other dashes."""

Cut = Literal["none", "low", "high"]

_DASHES = ("", "6 3", "2 3", "8 3 2 3")
_WIDTH, _HEIGHT = 480, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 12, 34
_MOST_POINTS = 400
_LOG_FROM = 50.0
"""A range whose ends are so many times apart is drawn with a logarithmic axis."""


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Args:
        name: Its name, shown where the mouse rests on it.
        place: What decides its colour and dash; lines of one variant share it.
        x: The epochs.
        y: The values; NaN and infinities leave gaps.
        is_thin: Whether it is one run of several, beside their mean.
    """

    name: str
    place: int
    x: Sequence[float]
    y: Sequence[float]
    is_thin: bool = False


def look_of(place: int) -> tuple[str, str]:
    """Return the class that gives the colour, and the dashes, of the line at a place."""
    return f"c{place % COLORS}", _DASHES[place // COLORS % len(_DASHES)]


def line_chart(lines: Sequence[Line], title: str, cut: Cut = "none") -> str:
    """Return a chart over the epochs as an SVG element; empty where no line has a finite value.

    Args:
        lines: The lines.
        title: What is shown, for readers that cannot see it.
        cut: At which end a tenth of the values may lie outside, so that the others are told apart: the beginning of a
            training, where an accuracy is low and a loss high. Defaults to none.
    """
    xs = [x for line in lines for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
    ys = [y for line in lines for y in line.y if math.isfinite(y)]
    if not ys:
        return ""
    ys.sort()
    outside = len(ys) // 10
    low, high = ys[outside if cut == "low" else 0], ys[-1 - outside if cut == "high" else -1]
    is_log = ys[0] > 0 and high / low > _LOG_FROM
    across = _Axis(min(xs), max(xs), _LEFT, _WIDTH - _RIGHT)
    up = _Axis(low, high, _HEIGHT - _BOTTOM, _TOP, is_log)
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">']
    for value in up.ticks(6):
        y = up.at(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.6g}</text>')
    for value in across.ticks(6, least_step=1.0):
        x = across.at(value)
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{value:.6g}</text>')
    parts.append(f'<text x="{(_LEFT + _WIDTH) / 2:.0f}" y="{_HEIGHT - 3}" text-anchor="middle">epoch</text>')
    # A picture within the picture cuts off what lies outside.
    width, height = _WIDTH - _RIGHT - _LEFT + 6, _HEIGHT - _BOTTOM - _TOP + 6
    left, top = _LEFT - 3, _TOP - 3
    box = f'x="{left}" y="{top}" width="{width}" height="{height}" viewBox="{left} {top} {width} {height}"'
    parts.append(f"<svg {box}>")
    for line in sorted(lines, key=lambda line: not line.is_thin):
        parts += _drawn(line, across, up)
    return "".join([*parts, "</svg></svg>"])


class _Axis:
    """Where values lie on a line from `first` to `last`, in the units of the picture."""

    def __init__(self, low: float, high: float, first: float, last: float, is_log: bool = False):
        self._is_log = is_log
        low, high = self._scaled(low), self._scaled(high)
        if low == high:
            margin = abs(low) * 0.05 or 1.0
            low, high = low - margin, high + margin
        self._low, self._high, self._first, self._last = low, high, first, last

    def at(self, value: float) -> float:
        share = (self._scaled(value) - self._low) / (self._high - self._low)
        return self._first + share * (self._last - self._first)

    def ticks(self, count: int, least_step: float = 0.0) -> list[float]:
        """Round values within the range: about `count` of them, and none closer than `least_step`."""
        if self._is_log:
            powers = range(math.ceil(self._low), math.floor(self._high) + 1)
            return [10.0**power for power in powers[:: max(1, len(powers) // count)]] or [10**self._low, 10**self._high]
        rough = max(least_step, (self._high - self._low) / count)
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
        first = math.ceil(self._low / step - 1e-9)
        last = math.floor(self._high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self._is_log else value


def _drawn(line: Line, across: _Axis, up: _Axis) -> list[str]:
    color, dashes = look_of(line.place)
    every = max(1, math.ceil(len(line.x) / _MOST_POINTS))
    stretches: list[list[str]] = [[]]
    for place, (x, y) in enumerate(zip(line.x, line.y, strict=True)):
        if not math.isfinite(y):
            stretches.append([])
        elif place % every == 0 or place == len(line.x) - 1:
            stretches[-1].append(f"{across.at(x):.1f},{up.at(y):.1f}")
    style = f'class="{color}{" thin" * line.is_thin}"' + (f' stroke-dasharray="{dashes}"' if dashes else "")
    title = f"<title>{escape(line.name)}</title>"
    parts = []
    for points in filter(None, stretches):
        if len(points) == 1:
            left, top = points[0].split(",")
            look = f"{color}{' thin' * line.is_thin}"
            parts.append(f'<circle class="{look}" cx="{left}" cy="{top}" r="2.5">{title}</circle>')
        else:
            parts.append(f'<polyline {style} points="{" ".join(points)}">{title}</polyline>')
    return parts
