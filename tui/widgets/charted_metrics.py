"""Which metrics of a run are charted, how each chart looks, and how many stand side by side."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Collection, Iterable, Sequence

from keras_tricks.task_facts import TASKS
from tui.widgets.chart import Line

USUAL = ("loss", "accuracy", "learning_rate", "images_per_second")
"""What is charted unless the user chooses otherwise; of detectors and segmenters their own metric for the accuracy."""

_WATCHED = tuple(task.metric.removeprefix("val_") for task in TASKS.values())

_TITLES = {"images_per_second": "images/s", "steps_per_second": "steps/s", "epoch_seconds": "seconds an epoch"}
_COLORS = {"learning_rate": "accent", "images_per_second": "success", "steps_per_second": "success"}
_LOGARITHMIC = re.compile("loss|error|learning_rate|scale|norm")
_AS_IT_IS = frozenset({"learning_rate", "loss_scale"})
_LEAST_WIDTH, _LEAST_HEIGHT = 32, 7
_BEST_SHAPE = 4.0


def charted(names: Iterable[str]) -> list[str]:
    """Return what there may be a chart of: each metric once, with that of the validation data."""
    return list(dict.fromkeys(name.removeprefix("val_") for name in names))


def usual_metrics(logged: Sequence[str]) -> tuple[str, ...]:
    """Return the usual metrics; others that are logged stand in for those that are not."""
    known = charted(logged)
    watched = next((name for name in reversed(_WATCHED) if name in known), "accuracy")
    usual = tuple(watched if name == "accuracy" else name for name in USUAL)
    others = iter([name for name in known if name not in usual and name != "epoch_seconds"])
    return tuple(name if name in known else next(others, name) for name in usual)


def title(metric: str) -> str:
    """Return a metric's name in words."""
    return _TITLES.get(metric, metric.replace("_", " "))


def lines_of(metric: str, logged: Collection[str]) -> tuple[Line, ...]:
    """Return the curves of a metric: of the training, and of the validation if there is one."""
    color = _COLORS.get(metric, "primary")
    if f"val_{metric}" not in logged:
        return (Line(metric, "", color),)
    return Line(metric, "train", color), Line(f"val_{metric}", "val", "warning", marker="◆")


def is_logarithmic(metric: str) -> bool:
    """Whether a metric's small values matter as much as its large ones."""
    return _LOGARITHMIC.search(metric) is not None


def may_be_smoothed(metric: str) -> bool:
    """Whether a metric has noise at all."""
    return metric not in _AS_IT_IS


def chart_id(metric: str) -> str:
    """Return the id of a metric's chart."""
    plain = re.fullmatch("[A-Za-z0-9_]+", metric)
    return f"chart-{metric.replace('_', '-') if plain else f'{zlib.crc32(metric.encode()):08x}-x'}"


def arrangement(count: int, width: int, height: int) -> tuple[int, int | None]:
    """Return how many of `count` charts stand side by side, and how many cells high each is.

    The height is None where all are seen at once and share the room; else whole rows of them fill the screen.
    """
    candidates = []
    for columns in range(1, count + 1):
        if columns > 1 and width // columns < _LEAST_WIDTH:
            break
        rows = math.ceil(count / columns)
        shown = min(rows, max(1, height // _LEAST_HEIGHT))
        chart_height = max(1, height // shown)
        shape = width / columns / chart_height / _BEST_SHAPE
        empty = columns * rows - count
        candidates.append((rows - shown, abs(math.log(shape)) + 0.25 * empty, columns, chart_height))
    hidden_rows, _, columns, chart_height = min(candidates)
    return columns, chart_height if hidden_rows else None
