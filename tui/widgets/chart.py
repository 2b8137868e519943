"""Chart: curves of metrics, with a window and a cursor that several charts can share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from textual.app import ComposeResult
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static
from textual_plot.axis_formatter import AxisFormatter

from tui.formats import number
from tui.widgets.axis import LinearAxis, LogAxis, TimeAxis, x_text
from tui.widgets.chart_controls import ChartControls
from tui.widgets.curve import (
    FloatArray,
    Polyline,
    column_of,
    logarithm,
    nearest,
    polyline,
    smoothed,
    with_room,
    within,
    y_limits_of,
)
from tui.widgets.plot import Plot

_NOT_FINITE_MARKS = (("N", np.isnan), ("↑", np.isposinf), ("↓", np.isneginf))
_MARGIN_LEFT = 8
_NO_POINTS = (np.empty(0), np.empty(0))


class Line(NamedTuple):
    """One curve of a chart.

    Args:
        metric: Name of the metric.
        label: Its name in the legend.
        color: A colour of the theme.
        marker: A sign at each point in the place of a line, which tells curves apart without colours too.
    """

    metric: str
    label: str
    color: str
    marker: str = ""


class _Drawable(NamedTuple):
    """A curve as it is drawn: smoothed, and a logarithm where the axis is one."""

    line: Line
    x: FloatArray
    y: FloatArray


class Chart(ChartControls):
    """Curves of metrics, with their last values in the title, or those under the cursor.

    A value that is NaN or infinite breaks the curve, and an `N` or an arrow on the edge marks its place. Keys, wheel
    and mouse ask for another part of x, or for another place of the cursor, by messages: who holds several charts
    moves them together with `look_at` and `point_at`.

    Args:
        title: What is shown.
        lines: The curves.
        id: The widget's id.
        may_log: Whether `log_y` has an effect.
        may_smooth: Whether `smoothing` has an effect.
    """

    ALLOW_MAXIMIZE = True
    ALLOW_SELECT = False

    log_y: reactive[bool] = reactive(False)
    """Whether the y axis is logarithmic."""

    smoothing: reactive[float] = reactive(0.0)
    """Share of the moving average that is kept at each point, in [0, 1)."""

    def __init__(
        self,
        title: str,
        lines: tuple[Line, ...],
        *,
        id: str,
        may_log: bool = False,
        may_smooth: bool = True,
    ) -> None:
        super().__init__(id=id)
        self.title = title
        self.lines = lines
        self.may_log = may_log
        self.may_smooth = may_smooth
        self.note = ""
        self.x_label = "epoch"
        self.x_limits: tuple[float, float] | None = None
        self.is_zoomed = False
        self._curves: dict[str, tuple[FloatArray, FloatArray]] = {}
        self._drawables: list[_Drawable] = []

    def compose(self) -> ComposeResult:
        """Yield the title, the plot and the words for an empty one."""
        yield Static(classes="chart-title")
        yield Plot(allow_pan_and_zoom=False)
        yield Static(classes="chart-x-label")
        yield Static("no values yet", classes="chart-empty")

    def on_mount(self) -> None:
        """Leave no room around the plot but for the tick labels."""
        plot = self.query_one(Plot)
        plot.margin_top, plot.margin_bottom, plot.margin_left = 0, 1, _MARGIN_LEFT
        self.app.theme_changed_signal.subscribe(self, lambda _: self._draw())
        self._draw()

    def on_resize(self) -> None:
        """Draw for the new size."""
        self._draw()

    def watch_log_y(self) -> None:
        """Draw anew."""
        self._prepare()

    def watch_smoothing(self) -> None:
        """Draw anew."""
        self._prepare()

    def show(
        self,
        curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
        x_label: str,
        note: str = "",
        x_limits: tuple[float, float] | None = None,
    ) -> None:
        """Draw these curves.

        Args:
            curves: The x, increasing, and the y of each metric; others than the chart's own are passed over. Arrays
                that are the same objects as the last time are taken to be unchanged.
            x_label: What x counts: `epoch`, `step` or `time`.
            note: A word for the title.
            x_limits: The x of the left and of the right edge. Defaults to those of the curves.
        """
        before = self._curves
        self._curves = {
            line.metric: _arrays(curves[line.metric]) if line.metric in curves else _NO_POINTS for line in self.lines
        }
        same = before.keys() == self._curves.keys() and all(
            new is old for name in before for new, old in zip(self._curves[name], before[name], strict=True)
        )
        if same and (x_label, note, x_limits) == (self.x_label, self.note, self.x_limits):
            return
        self.x_label, self.note, self.x_limits = x_label, note, x_limits
        if same:
            self._draw()
        else:
            self._prepare()

    def look_at(self, x_limits: tuple[float, float] | None, is_zoomed: bool) -> None:
        """Show another part of x, and say whether it is only a part."""
        if (x_limits, is_zoomed) != (self.x_limits, self.is_zoomed):
            self.x_limits, self.is_zoomed = x_limits, is_zoomed
            self._draw()

    def point_at(self, x: float | None) -> None:
        """Put the cursor at an x, and the values there into the title; None takes it away."""
        if x != self.cursor:
            self.cursor = x
            self._show_cursor()

    @property
    def _is_log(self) -> bool:
        return self.log_y and self.may_log

    def _prepare(self) -> None:
        """Smooth the curves, take logarithms, and draw."""
        self._drawables = []
        for line in self.lines:
            x, values = self._curves.get(line.metric, _NO_POINTS)
            if len(x):
                y = smoothed(values, self.smoothing if self.may_smooth else 0.0)
                self._drawables.append(_Drawable(line, x, logarithm(y) if self._is_log else y))
        self._draw()

    def _draw(self) -> None:
        if not self.is_mounted or not self.query(Plot):
            return
        plot = self.query_one(Plot)
        self.query_one(".chart-x-label", Static).update(self._x_label_text(), layout=False)
        self.set_class(not self._drawables, "-empty")
        self._show_cursor()
        plot.clear()
        if not self._drawables:
            return
        columns = max(1, self.size.width - plot.margin_left - 2)
        x_limits = self.x_limits or self._own_limits(columns)
        lines = [polyline(x, y, columns, x_limits) for _, x, y in self._drawables]
        y_limits = y_limits_of(lines)
        plot.set_xlimits(*x_limits)
        plot.set_ylimits(*y_limits)
        plot.set_x_formatter(self._x_axis(columns))
        most = min(16, max(1, self.size.height - 4) * 2 // 3 + 1)
        plot.set_y_formatter(LogAxis(most) if self._is_log else LinearAxis(most))
        for (line, _, _), points in zip(self._drawables, lines, strict=True):
            self._draw_line(plot, line, points)
        for _, x, y in self._drawables:
            self._mark_not_finite(plot, x, y, columns, x_limits, y_limits)
        plot.draw()

    def _own_limits(self, columns: int) -> tuple[float, float]:
        first = min(float(x[0]) for _, x, _ in self._drawables)
        return with_room(first, max(float(x[-1]) for _, x, _ in self._drawables), columns)

    def _x_axis(self, columns: int) -> AxisFormatter:
        if self.x_label == "time":
            return TimeAxis(min(16, columns // 9))
        return LinearAxis(min(16, columns // 7), whole=True)

    def _draw_line(self, plot: Plot, line: Line, points: Polyline) -> None:
        color = self.app.theme_variables[line.color]
        if line.marker or len(points.x) == 1:
            plot.scatter(points.x, points.y, marker=line.marker or "•", marker_style=color)
        else:
            plot.add_line(points, color)

    def _mark_not_finite(
        self,
        plot: Plot,
        x: FloatArray,
        y: FloatArray,
        columns: int,
        x_limits: tuple[float, float],
        y_limits: tuple[float, float],
    ) -> None:
        color = self.app.theme_variables["error"]
        low, high = y_limits
        seen = within(x, x_limits)
        x, y = x[seen], y[seen]
        inside = (x >= x_limits[0]) & (x <= x_limits[1])
        for mark, is_such in _NOT_FINITE_MARKS:
            places = x[is_such(y) & inside]
            if not len(places):
                continue
            _, first = np.unique(column_of(places, columns, x_limits), return_index=True)
            edge = high - (high - low) / (2 * self.size.height) if mark == "↑" else low
            plot.scatter(places[first], np.full(len(first), edge), marker=mark, marker_style=f"bold {color}")

    def _show_cursor(self) -> None:
        """Draw the cursor, and say in the title what stands there."""
        if self.is_mounted and self.query(Plot):
            self.query_one(Plot).show_cursor(self.cursor, self.app.theme_variables["foreground"])
            self.query_one(".chart-title", Static).update(self._title(), layout=False)

    def _title(self) -> Content:
        """Name, values and what else is to be said; where there is no room, the values go without their labels."""
        width = self.content_size.width - 2
        titles = [self._title_with(labels) for labels in (True, False)]
        return next((title for title in titles if title.cell_length <= width), titles[-1])

    def _title_with(self, labels: bool) -> Content:
        parts = [Content.styled(self.title + (" log" if self._is_log else ""), "bold")]
        not_finite = 0
        if self.cursor is not None:
            parts.append(Content.styled(f" @{x_text(self.cursor, self.x_label)}", "bold $accent"))
        for line in self.lines:
            x, values = self._curves.get(line.metric, _NO_POINTS)
            if len(values):
                value = values[-1 if self.cursor is None else nearest(x, self.cursor)]
                label = f"{line.label} " if labels and line.label else ""
                parts.append(Content.styled(f" {line.marker or '⠒⠒'} ", f"${line.color}"))
                parts.append(Content(label + number(float(value), 3)))
                not_finite += int(np.count_nonzero(~np.isfinite(values)))
        if not_finite:
            parts.append(Content.styled(f"  {not_finite} not finite", "bold $error"))
        if self.is_zoomed:
            parts.append(Content.styled("  zoomed", "$text-warning"))
        if self.note:
            parts.append(Content.styled(f"  {self.note}", "$muted"))
        return Content("").join(parts)

    def _x_label_text(self) -> Content:
        return Content.styled(f"<{self.x_label}>" if self.is_zoomed else self.x_label, "$muted")


def _arrays(points: tuple[ArrayLike, ArrayLike]) -> tuple[FloatArray, FloatArray]:
    return np.asarray(points[0], dtype=float), np.asarray(points[1], dtype=float)
