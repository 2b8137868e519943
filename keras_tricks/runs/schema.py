"""What stands in a run directory: file names, states, and the shape of each record."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1

RECIPE_FILE = "recipe.json"
STATUS_FILE = "status.json"
METRICS_FILE = "metrics.jsonl"
CLIPPING_FILE = "clipping.jsonl"
EVENTS_FILE = "events.jsonl"
LOG_FILE = "train.log"
LOCK_FILE = "alive.lock"
RESERVE_FILE = ".reserve"
STOP_FILE = "control/stop"
RESULT_FILE = "result.json"
MODEL_FILE = "model.keras"
PREDICTIONS_FILE = "predictions.npz"
CHECKPOINTS = "checkpoints"
PLOTS = "plots"
PICTURES = "pictures"

State = Literal["queued", "starting", "running", "stopped", "finished", "failed", "lost", "quiet"]
TERMINAL_STATES: frozenset[str] = frozenset({"stopped", "finished", "failed"})

_METRIC_KEYS = frozenset({"values", "last", "best", "metrics"})
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class RunError(Exception):
    """A run directory cannot be used; the message says why and what to do."""


class _Record(BaseModel):
    """A record that other versions may have given more keys than are known here."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Best(_Record):
    """The best value of the watched metric so far."""

    metric: str
    value: float
    epoch: int


def best_of(best: Best | None, metric: str, value: float | None, epoch: int) -> Best | None:
    """Return the better of the best value so far and a new one.

    Args:
        best: The best so far, or None.
        metric: Name of the watched metric; one with `loss` or `error` in its name is better when smaller.
        value: Its new value; None or NaN if there is none.
        epoch: The epoch that ended with the new value, counted from 1.
    """
    if value is None or math.isnan(value):
        return best
    smaller_is_better = any(word in metric for word in ("loss", "error"))
    if best is None or (value < best.value if smaller_is_better else value > best.value):
        return Best(metric=metric, value=value, epoch=epoch)
    return best


def is_share(metric: str) -> bool:
    """Return whether a metric is a share, which people read as a percentage: an accuracy, an IoU or a precision."""
    return re.search(r"accuracy|iou$|map\d*$", metric) is not None


class Status(_Record):
    """The content of `status.json`.

    `step` counts optimizer steps done, `epoch` counts finished epochs; both go on over the attempts of one run.
    Times are seconds since 1970; `pid_ticks` is the start of the process in clock ticks since its machine booted, which
    no change of the clock moves.
    """

    schema_version: int = SCHEMA_VERSION
    state: State = "queued"
    attempt: int = 0
    pid: int | None = None
    pid_created: float | None = None
    pid_ticks: int | None = None
    host: str = ""
    heartbeat: float = 0.0
    started: float | None = None
    ended: float | None = None
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    images_per_second: float | None = None
    eta_s: float | None = None
    backend: str | None = None
    best: Best | None = None
    last: dict[str, float] = Field(default_factory=dict)
    error: str | None = None


class MetricRow(NamedTuple):
    """One line of `metrics.jsonl`.

    Kinds: `step` (running means of the epoch in progress), `epoch` (its final values, validation included), and
    `attempt`, which says from which step an attempt goes on: rows of older attempts beyond it no longer count.
    """

    kind: str
    t: float
    attempt: int
    epoch: int
    step: int
    values: dict[str, float]

    @classmethod
    def of(cls, record: dict[str, Any]) -> MetricRow:
        """Return the row that a line says; keys that are not known here are passed over.

        Raises:
            ValueError: A value is missing, or of another type.
            RunError: A newer keras-tricks wrote it.
        """
        if "schema_version" in record:
            check_schema(record, "a row of metrics")
        try:
            kind, t, attempt = record["kind"], record["t"], record["attempt"]
            epoch, step, values = record["epoch"], record["step"], record.get("values", {})
        except KeyError as error:
            raise ValueError(f"Expected a row of metrics. Received: no {error}") from error
        # By hand, and each value as it is where its type is right: 100,000 rows take pydantic three times as long.
        return cls(
            kind if type(kind) is str else _typed(kind, str),
            t if type(t) is float else _number(t),
            attempt if type(attempt) is int else _whole(attempt),
            epoch if type(epoch) is int else _whole(epoch),
            step if type(step) is int else _whole(step),
            _numbers(values if type(values) is dict else _typed(values, dict)),
        )


class Event(_Record):
    """One line of `events.jsonl`: a checkpoint, a warning, a resume, a stop."""

    kind: str
    t: float
    attempt: int
    step: int
    message: str


def encode(document: Any) -> str:
    """Return `document` as one line of JSON, with NaN and infinities as strings."""
    return json.dumps(without_nan(document), allow_nan=False, separators=(",", ":"))


def decode(text: str | bytes) -> Any:
    """Return what `encode` wrote, with NaN and infinities as floats again where metrics stand."""
    return _decode_numbers(json.loads(text), is_metric=False)


def check_schema(document: dict[str, Any], what: str) -> None:
    """Raise `RunError` where `document` was written by a newer major schema than this one."""
    version = document.get("schema_version", 1)
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise RunError(
            f"{what} has schema version {version}, and this keras-tricks reads up to {SCHEMA_VERSION}. "
            "Upgrade keras-tricks to open it."
        )


def without_nan(value: Any) -> Any:
    """Return a document with NaN and infinities as strings, which JSON has no numbers for."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return value


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"Expected a {kind.__name__}. Received: {value!r}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"Expected a number. Received: {value!r}")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"Expected a number. Received: {value!r}") from error


def _whole(value: Any) -> int:
    if not _number(value).is_integer():
        raise ValueError(f"Expected a whole number. Received: {value!r}")
    return int(value)


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    for value in values.values():
        if type(value) is not float:
            return {name: _number(number) for name, number in values.items()}
    return values


def _decode_numbers(value: Any, is_metric: bool) -> Any:
    if isinstance(value, str):
        return _NOT_FINITE.get(value, value) if is_metric else value
    if isinstance(value, dict):
        return {key: _decode_numbers(item, is_metric or key in _METRIC_KEYS) for key, item in value.items()}
    if isinstance(value, list):
        return [_decode_numbers(item, is_metric) for item in value]
    return value
