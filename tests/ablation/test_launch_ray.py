"""Cells as tasks of a Ray cluster on this machine."""

import os
import signal

import pytest
from ablated_trainer import COMMAND, FAILS, SUCCEEDS, WAITS_ONCE
from queued_trainer import kill_all_of

from keras_tricks.ablation import variants
from keras_tricks.ablation.grid import Grid
from keras_tricks.ablation.launch_ray import RayLauncher
from keras_tricks.ablation.running import GridRunner
from keras_tricks.presets import presets
from keras_tricks.runs import LIVE_STATES
from keras_tricks.tricks import TRICKS

ray = pytest.importorskip("ray")

pytestmark = pytest.mark.slow

RECIPE = presets()["quickstart"].changed(tricks=(TRICKS["mixup"](),))


class Witness:
    """A witness that sends Ctrl-C once a cell is trained, if so told."""

    def __init__(self, stops=False):
        self.stops = stops

    def begun(self, cell): ...
    def ended(self, cell, status): ...
    def stopping(self, count): ...

    def looked(self, active, waiting):
        if self.stops and any(status.state in LIVE_STATES for _, status in active):
            os.kill(os.getpid(), signal.SIGINT)
            self.stops = False


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def make(cluster, tmp_path):
    """Make the grid of these seeds."""
    yield lambda *seeds: Grid(tmp_path, variants(RECIPE, "stack", seeds), "stack", "quickstart")
    kill_all_of(tmp_path)


def test_cells_are_tasks(make):
    grid = make(SUCCEEDS, FAILS)
    launcher = RayLauncher(jobs=2, trainer=COMMAND)
    assert launcher.words == "2 at once as tasks of Ray, each with 1 processor core"
    assert GridRunner(grid.make_runs(grid.cells()), launcher, Witness()).run()
    assert [cell.state for cell in grid.cells()] == ["finished", "failed"] * 2


def test_a_stop_keeps_the_checkpoint_and_the_next_time_goes_on(make):
    grid = make(WAITS_ONCE)
    cells = grid.make_runs(grid.cells())
    assert not GridRunner(cells, RayLauncher(jobs=1, trainer=COMMAND), Witness(stops=True)).run()
    assert [(cell.state, cell.action) for cell in grid.cells()] == [("stopped", "resume"), ("queued", "train")]
    assert GridRunner(grid.cells()[:1], RayLauncher(trainer=COMMAND), Witness()).run()
    assert grid.cells()[0].state == "finished"
