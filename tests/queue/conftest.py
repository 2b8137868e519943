"""A queue whose runs a stand-in trains, in real processes."""

import time

import pytest
from queued_trainer import COMMAND, SUCCEEDS, kill_all_of

from keras_tricks.presets import presets
from keras_tricks.queue import RunQueue


@pytest.fixture
def queue(tmp_path):
    """A queue; what still works for it afterwards is killed."""
    yield RunQueue(tmp_path / "runs", COMMAND)
    kill_all_of(tmp_path)


@pytest.fixture
def add(queue):
    """Queue a run that does as told, and return it."""

    def add_run(does=SUCCEEDS, lane="all"):
        return queue.add(presets()["quickstart"].changed(seed=does), lane=lane)

    return add_run


@pytest.fixture
def until():
    """Wait until a condition holds, and fail if it never does."""

    def wait(condition, seconds=60.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "It did not happen."
            time.sleep(0.02)

    return wait
