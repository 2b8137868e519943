"""ChartGrid: the charts of a run, which share their part of x, their cursor, and how curves are drawn."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.message import Message

from tui.curves import Curve, FloatArray
from tui.widgets.chart import Chart
from tui.widgets.charted_metrics import (
    USUAL,
    arrangement,
    chart_id,
    is_logarithmic,
    lines_of,
    may_be_smoothed,
    title,
    usual_metrics,
)
from tui.widgets.curve import with_room

SMOOTHING_LEVELS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95)
X_AXES = ("epoch", "time", "step")
_LEAST_SHARE = 1e-5
_MARGIN = 10
_SECONDS_BETWEEN_DRAWINGS = 1.9


class ChartGrid(VerticalScroll, can_focus=False):
    """The charts of a run.

    They show the same part of x, and have their cursor at the same x.

    Args:
        metrics: What is charted; None for the usual metrics.
        x_axis: What x counts, where the run tells it: `epoch`, `time` or `step`.
    """

    class Changed(Message):
        """Something that all charts share is another one now."""

    def __init__(self, metrics: Sequence[str] | None, x_axis: str) -> None:
        super().__init__(id="charts")
        self.chosen = metrics
        self.x_axis = x_axis
        self.logged: tuple[str, ...] = ()
        self.smoothing = 0.0
        self._log_y = False
        self._curves: Mapping[str, Curve] = {}
        self._steps_per_epoch: float | None = None
        self._note = ""
        self._x: dict[str, tuple[Curve, FloatArray]] = {}
        self._window: tuple[float, float] | None = None
        self._cursor: float | None = None
        self._side_by_side = 1
        self._drawn_at = -math.inf

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is charted."""
        return tuple(self.chosen) if self.chosen else usual_metrics(self.logged) if self.logged else USUAL

    @property
    def charts(self) -> list[Chart]:
        """The charts, in order."""
        return list(self.query(Chart))

    @property
    def words(self) -> list[str]:
        """What differs from how curves usually are drawn."""
        words = ["log y"] * self._log_y + [f"smooth {self.smoothing:g}"] * (self.smoothing > 0)
        words += [f"x {self.x_axis}"] * (self.x_axis != X_AXES[0]) + ["zoomed"] * (self._window is not None)
        return words

    def compose(self) -> ComposeResult:
        """Yield the charts."""
        yield from map(self._new_chart, self.metrics)

    def on_resize(self) -> None:
        """Arrange the charts for the new size."""
        self._arrange()
        self._show_all()

    async def choose(self, metrics: Sequence[str] | None) -> None:
        """Chart these metrics; None for the usual ones."""
        self.chosen = metrics
        await self._rebuild()
        self._show_all()

    async def show(
        self, curves: Mapping[str, Curve], steps_per_epoch: float | None, note: str, at_once: bool = True
    ) -> None:
        """Draw the curves of a run.

        Args:
            curves: The points of each metric.
            steps_per_epoch: By which x becomes epochs; None where it is not known.
            note: A word for the first chart.
            at_once: Draw now, and do not wait for more points to come, which spares half the work.
        """
        now = time.monotonic()
        if not at_once and now - self._drawn_at < _SECONDS_BETWEEN_DRAWINGS:
            return
        self._drawn_at = now
        if steps_per_epoch != self._steps_per_epoch:
            self._x.clear()
        self._curves, self._steps_per_epoch, self._note = curves, steps_per_epoch, note
        if self.logged != tuple(curves):
            self.logged = tuple(curves)
            await self._rebuild()
        self._show_all()

    def forget(self) -> None:
        """Prepare for another run."""
        self._drawn_at = -math.inf
        self._x.clear()
        self._window = None
        self._point_at(None)

    def toggle_log(self) -> None:
        """Turn the logarithmic axis of the chart with the focus on or off; without one, of those that it suits."""
        focused = [chart for chart in self.charts if chart.has_focus]
        if focused:
            focused[0].log_y = not focused[0].log_y
            return
        self._log_y = not self._log_y
        for metric, chart in zip(self.metrics, self.charts, strict=True):
            chart.log_y = self._log_y and is_logarithmic(metric)

    def smooth(self, direction: int) -> None:
        """Smooth the curves more, or less."""
        level = SMOOTHING_LEVELS.index(self.smoothing) + direction
        self.smoothing = SMOOTHING_LEVELS[max(0, min(len(SMOOTHING_LEVELS) - 1, level))]
        for chart in self.charts:
            chart.smoothing = self.smoothing

    def next_axis(self) -> None:
        """Let x count something else, and show all of it."""
        self.x_axis = X_AXES[(X_AXES.index(self.x_axis) + 1) % len(X_AXES)]
        self._x.clear()
        self.reset()
        self._show_all()

    def reset(self) -> None:
        """Show all of x, without a cursor."""
        self._window = None
        self._point_at(None)
        self._look()

    def move_cursor(self, columns: int) -> None:
        """Move the cursor by some columns of the first chart; the first time, put it at the last point."""
        low, high = self._limits()
        if self._cursor is None:
            self._point_at(min(high, self._extent()[1]))
        else:
            self._point_at(max(low, min(high, self._cursor + columns * (high - low) / self._columns())))

    def take_cursor_away(self) -> None:
        """Show the last values again."""
        self._point_at(None)

    @property
    def has_cursor(self) -> bool:
        """Whether there is a cursor."""
        return self._cursor is not None

    def on_chart_controls_zoomed(self, message: Chart.Zoomed) -> None:
        """Show less or more of x around a place."""
        message.stop()
        low, high = self._limits()
        place = (low + high) / 2 if message.x is None else message.x
        first, last = self._full_limits()
        if (high - low) / message.factor < _LEAST_SHARE * (last - first):
            return
        self._set_window(place - (place - low) / message.factor, place + (high - place) / message.factor)

    def on_chart_controls_panned(self, message: Chart.Panned) -> None:
        """Show an earlier or a later part of x of the same width."""
        message.stop()
        if self._window is not None:
            low, high = self._window
            by = message.share * (high - low)
            self._set_window(low + by, high + by)

    def on_chart_controls_pointed(self, message: Chart.Pointed) -> None:
        """Put the cursor where the mouse points."""
        message.stop()
        self._point_at(message.x)

    def _set_window(self, low: float, high: float) -> None:
        """Show this much of x, moved where it would reach beyond the first or the last point."""
        first, last = self._full_limits()
        width = high - low
        low = max(first, min(last - width, low))
        self._window = None if width >= (last - first) * (1 - 1e-9) else (low, low + width)
        self._look()

    def _look(self) -> None:
        limits = self._limits()
        for chart in self.charts:
            chart.look_at(limits, self._window is not None)
        self.post_message(self.Changed())

    def _point_at(self, x: float | None) -> None:
        self._cursor = x
        for chart in self.charts:
            chart.point_at(x)

    def _limits(self) -> tuple[float, float]:
        return self._window or self._full_limits()

    def _full_limits(self) -> tuple[float, float]:
        return with_room(*self._extent(), self._columns())

    def _extent(self) -> tuple[float, float]:
        """The first and the last x of all charts."""
        names = {line.metric for chart in self.charts for line in chart.lines}
        ends = [self._x_of(name) for name in names if name in self._curves]
        ends = [x for x in ends if len(x)]
        return min((float(x[0]) for x in ends), default=0.0), max((float(x[-1]) for x in ends), default=0.0)

    def _columns(self) -> int:
        """About how many columns of cells a chart has between its axes."""
        alone = self.screen.maximized
        width = alone.size.width if isinstance(alone, Chart) else self.size.width // self._side_by_side
        return max(1, width - _MARGIN)

    @property
    def _x_label(self) -> str:
        return "step" if self.x_axis == "epoch" and self._steps_per_epoch is None else self.x_axis

    def _x_of(self, name: str) -> FloatArray:
        """The x of a curve; the same object as long as the curve is the same."""
        curve = self._curves[name]
        known = self._x.get(name)
        if known is None or known[0] is not curve:
            steps_per_epoch = self._steps_per_epoch or 1.0
            x = {"epoch": curve.step / steps_per_epoch, "time": curve.seconds, "step": curve.step}[self.x_axis]
            known = self._x[name] = curve, x
        return known[1]

    def _show_all(self) -> None:
        limits = self._limits()
        for index, chart in enumerate(self.charts):
            names = [line.metric for line in chart.lines if line.metric in self._curves]
            points = {name: (self._x_of(name), self._curves[name].value) for name in names}
            chart.show(points, self._x_label, "" if index else self._note, limits)

    async def _rebuild(self) -> None:
        """Have one chart for each metric, and keep those that are there."""
        wanted = {chart_id(metric): metric for metric in self.metrics}
        there = {chart.id: chart for chart in self.charts}
        if list(there) != list(wanted):
            await self.query(Chart).remove()
            await self.mount_all(map(self._new_chart, wanted.values()))
            self._arrange()
        for metric, chart in zip(wanted.values(), self.charts, strict=True):
            chart.lines = lines_of(metric, self.logged)

    def _new_chart(self, metric: str) -> Chart:
        chart = Chart(
            title(metric),
            lines_of(metric, self.logged),
            id=chart_id(metric),
            may_log=True,
            may_smooth=may_be_smoothed(metric),
        )
        chart.set_reactive(Chart.log_y, self._log_y and is_logarithmic(metric))
        chart.set_reactive(Chart.smoothing, self.smoothing)
        chart.is_zoomed, chart.cursor = self._window is not None, self._cursor
        return chart

    def _arrange(self) -> None:
        count = len(self.charts)
        if count and self.size:
            self._side_by_side, height = arrangement(count, self.size.width, self.size.height)
            self.styles.grid_size_columns = self._side_by_side
            self.styles.grid_rows = "1fr" if height is None else str(height)
