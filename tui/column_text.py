"""The values of columns as short text, for the lists of runs in the terminal UI and on the command line."""

from __future__ import annotations

import math

from rich.cells import cell_len, set_cell_size

from keras_tricks.runs.columns import DELTA, Column, Viewpoint, sorts_descending
from keras_tricks.runs.schema import is_share
from keras_tricks.runs.summary import RunSummary
from tui.formats import NOTHING, duration, moment, number, share


def column_text(column: Column, run: RunSummary, view: Viewpoint) -> str:
    """Return what a list shows of a run in a column."""
    value = column.value(run, view)
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return value
    if column.key == "epoch":
        return f"{run.status.epoch}/{run.status.epochs}" if run.status.epochs else str(run.status.epoch)
    if column.key == "images_per_second":
        return number(value, 3)
    if column.key.startswith(DELTA):
        return difference(value, column.kind == "share" or _best_is_share(column, run))
    if column.kind == "duration":
        return duration(value)
    if column.kind == "moment":
        return moment(value)
    if isinstance(value, int):
        return str(value)
    if column.key in run.facts.recipe or "." in column.key:
        return f"{value:g}"
    return share(value) if column.kind == "share" or _best_is_share(column, run) else number(value)


def difference(value: float, is_share: bool) -> str:
    """Return a difference with its sign: `+.0123`, `-0.45`."""
    if not math.isfinite(value):
        return number(value)
    sign = "-" if value < 0 else "+"
    return sign + (share(abs(value)) if is_share else number(abs(value)))


def change_color(column: Column, change: float) -> str:
    """Return the colour of a difference, a name of the theme's: better, or worse or NaN; none for no difference."""
    if change == 0:
        return ""
    return "error" if math.isnan(change) or (change > 0) != sorts_descending(column) else "success"


def _best_is_share(column: Column, run: RunSummary) -> bool:
    best = run.status.best
    return column.key.removeprefix(DELTA) == "best" and best is not None and is_share(best.metric)


def middle_shortened(text: str, width: int) -> str:
    """Return a name in at most `width` cells, its middle left out: names of variants differ at their ends."""
    if cell_len(text) <= width:
        return text
    tail = max(0, 2 * (width - 1) // 3)
    head = set_cell_size(text, max(0, width - 1 - tail)).rstrip()
    return head + "…" + set_cell_size(text[::-1], tail)[::-1].lstrip()
