"""RunTable: the runs, with cells that change only where a value did."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rich.text import Text
from textual import on
from textual.binding import Binding
from textual.widgets import DataTable

from tui.formats import duration, moment, number, share, shortened
from tui.run_lister import RunRow
from tui.states import STATE_LOOKS

_WIDE = 100


class _Column(NamedTuple):
    """A column: its key, title, width, what it shows and what it is sorted by."""

    key: str
    title: str
    width: int
    text: Callable[[RunRow], str]
    value: Callable[[RunRow], float | str | None]
    is_word: bool = False
    only_wide: bool = False
    only_narrow: bool = False


_COLUMNS = (
    _Column("state", "State", 10, lambda row: STATE_LOOKS[row.state].text, lambda row: row.state, is_word=True),
    _Column("name", "Name", 0, lambda row: row.name, lambda row: row.name, is_word=True),
    _Column("id", "Id", 4, lambda row: _hex(row), lambda row: _hex(row), is_word=True, only_narrow=True),
    _Column("epoch", "Epoch", 9, lambda row: _epochs(row), lambda row: row.epoch if row.epochs else None),
    _Column("val_accuracy", "Val acc", 8, lambda row: share(row.val_accuracy), lambda row: row.val_accuracy),
    _Column("val_loss", "Val loss", 9, lambda row: number(row.val_loss), lambda row: row.val_loss),
    _Column(
        "images_per_second",
        "Img/s",
        7,
        lambda row: number(row.images_per_second, 3),
        lambda row: row.images_per_second,
        only_wide=True,
    ),
    _Column("duration", "Time", 7, lambda row: duration(row.duration_s), lambda row: row.duration_s),
    _Column("started", "Started", 12, lambda row: moment(row.started), lambda row: row.id, only_wide=True),
)
"""The name takes the width that the others leave; a table too narrow for the start shows the end of the id."""


class _Cell(NamedTuple):
    """What a table cell shows, how it looks, and the run that it belongs to."""

    text: str
    style: str
    right: bool
    run_id: str

    def __rich__(self) -> Text:
        return Text(self.text, style=self.style, justify="right" if self.right else "left", no_wrap=True)


class RunTable(DataTable[_Cell]):
    """The runs, one a row."""

    BINDINGS = [
        Binding("home", "go_to_row(0)", "First run", show=False),
        Binding("end", "go_to_row(-1)", "Last run", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(cursor_type="row", zebra_stripes=True, header_height=1, cell_padding=1)
        self._rows: dict[str, RunRow] = {}
        self._cells: dict[str, dict[str, _Cell]] = {}
        self._widths: dict[str, int] = {}
        self._sort_key = "started"
        self._descending = True

    def on_mount(self) -> None:
        """Follow changes of the colours."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self.show(list(self._rows.values())))

    def on_resize(self) -> None:
        """Choose the columns that fit."""
        widths = _column_widths(self.size.width)
        if widths == self._widths:
            return
        chosen = self.chosen()
        rows = list(self._rows.values())
        self.clear(columns=True)
        self._rows.clear()
        self._cells.clear()
        self._widths = widths
        for key, width in widths.items():
            self.add_column(self._title(_column(key)), key=key, width=width)
        self.show(rows)
        if chosen is not None:
            self._go_to(chosen.id)

    def chosen(self) -> RunRow | None:
        """The run under the cursor."""
        if not self.is_valid_row_index(self.cursor_row):
            return None
        key = self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value
        return self._rows.get(key or "")

    def show(self, rows: Sequence[RunRow]) -> None:
        """Show these runs: rows come and go, and cells change, only where there is something new."""
        if not self._widths:
            self._rows = {row.id: row for row in rows}
            return
        chosen = self.chosen()
        new = {row.id: row for row in rows}
        changed = False
        for key in [key for key in self._cells if key not in new]:
            self.remove_row(key)
            del self._cells[key]
            changed = True
        for key, row in new.items():
            cells = self._make_cells(row)
            old = self._cells.get(key)
            self._cells[key] = cells
            if old is None:
                self.add_row(*(cells[column] for column in self._widths), key=key)
                changed = True
                continue
            for column in self._widths:
                if cells[column] != old[column]:
                    self.update_cell(key, column, cells[column])
                    changed = changed or column == self._sort_key
        self._rows = new
        if changed:
            self._sort_rows(chosen)

    def action_go_to_row(self, row: int) -> None:
        """Move the cursor to a row, counted from the end if negative."""
        if self.row_count:
            self.move_cursor(row=row % self.row_count, animate=False)

    def sort_by_next_column(self) -> None:
        """Sort by the column after the one that it is sorted by now."""
        keys = list(self._widths)
        place = keys.index(self._sort_key) if self._sort_key in keys else -1
        self._sort_by(keys[(place + 1) % len(keys)])

    def reverse_order(self) -> None:
        """Turn the order round."""
        self._descending = not self._descending
        self._show_titles()
        self._sort_rows(self.chosen())

    @on(DataTable.HeaderSelected)
    def _header_clicked(self, event: DataTable.HeaderSelected) -> None:
        event.stop()
        if event.column_key.value == self._sort_key:
            self.reverse_order()
        else:
            self._sort_by(event.column_key.value or "started")

    def _sort_by(self, key: str) -> None:
        self._sort_key = key
        self._descending = not _column(key).is_word and key != "val_loss"
        self._show_titles()
        self._sort_rows(self.chosen())

    def _sort_rows(self, chosen: RunRow | None) -> None:
        order = {run_id: place for place, run_id in enumerate(self._ordered())}
        self.sort("state", key=lambda cell: order[cell.run_id])
        if chosen is not None:
            self._go_to(chosen.id)

    def _ordered(self) -> list[str]:
        """The runs in order, those without a value last."""
        column = _column(self._sort_key)
        values = {run_id: column.value(row) for run_id, row in self._rows.items()}
        without = [run_id for run_id, value in values.items() if _is_nothing(value)]
        known: dict[str, Any] = {run_id: value for run_id, value in values.items() if not _is_nothing(value)}
        return [*sorted(known, key=lambda run_id: known[run_id], reverse=self._descending), *without]

    def _go_to(self, key: str) -> None:
        if key in self._rows:
            self.move_cursor(row=self.get_row_index(key), animate=False)

    def _show_titles(self) -> None:
        for key in self._widths:
            self.columns[next(found for found in self.columns if found.value == key)].label = Text(
                self._title(_column(key))
            )
        self.refresh()

    def _title(self, column: _Column) -> str:
        mark = ("▼" if self._descending else "▲") if column.key == self._sort_key else ""
        width = self._widths[column.key]
        title = shortened(column.title, width - len(mark)) + mark
        return title if column.is_word else title.rjust(width)

    def _make_cells(self, row: RunRow) -> dict[str, _Cell]:
        theme = self.app.theme_variables
        cells = {}
        for key, width in self._widths.items():
            column = _column(key)
            style = f"bold {theme[STATE_LOOKS[row.state].color]}" if key == "state" else ""
            cells[key] = _Cell(shortened(column.text(row), width), style, not column.is_word, row.id)
        return cells


def _column_widths(table_width: int) -> dict[str, int]:
    wide = table_width >= _WIDE
    shown = [column for column in _COLUMNS if not (column.only_narrow if wide else column.only_wide)]
    padding_and_scrollbar = 2 * len(shown) + 1
    rest = table_width - padding_and_scrollbar - sum(column.width for column in shown)
    return {column.key: column.width or max(8, rest) for column in shown}


def _column(key: str) -> _Column:
    return next(column for column in _COLUMNS if column.key == key)


def _is_nothing(value: float | str | None) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _hex(row: RunRow) -> str:
    """The random digits at the end of an id, which tell runs of one recipe apart."""
    return row.id.rpartition("-")[2]


def _epochs(row: RunRow) -> str:
    return f"{row.epoch}/{row.epochs}" if row.epochs else "-"
