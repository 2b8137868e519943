"""A grid that a stand-in trains in real processes: order, failures, shares of the machine, stops and resumption."""

import json
import os
import signal
import threading
import time

import pytest
from ablated_trainer import COMMAND, FAILS, IMPROVES, REFUSES, SUCCEEDS, WAITS_ONCE
from queued_trainer import kill_all_of

from keras_tricks.ablation import variants
from keras_tricks.ablation.grid import Grid
from keras_tricks.ablation.launch_local import THREADS, LocalLauncher, TrainerProcess, device_shares
from keras_tricks.ablation.running import GridRunner
from keras_tricks.presets import presets
from keras_tricks.recipe import RecipeError
from keras_tricks.runs import RunError, spawn
from keras_tricks.tricks import TRICKS

RECIPE = presets()["quickstart"].changed(tricks=(TRICKS["mixup"](),))


class Witness:
    """Note what it is told."""

    def __init__(self):
        self.lines = []
        self.most_at_once = 0

    def begun(self, cell):
        self.lines.append(f"{cell.action} {cell.title}")

    def ended(self, cell, status):
        self.lines.append(f"{status.state} {cell.title}")

    def looked(self, active, waiting):
        self.most_at_once = max(self.most_at_once, len(active))

    def stopping(self, count):
        self.lines.append(f"stopping {count}")


@pytest.fixture
def grid(tmp_path):
    """Make the grid of these seeds."""

    def make(*seeds):
        return Grid(tmp_path, variants(RECIPE, "stack", seeds), "stack", "quickstart")

    yield make
    kill_all_of(tmp_path)


@pytest.fixture
def train():
    """Train a grid; return whether all had their turn, and what was told."""

    def run(grid, jobs=1, trainer=COMMAND):
        told = Witness()
        cells = grid.make_runs(grid.cells())
        return GridRunner(cells, LocalLauncher(jobs, trainer=trainer), told).run(), told

    return run


def states(grid):
    return [cell.state for cell in grid.cells()]


def environment(cell):
    return json.loads((cell.run.directory / "environment.json").read_text())


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "It did not happen."
        time.sleep(0.02)


def test_a_failed_cell_does_not_end_the_grid_and_finished_ones_stay(grid, train):
    cells = grid(SUCCEEDS, FAILS, REFUSES)
    is_whole, told = train(cells)
    assert is_whole and told.most_at_once <= 1
    assert states(cells) == ["finished", "failed", "failed"] * 2
    assert told.lines[:4] == [
        "train baseline, seed 0",
        "finished baseline, seed 0",
        "train baseline, seed 2",
        "failed baseline, seed 2",
    ]
    assert cells.cells()[2].run.status().error == "keras-tricks: nothing works here"
    ended = [cell.run.status().ended for cell in cells.cells()]

    _, told = train(cells)
    assert [line for line in told.lines if "train again" in line] == [
        f"train again {name}, seed {seed}" for name in ("baseline", "+ mixup") for seed in (FAILS, REFUSES)
    ]
    again = [cell.run.status().ended for cell in cells.cells()]
    assert [old == new for old, new in zip(ended, again, strict=True)] == [True, False, False] * 2


