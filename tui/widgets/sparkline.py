"""Draw the last values of something as a line of bars."""

from __future__ import annotations

import math
from collections.abc import Iterable

_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Iterable[float | None], width: int, most: float) -> str:
    """Return the last `width` values as bars, from 0 to `most`; a value that is not known is a gap."""
    last = list(values)[-width:] if width > 0 else []
    return "".join(_bar(value, most) for value in last).rjust(max(0, width))


def _bar(value: float | None, most: float) -> str:
    if value is None or not math.isfinite(value) or most <= 0:
        return " "
    return _BARS[max(0, min(len(_BARS) - 1, int(value / most * len(_BARS))))]
