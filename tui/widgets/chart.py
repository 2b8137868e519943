"""Chart: curves of metrics over the epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual.app import ComposeResult
from textual.containers import Grid, Vertical
from textual.content import Content
from textual.events import MouseScrollDown, MouseScrollUp
from textual.reactive import reactive
from textual.strip import Strip
from textual.widgets import Static
from textual_hires_canvas import Canvas
from textual_plot import HiResMode, PlotWidget
from textual_plot.plot_widget import Legend

from tui.formats import number
from tui.run_watcher import Points
from tui.widgets.axis import LinearAxis, LogAxis
from tui.widgets.curve import FloatArray, column_of, logarithm, segments, smoothed, thinned

_NOT_FINITE_MARKS = (("N", np.isnan), ("↑", np.isposinf), ("↓", np.isneginf))


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


class _Canvas(Canvas):
    """A canvas of which each segment has a style: Textual's filter for NO_COLOR fails on those without."""

    def render_line(self, y: int) -> Strip:
        """Return a line, nothing left without a style."""
        strip = super().render_line(y)
        segments = [Segment(text, style or Style.null(), control) for text, style, control in strip]
        return Strip(segments, strip.cell_length)


class _Plot(PlotWidget, can_focus=False):
    """The plot without its keys and its zoom by wheel, so that these reach the screen."""

    def compose(self) -> ComposeResult:
        """Yield the parts of a plot widget, with our canvas."""
        with Grid():
            for part in ("margin-top", "margin-left", "plot", "margin-bottom"):
                yield _Canvas(1, 1, id=part)
        yield Legend(id="legend")

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        event.prevent_default()

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        event.prevent_default()


