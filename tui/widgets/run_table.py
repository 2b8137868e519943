"""RunTable: the runs, of which only the lines on the screen are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from keras_tricks.runs.columns import Viewpoint, column, sorted_runs, sorts_descending
from keras_tricks.runs.summary import RunSummary
from tui.widgets.run_columns import MARK_WIDTH, Shown, cell_color, cell_text, shown_columns

_MARKS = {(False, False): "  ", (True, False): "■ ", (False, True): " ★", (True, True): "■★"}


class RunTable(ScrollView, can_focus=True):
    """The runs, one a line, below a line of headings that a click sorts by.

    It keeps no widget and no cell for a run: a thousand of them cost what is on the screen.
    """

    COMPONENT_CLASSES = {"run-table--header", "run-table--cursor", "run-table--odd", "run-table--mark"}

    BINDINGS = [
        Binding("up,k", "go(-1)", "Up", show=False),
        Binding("down,j", "go(1)", "Down", show=False),
        Binding("pageup", "go_page(-1)", "Page up", show=False),
        Binding("pagedown", "go_page(1)", "Page down", show=False),
        Binding("home", "go_to_row(0)", "First run", show=False),
        Binding("end", "go_to_row(-1)", "Last run", show=False),
        Binding("enter", "open", "Open", show=False),
    ]

    class Highlighted(Message):
        """The cursor is on another run, or on none."""

    class Opened(Message):
        """The user wants to see the run under the cursor."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[RunSummary] = []
        self._unsorted: list[RunSummary] = []
        self.sort_key = "started"
        self.descending = True
        self._chosen_columns: tuple[str, ...] | None = None
        self._columns: list[Shown] = []
        self._view = Viewpoint(0.0)
        self._cursor: Path | None = None
        self._index = 0

    @property
    def columns(self) -> list[Shown]:
        """The columns that are shown, from left to right."""
        return list(self._columns)

    @property
    def cursor_index(self) -> int:
        """The place of the run under the cursor."""
        return self._index

    def chosen(self) -> RunSummary | None:
        """The run under the cursor."""
        return self.rows[self._index] if self._index < len(self.rows) else None

    def show(self, rows: Sequence[RunSummary], view: Viewpoint) -> None:
        """Show these runs, given newest first; the cursor stays on its run."""
        had_baseline = self._view.baseline is not None
        self._view = view
        if had_baseline != (view.baseline is not None):
            self._choose_columns()
        self._unsorted = list(rows)
        self._arrange()

    def show_columns(self, keys: tuple[str, ...] | None) -> None:
        """Show these columns; None for those that fit."""
        self._chosen_columns = keys
        self._choose_columns()

    def on_mount(self) -> None:
        """Follow changes of the colours."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self.refresh())

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

    def action_go(self, rows: int) -> None:
        """Move the cursor by some rows."""
        self._go_to(self._index + rows)

    def action_go_page(self, pages: int) -> None:
        """Move the cursor by some screens."""
        self._go_to(self._index + pages * max(1, self.size.height - 2))

    def action_go_to_row(self, row: int) -> None:
        """Move the cursor to a row, counted from the end if negative."""
        self._go_to(row % max(1, len(self.rows)))

    def action_open(self) -> None:
        """Open the run under the cursor."""
        self.post_message(self.Opened())

    def on_click(self, event: Click) -> None:
        """Sort by the heading, move the cursor to the run, or open the run that it is on."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y == 0:
            self._sort_at(offset.x + self.scroll_offset.x)
            return
        row = offset.y - 1 + self.scroll_offset.y
        if row >= len(self.rows):
            return
        if row == self._index:
            self.action_open()
        else:
            self._go_to(row)

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
            texts.append(f" {_fitted(title, shown.width, not shown.is_word)} ")
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
            text = _fitted(cell_text(shown, row, self._view), shown.width, not shown.is_word)
            color = cell_color(shown, row, self._view)
            segments.append(Segment(f" {text} ", style + Style(color=theme[color], bold=True) if color else style))
        return segments

    def _choose_columns(self) -> None:
        self._columns = shown_columns(self._chosen_columns, self.size.width, self._view.baseline is not None)
        self._measure()

    def _measure(self) -> None:
        width = MARK_WIDTH + sum(shown.width + 2 for shown in self._columns)
        self.virtual_size = Size(max(width, 1), len(self.rows) + 1)
        self.refresh()

    def _arrange(self) -> None:
        self.rows = sorted_runs(self._unsorted, column(self.sort_key), self.descending, self._view)
        places = {row.directory: place for place, row in enumerate(self.rows)}
        place = min(self._index, max(0, len(self.rows) - 1))
        self._measure()
        self._go_to(places.get(self._cursor, place) if self._cursor else place)

    def _go_to(self, row: int) -> None:
        self._index = max(0, min(row, len(self.rows) - 1))
        chosen = self.chosen()
        before, self._cursor = self._cursor, chosen.directory if chosen else None
        self._show_cursor()
        self.refresh()
        if self._cursor != before:
            self.post_message(self.Highlighted())

    def _show_cursor(self) -> None:
        top, lines = self.scroll_offset.y, max(1, self.size.height - 1)
        if not top <= self._index < top + lines:
            y = self._index if self._index < top else self._index + 1 - lines
            self.scroll_to(y=y, animate=False, force=True, immediate=True)

    def _sort_at(self, x: int) -> None:
        left = MARK_WIDTH
        for shown in self._columns:
            if left <= x < left + shown.width + 2:
                if shown.column.key == self.sort_key:
                    self.reverse_order()
                else:
                    self.sort_by(shown.column.key)
                return
            left += shown.width + 2


def _fitted(text: str, width: int, right: bool) -> str:
    """Return `text` in exactly `width` cells."""
    text = "".join(character if character.isprintable() else " " for character in text)
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, max(0, width - 1)) + "…"
    return " " * (width - length) + text if right else text + " " * (width - length)
