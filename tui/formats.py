"""Numbers and times as short text of a known width."""

from __future__ import annotations

import math
from datetime import datetime

from rich.cells import cell_len, set_cell_size

NOTHING = "-"


def duration(seconds: float | None) -> str:
    """Return a time span in its two largest units, in at most 7 characters: `48 s`, `12m 05s`, `3h 20m`."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d {whole % 86400 // 3600:02d}h"


def number(value: float | None, digits: int = 4) -> str:
    """Return a number with about `digits` digits, short enough for a table: `0.9341`, `1842`, `1e-05`, `NaN`."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e6:
        return short_exponent(f"{value:.{max(0, digits - 3)}e}")
    before_point = len(str(int(abs(value))))
    return f"{value:.{max(0, digits - before_point + (abs(value) < 1))}f}"


def short_exponent(text: str) -> str:
    """Return a number in scientific notation without what its exponent can spare: `1e-5` for `1e-05`."""
    return text.replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def share(value: float | None) -> str:
    """Return an accuracy with four decimals and no leading zero: `.9341`."""
    if value is None or not math.isfinite(value):
        return number(value)
    text = f"{value:.4f}"
    return text.removeprefix("0") if 0 <= value < 1 else text


def moment(seconds: float | None) -> str:
    """Return a time since 1970 as local month, day and time: `11-22 05:03`."""
    if seconds is None:
        return NOTHING
    return datetime.fromtimestamp(seconds).astimezone().strftime("%m-%d %H:%M")


def clock_time(seconds: float) -> str:
    """Return a time since 1970 as local time: `05:03:12`."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%H:%M:%S")


def shortened(text: str, width: int) -> str:
    """Return `text` in at most `width` characters, an ellipsis in the place of what is left out."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def fitted(text: str, width: int, right: bool = False) -> str:
    """Return `text` in exactly `width` cells of the terminal, on one line; at the right end if so asked."""
    text = "".join(character if character.isprintable() else " " for character in text)
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, max(0, width - 1)) + "…"
    return " " * (width - length) + text if right else text + " " * (width - length)
