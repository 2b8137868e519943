"""Which columns a table of runs shows, how wide they are, and what stands in their cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from keras_tricks.runs.columns import DELTA, Column, Viewpoint, column
from keras_tricks.runs.summary import RunSummary
from tui.column_text import change_color, column_text, middle_shortened
from tui.formats import NOTHING
from tui.states import STATE_LOOKS

_BEFORE = ("state", "name", "id", "epoch")
_WIDE = ("val_loss", "images_per_second", "duration", "started")
_NARROW = ("val_loss", "duration")

MARK_WIDTH = 3
"""The cells before the first column, for the marks."""

_WIDE_TABLE = 100
_WIDEST_TABLE = 160
_LEAST_NAME_WIDTH = 12
_WIDTHS = {
    "state": 10,
    "id": 4,
    "epoch": 9,
    "val_accuracy": 8,
    "images_per_second": 7,
    "duration": 7,
    "eta": 7,
    "age": 7,
    "started": 12,
    "model": 14,
    "data": 12,
    "host": 12,
    "parent": 4,
    "ablation": 18,
    "tricks": 28,
    "error": 28,
}


class Shown(NamedTuple):
    """A column of the table and its width in cells."""

    column: Column
    width: int

    @property
    def is_word(self) -> bool:
        """Whether it stands at the left."""
        return self.column.kind == "word"

    def title(self, sort_key: str, descending: bool) -> str:
        """The heading, with an arrow if the table is sorted by it."""
        arrow = ("▼" if descending else "▲") if self.column.key == sort_key else ""
        title = self.column.title
        if len(title) + len(arrow) > self.width:
            title = title[: self.width - len(arrow) - 1] + "…"
        return title + arrow


def shown_columns(chosen: Sequence[str] | None, table_width: int, has_baseline: bool, main: str) -> list[Shown]:
    """Return the columns of a table; the name takes the width that the others leave.

    Args:
        chosen: The columns that the user chose; None for those that fit.
        table_width: The width of the table in cells.
        has_baseline: Whether there is something to show a difference to.
        main: The column that says how good a run is.
    """
    keys = list(dict.fromkeys(chosen or ()))
    if not keys:
        keys = [*_BEFORE, main, *(_WIDE if table_width >= _WIDE_TABLE else _NARROW)]
        if table_width >= _WIDEST_TABLE:
            keys.insert(keys.index("id") + 1, "tricks")
        if has_baseline:
            keys.insert(keys.index(main) + 1, f"{DELTA}{main}")
            if table_width < _WIDE_TABLE:
                keys.remove("val_loss")
    columns = [column(key) for key in keys]
    widths = {one.key: _WIDTHS.get(one.key) or min(16, max(8, len(one.title) + 1)) for one in columns}
    if "name" in widths:
        padding, scrollbar = 2 * len(keys), 1
        rest = table_width - MARK_WIDTH - padding - scrollbar - sum(widths.values()) + widths["name"]
        widths["name"] = max(_LEAST_NAME_WIDTH, rest)
    return [Shown(one, widths[one.key]) for one in columns]


def cell_text(shown: Shown, run: RunSummary, view: Viewpoint) -> str:
    """Return what stands in a cell: for ids the random digits at the end, which tell runs of one recipe apart."""
    if shown.column.key == "state":
        return STATE_LOOKS[run.state].text
    text = column_text(shown.column, run, view)
    if shown.column.key == "name":
        return middle_shortened(text, shown.width)
    return text.rpartition("-")[2] if shown.column.key in ("id", "parent") and text != NOTHING else text


def cell_color(shown: Shown, run: RunSummary, view: Viewpoint) -> str:
    """Return the colour of a cell, a name of the theme's; an empty one for the row's own."""
    if shown.column.key == "state":
        return STATE_LOOKS[run.state].color
    if shown.column.key.startswith(DELTA):
        value = shown.column.value(run, view)
        return change_color(shown.column, value) if isinstance(value, int | float) else ""
    return ""