class Chart(Vertical, can_focus=True):
    """Curves of metrics, with their last values in the title.

    A value that is NaN or infinite breaks the curve, and an `N` or an arrow on the edge marks its place.

    Args:
        title: What is shown.
        lines: The curves.
        id: The widget's id.
        may_log: Whether `log_y` has an effect.
        may_smooth: Whether `smoothing` has an effect.
    """

    ALLOW_MAXIMIZE = True

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
        self._curves: Mapping[str, Points] = {}
        self._x_label = "epoch"

    def compose(self) -> ComposeResult:
        """Yield the title, the plot and the words for an empty one."""
        yield Static(classes="chart-title")
        yield _Plot(allow_pan_and_zoom=False)
        yield Static(classes="chart-x-label")
        yield Static("no values yet", classes="chart-empty")

    def on_mount(self) -> None:
        """Leave no room around the plot but for the tick labels."""
        plot = self.query_one(_Plot)
        plot.margin_top, plot.margin_bottom, plot.margin_left = 0, 1, 8
        self.app.theme_changed_signal.subscribe(self, lambda _: self._draw())
        self._draw()

    def on_resize(self) -> None:
        """Draw for the new size."""
        self._draw()

    def watch_log_y(self) -> None:
        """Draw anew."""
        self._draw()

    def watch_smoothing(self) -> None:
        """Draw anew."""
        self._draw()

    def show(self, curves: Mapping[str, Points], x_label: str, note: str = "") -> None:
        """Draw these curves.

        Args:
            curves: The points of each metric; others than the chart's own are passed over.
            x_label: What x counts.
            note: A word for the title.
        """
        own = {line.metric: curves.get(line.metric, ((), ())) for line in self.lines}
        if own == self._curves and (x_label, note) == (self._x_label, self.note):
            return
        self._curves, self._x_label, self.note = own, x_label, note
        self._draw()

    def _draw(self) -> None:
        if not self.is_mounted or not self.query(_Plot):
            return
        plot = self.query_one(_Plot)
        drawn = [(line, *self._prepared(line)) for line in self.lines]
        drawn = [(line, x, y) for line, x, y in drawn if len(x)]
        self.query_one(".chart-title", Static).update(self._title())
        self.query_one(".chart-x-label", Static).update(self._x_label)
        self.set_class(not drawn, "-empty")
        plot.clear()
        if not drawn:
            return
        columns = max(1, self.size.width - plot.margin_left - 2)
        x_limits = _x_limits([x for _, x, _ in drawn], columns)
        y_limits = _y_limits([y for _, _, y in drawn])
        plot.set_xlimits(*x_limits)
        plot.set_ylimits(*y_limits)
        rows = max(1, self.size.height - 4)
        plot.set_x_formatter(LinearAxis(min(8, columns // 7), whole=True))
        plot.set_y_formatter((LogAxis if self._is_log else LinearAxis)(min(8, rows * 2 // 3 + 1)))
        for line, x, y in drawn:
            self._draw_line(plot, line, x, y, columns, x_limits)
        for _, x, y in drawn:
            self._mark_not_finite(plot, x, y, columns, x_limits, y_limits)

    @property
    def _is_log(self) -> bool:
        return self.log_y and self.may_log

    def _prepared(self, line: Line) -> tuple[FloatArray, FloatArray]:
        x, values = self._curves.get(line.metric, ((), ()))
        y = smoothed(values, self.smoothing if self.may_smooth else 0.0)
        return np.asarray(x, dtype=float), logarithm(y) if self._is_log else y

    def _draw_line(
        self,
        plot: PlotWidget,
        line: Line,
        x: FloatArray,
        y: FloatArray,
        columns: int,
        x_limits: tuple[float, float],
    ) -> None:
        color = self.app.theme_variables[line.color]
        for piece_x, piece_y in segments(x, y):
            thin_x, thin_y = thinned(piece_x, piece_y, columns, x_limits)
            if line.marker or len(thin_x) == 1:
                plot.scatter(thin_x, thin_y, marker=line.marker or "•", marker_style=color)
            else:
                plot.plot(thin_x, thin_y, line_style=color, hires_mode=HiResMode.BRAILLE)

    def _mark_not_finite(
        self,
        plot: PlotWidget,
        x: FloatArray,
        y: FloatArray,
        columns: int,
        x_limits: tuple[float, float],
        y_limits: tuple[float, float],
    ) -> None:
        color = self.app.theme_variables["error"]
        for mark, is_such in _NOT_FINITE_MARKS:
            places = x[is_such(y)]
            if not len(places):
                continue
            _, first = np.unique(column_of(places, columns, x_limits), return_index=True)
            low, high = y_limits
            edge = high - (high - low) / (2 * self.size.height) if mark == "↑" else low
            plot.scatter(
                places[first],
                np.full(len(first), edge),
                marker=mark,
                marker_style=f"bold {color}",
            )

    def _title(self) -> Content:
        parts = [Content.styled(self.title + (" log" if self._is_log else ""), "bold")]
        for line in self.lines:
            _, values = self._curves.get(line.metric, ((), ()))
            if values:
                parts.append(Content.styled(f" {line.marker or '⠒⠒'} ", f"${line.color}"))
                parts.append(Content(f"{line.label} {number(values[-1], 3)}".lstrip()))
        not_finite = sum(
            value - value != 0 for line in self.lines for value in self._curves.get(line.metric, ((), ()))[1]
        )
        if not_finite:
            parts.append(Content.styled(f"  {not_finite} not finite", "bold $error"))
        if self.note:
            parts.append(Content.styled(f"  {self.note}", "$muted"))
        return Content("").join(parts)


def _x_limits(all_x: list[FloatArray], columns: int) -> tuple[float, float]:
    """The first and the last x, with room on the right for a mark at the last one beside the border."""
    low = min(float(x[0]) for x in all_x)
    high = max(float(x[-1]) for x in all_x)
    return (low, high + 1.5 * (high - low) / columns) if high > low else (low - 0.5, high + 0.5)


def _y_limits(all_y: list[FloatArray]) -> tuple[float, float]:
    finite = np.concatenate([y[np.isfinite(y)] for y in all_y])
    if not len(finite):
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    room = 0.04 * (high - low) or 0.05 * abs(high) or 0.5
    return low - room, high + room
