"""Run directories: what a trainer writes and everything else reads. Nothing here imports Keras."""

from keras_tricks.runs.foreign import ForeignRun
from keras_tricks.runs.listing import find_run, list_runs, open_run, run_directories
from keras_tricks.runs.new_run import create_run
from keras_tricks.runs.process import (
    LIVE_STATES,
    TRAINER,
    default_root,
    fail,
    kill,
    remove,
    request_stop,
    require_ours,
    spawn,
    start,
    terminate,
    wait,
)
from keras_tricks.runs.records import JsonLines, MetricsHistory
from keras_tricks.runs.run import Run
from keras_tricks.runs.schema import Best, Event, MetricRow, RunError, State, Status
from keras_tricks.runs.storage import StorageError
from keras_tricks.runs.writer import RunWriter

__all__ = [
    "LIVE_STATES",
    "TRAINER",
    "Best",
    "Event",
    "ForeignRun",
    "JsonLines",
    "MetricRow",
    "MetricsHistory",
    "Run",
    "RunError",
    "RunWriter",
    "State",
    "Status",
    "StorageError",
    "create_run",
    "default_root",
    "fail",
    "find_run",
    "kill",
    "list_runs",
    "open_run",
    "remove",
    "request_stop",
    "require_ours",
    "run_directories",
    "spawn",
    "start",
    "terminate",
    "wait",
]