def test_several_at_once_share_the_machine(grid, train, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    cells = grid(SUCCEEDS, IMPROVES)
    assert train(cells, jobs=2)[0]
    assert states(cells) == ["finished"] * 4
    threads = str(max(1, len(os.sched_getaffinity(0)) // 2))
    assert [environment(cell)[name] for cell in cells.cells() for name in THREADS] == [threads] * 12


def test_shares(monkeypatch):
    monkeypatch.delenv(THREADS[0], raising=False)
    monkeypatch.setenv(THREADS[1], "3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    shares, words = device_shares(2)
    assert shares[0] == shares[1] and shares[0][THREADS[1]] == "3", "What the user has set stays."
    assert f"{THREADS[1]}=3" in words
    assert device_shares(1) == ([{}], "one at a time, with all devices")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,7,9,11")
    assert device_shares(3)[0] == [{"CUDA_VISIBLE_DEVICES": one} for one in ("4", "5", "7")]
    assert device_shares(2, replicas=2)[0] == [{"CUDA_VISIBLE_DEVICES": two} for two in ("4,5", "7,9")]
    with pytest.raises(RecipeError, match=r"set --jobs to 2 or less.* Received: --jobs 3, 5 GPUs"):
        device_shares(3, replicas=2)


def test_a_signal_stops_with_a_checkpoint_and_the_next_time_goes_on(grid, train):
    cells = grid(WAITS_ONCE, SUCCEEDS)
    first = cells.make_runs(cells.cells())[0].run

    def interrupt():
        until(lambda: first.status().state == "running")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    is_whole, told = train(cells)
    thread.join()
    assert not is_whole
    assert told.lines == [f"train baseline, seed {WAITS_ONCE}", "stopping 1", f"stopped baseline, seed {WAITS_ONCE}"]
    assert states(cells) == ["stopped", "queued", "queued", "queued"]
    assert [cell.action for cell in cells.cells()] == ["resume", "train", "train", "train"]

    GridRunner(cells.cells()[:2], LocalLauncher(trainer=COMMAND), Witness()).run()
    assert states(cells)[:2] == ["finished", "finished"]
    assert environment(cells.cells()[0])["resumes"]


def test_two_signals_kill(grid, train, tmp_path):
    stubborn = tmp_path / "stubborn.py"
    stubborn.write_text(
        "import sys, time\nfrom keras_tricks.runs import RunWriter\n"
        "with RunWriter(sys.argv[1]) as writer:\n    writer.begin(epochs=1, steps=1)\n    time.sleep(600)\n"
    )
    cells = grid(SUCCEEDS)
    first = cells.make_runs(cells.cells())[0].run

    def interrupt():
        until(lambda: first.status().state == "running")
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.5)

    thread = threading.Thread(target=interrupt)
    thread.start()
    is_whole, _ = train(cells, trainer=(COMMAND[0], str(stubborn)))
    thread.join()
    assert not is_whole
    assert states(cells) == ["lost", "queued"]


def test_cells_that_others_train_are_waited_for(grid, train):
    cells = grid(WAITS_ONCE)
    made = cells.make_runs(cells.cells())
    child = spawn(made[0].run, trainer=COMMAND)
    until(lambda: made[0].run.status().state == "running")
    runner = GridRunner(cells.cells()[:1], LocalLauncher(trainer=COMMAND), Witness())

    def stop():
        (made[0].run.directory / "control").mkdir(exist_ok=True)
        time.sleep(0.5)
        (made[0].run.directory / "control" / "stop").touch()

    thread = threading.Thread(target=stop)
    thread.start()
    assert runner.run()
    thread.join()
    child.wait()
    assert states(cells) == ["stopped", "queued"], "Nobody asked us to stop: that cell has had its turn."


def test_a_run_that_another_one_has_finished_is_left_alone(grid, train):
    cells = grid(SUCCEEDS)
    assert train(cells)[0]
    run = cells.cells()[0].run
    assert TrainerProcess(run, COMMAND).has_ended()
    assert run.status().state == "finished"


def test_a_trainer_that_cannot_be_started_is_a_failed_cell(grid, train):
    cells = grid(SUCCEEDS)
    assert train(cells, trainer=("/no/such/program",))[0]
    assert states(cells) == ["failed", "failed"]
    assert "No such file" in cells.cells()[0].run.status().error


def test_a_run_that_is_removed_meanwhile_does_not_end_the_grid(grid, train, monkeypatch):
    cells = grid(SUCCEEDS, IMPROVES)
    made = cells.make_runs(cells.cells())
    for file in made[0].run.directory.iterdir():
        file.unlink()
    made[0].run.directory.rmdir()
    told = Witness()
    with pytest.raises(RunError):
        made[0].run.status()
    assert GridRunner(made, LocalLauncher(trainer=COMMAND), told).run()
    assert told.lines[1] == "lost baseline, seed 0"
    assert [line for line in told.lines if line.startswith("finished")] == [
        "finished baseline, seed 1",
        "finished + mixup, seed 0",
        "finished + mixup, seed 1",
    ]
