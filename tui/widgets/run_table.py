"""RunTable: the runs, of which only the lines on the screen are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip

from keras_tricks.runs.columns import Viewpoint, column, main_column, sorted_runs, sorts_descending
from keras_tricks.runs.summary import RunSummary
from tui.formats import fitted
from tui.widgets.line_table import LineTable
from tui.widgets.run_columns import MARK_WIDTH, Shown, cell_color, cell_text, shown_columns

_MARKS = {(False, False): "  ", (True, False): "■ ", (False, True): " ★", (True, True): "■★"}


class RunTable(LineTable):
    """The runs, one a line, below a line of headings that a click sorts by."""

    COMPONENT_CLASSES = {"run-table--header", "run-table--cursor", "run-table--odd", "run-table--mark"}

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[RunSummary] = []
        self._unsorted: list[RunSummary] = []
        self.sort_key = "started"
        self.descending = True
        self._chosen_columns: tuple[str, ...] | None = None
        self._columns: list[Shown] = []
        self._view = Viewpoint(0.0)
        self._main = main_column(())

    @property
    def columns(self) -> list[Shown]:
        """The columns that are shown, from left to right."""
        return list(self._columns)

    def line_count(self) -> int:
        """How many runs there are."""
        return len(self.rows)

    def line_key(self, index: int) -> Path:
        """The directory of a run."""
        return self.rows[index].directory

    def chosen(self) -> RunSummary | None:
        """The run under the cursor."""
        return self.rows[self._index] if self._index < len(self.rows) else None

    def show(self, rows: Sequence[RunSummary], view: Viewpoint) -> None:
        """Show these runs, given newest first; the cursor stays on its run."""
        before = self._view.baseline is not None, self._main
        self._view = view
        self._main = main_column(rows)
        if before != (view.baseline is not None, self._main):
            self._choose_columns()
        self._unsorted = list(rows)
        self._arrange()

    def show_columns(self, keys: tuple[str, ...] | None) -> None:
        """Show these columns; None for those that fit."""
        self._chosen_columns = keys
        self._choose_columns()

    def on_resize(self) -> None:
        """Choose the columns that fit."""
        self._choose_columns()
        self._show_cursor()

    def cells(self, row: RunSummary) -> list[str]:
        """Return the texts of a run's cells."""
        return [cell_text(shown, row, self._view) for shown in self._columns]

    def sort_by_next_column(self) -> None:
        """Sort by the column after the one that it is sorted by now."""
        keys = [shown.column.key for shown in self._columns] or [self.sort_key]
        place = keys.index(self.sort_key) if self.sort_key in keys else -1
        self.sort_by(keys[(place + 1) % len(keys)])

    def sort_by(self, key: str) -> None:
        """Sort by a column, in the order in which one reads it."""
        self.sort_key = key
        self.descending = sorts_descending(column(key))
        self._arrange()

    def reverse_order(self) -> None:
        """Turn the order round."""
        self.descending = not self.descending
        self._arrange()

    def click_heading(self, x: int) -> None:
        """Sort by the column at `x`, or the other way round."""
        left = MARK_WIDTH
        for shown in self._columns:
            if left <= x < left + shown.width + 2:
                if shown.column.key == self.sort_key:
                    self.reverse_order()
                else:
                    self.sort_by(shown.column.key)
                return
            left += shown.width + 2

    def render_line(self, y: int) -> Strip:
        """Return a line of the screen: the headings, a run, or nothing."""
        row = y - 1 + self.scroll_offset.y
        if y == 0:
            style = self.rich_style + self.get_component_rich_style("run-table--header", partial=True)
            segments = self._header(style)
        elif row < len(self.rows):
            segments = self._line(row)
            style = segments[0].style or self.rich_style
        else:
            return Strip.blank(self.size.width, self.rich_style)
        strip = Strip(segments)
        left = self.scroll_offset.x
        return strip.crop_extend(left, left + self.size.width, style).simplify()

    def _header(self, style: Style) -> list[Segment]:
        texts = [" " * MARK_WIDTH]
        for shown in self._columns:
            title = shown.title(self.sort_key, self.descending)
            texts.append(f" {fitted(title, shown.width, not shown.is_word)} ")
        return [Segment("".join(texts), style)]

    def _line(self, index: int) -> list[Segment]:
        row = self.rows[index]
        style = self.rich_style
        if index % 2:
            style += self.get_component_rich_style("run-table--odd", partial=True)
        if index == self._index:
            style += self.get_component_rich_style("run-table--cursor", partial=True)
        is_baseline = self._view.baseline is not None and self._view.baseline.directory == row.directory
        marks = _MARKS[row.directory in self._view.marked, is_baseline]
        theme = self.app.theme_variables
        segments = [
            Segment(marks.ljust(MARK_WIDTH), style + self.get_component_rich_style("run-table--mark", partial=True))
        ]
        for shown in self._columns:
            text = fitted(cell_text(shown, row, self._view), shown.width, not shown.is_word)
            color = cell_color(shown, row, self._view)
            segments.append(Segment(f" {text} ", style + Style(color=theme[color], bold=True) if color else style))
        return segments

    def _choose_columns(self) -> None:
        self._columns = shown_columns(
            self._chosen_columns, self.size.width, self._view.baseline is not None, self._main
        )
        self._measure()

    def _measure(self) -> None:
        width = MARK_WIDTH + sum(shown.width + 2 for shown in self._columns)
        self.virtual_size = Size(max(width, 1), len(self.rows) + 1)
        self.refresh()

    def _arrange(self) -> None:
        self.rows = sorted_runs(self._unsorted, column(self.sort_key), self.descending, self._view)
        self._measure()
        self._stay({row.directory: place for place, row in enumerate(self.rows)}, self._index)
