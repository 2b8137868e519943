"""Plot: the canvas of a chart, which draws long curves fast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style
from textual.app import ComposeResult
from textual.containers import Grid
from textual.events import MouseEvent, MouseScrollDown, MouseScrollUp
from textual.geometry import Size
from textual.strip import Strip
from textual_hires_canvas import Canvas
from textual_plot import PlotWidget
from textual_plot.plot_widget import Legend, LinePlot

from tui.widgets.curve import FloatArray, Polyline

_DOTS_X, _DOTS_Y = 2, 4
# The bits of the dots in a braille character, by row and column.
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
_FIRST_BRAILLE = 0x2800


def line_dots(x: FloatArray, y: FloatArray, joined: NDArray[np.bool_], width: int, height: int) -> NDArray[np.bool_]:
    """Return which of `height` x `width` dots a line through some points covers.

    Args:
        x: The place of each point in dots from the left edge.
        y: Its place in dots from the top.
        joined: Whether the line leads to a point from the one before; a point that it does not lead to stands alone.
        width: Number of columns of dots.
        height: Number of rows of dots.
    """
    dots = np.zeros((height, width), dtype=bool)
    columns = np.clip(np.floor(x).astype(np.int64), 0, width - 1)
    rows = np.clip(np.floor(y).astype(np.int64), 0, height - 1)
    dots[rows, columns] = True
    ends = np.flatnonzero(joined)
    starts = ends - 1
    lengths = np.maximum(abs(columns[ends] - columns[starts]), abs(rows[ends] - rows[starts]))
    starts, ends, lengths = starts[lengths > 1], ends[lengths > 1], lengths[lengths > 1]
    # Every step of every piece at once: which piece it belongs to, and how far along it is.
    piece = np.repeat(np.arange(len(lengths)), lengths)
    share = (np.arange(len(piece)) - np.repeat(np.cumsum(lengths) - lengths, lengths)) / lengths[piece]
    across = np.rint(columns[starts][piece] + share * (columns[ends] - columns[starts])[piece]).astype(np.int64)
    down = np.rint(rows[starts][piece] + share * (rows[ends] - rows[starts])[piece]).astype(np.int64)
    dots[down, across] = True
    return dots


@dataclass
class _DotLine(LinePlot):
    """A line of dots."""

    joined: NDArray[np.bool_]


class _Canvas(Canvas):
    """A canvas of which each segment has a style: Textual's filter for NO_COLOR fails on those without."""

    _own_style: Style | None = None

    @property
    def rich_style(self) -> Style:
        """Its style, which is looked up once a drawing, and not for each line."""
        if self._own_style is None:
            self._own_style = super().rich_style
        return self._own_style

    def reset(self, size: Size | None = None, refresh: bool = True) -> None:
        """Begin a drawing."""
        self._own_style = None
        super().reset(size, refresh)

    def render_line(self, y: int) -> Strip:
        """Return a line, nothing left without a style."""
        strip = super().render_line(y)
        segments = [Segment(text, style or Style.null(), control) for text, style, control in strip]
        return Strip(segments, strip.cell_length)

    def draw_dots(self, dots: NDArray[np.bool_], style: str) -> None:
        """Write braille characters for these dots, from the first cell inside the border on."""
        height, width = dots.shape
        cells = dots.reshape(height // _DOTS_Y, _DOTS_Y, width // _DOTS_X, _DOTS_X)
        bits = np.einsum("rycx,yx->rc", cells, _BITS)
        for row, column in zip(*map(np.ndarray.tolist, np.nonzero(bits)), strict=True):
            self._buffer[row + 1][column + 1] = chr(_FIRST_BRAILLE + bits[row, column])
            self._styles[row + 1][column + 1] = style


class Plot(PlotWidget, can_focus=False):
    """A plot without keys of its own, with lines of dots and a cursor.

    Its events reach the chart that it stands in.
    """

    cursor: float | None = None
    """The x of a vertical line through all curves."""

    cursor_style = "white"

    def compose(self) -> ComposeResult:
        """Yield the parts of a plot widget, with our canvas."""
        with Grid():
            for part in ("margin-top", "margin-left", "plot", "margin-bottom"):
                yield _Canvas(1, 1, id=part)
        yield Legend(id="legend")

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Leave the wheel to the chart."""
        event.prevent_default()

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Leave the wheel to the chart."""
        event.prevent_default()

    def add_line(self, line: Polyline, style: str) -> None:
        """Draw a line of dots."""
        self._datasets.append(_DotLine(line.x, line.y, None, style, line.joined))
        self._labels.append(None)
        self._rerender()

    def show_cursor(self, x: float | None, style: str) -> None:
        """Move the cursor, or hide it."""
        if (x, style) != (self.cursor, self.cursor_style):
            self.cursor, self.cursor_style = x, style
            self._rerender()

    def draw(self) -> None:
        """Draw now, where the size is known: what is drawn while the screen is painted has to be painted twice."""
        if not self._needs_canvas_resize:
            self.render()

    @property
    def inside(self) -> tuple[int, int]:
        """Columns and rows between the axes."""
        return max(1, self._scale_rectangle.width), max(1, self._scale_rectangle.height)

    def x_at(self, event: MouseEvent) -> float | None:
        """Return the x under the mouse, or None beside the plot."""
        column = event.screen_x - self.query_one("#plot").content_region.x
        if not 1 <= column <= self._scale_rectangle.width:
            return None
        return self.get_coordinate_from_pixel(int(column), 1)[0]

    def _render_plot(self) -> None:
        canvas = self.query_one("#plot", _Canvas)
        if min(self._scale_rectangle.size) < 1:
            # Without room inside, points would stand on the border, where a tick cannot be drawn over them.
            return
        with canvas.batch_refresh():
            super()._render_plot()
            if self.cursor is not None and self._x_min <= self.cursor <= self._x_max:
                self._render_cursor(canvas)

    def _render_line_plot(self, dataset: LinePlot) -> None:
        if not isinstance(dataset, _DotLine):
            super()._render_line_plot(dataset)
            return
        columns, rows = self._scale_rectangle.size
        if columns < 1 or rows < 1:
            return
        width, height = columns * _DOTS_X, rows * _DOTS_Y
        x = np.asarray((dataset.x - self._x_min) / (self._x_max - self._x_min) * width, dtype=float)
        y = np.asarray((self._y_max - dataset.y) / (self._y_max - self._y_min) * height, dtype=float)
        dots = line_dots(x, y, dataset.joined, width, height)
        self.query_one("#plot", _Canvas).draw_dots(dots, dataset.line_style)

    def _render_cursor(self, canvas: _Canvas) -> None:
        """Draw it behind the curves: into what is empty."""
        assert self.cursor is not None
        column, _ = self.get_pixel_from_coordinate(self.cursor, self._y_min)
        for row in range(1, self._scale_rectangle.height + 1):
            if canvas.get_pixel(column, row)[0] == " ":
                canvas.set_pixel(column, row, "│", self.cursor_style)
