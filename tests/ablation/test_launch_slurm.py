"""Cells as jobs of submitit, by its local executor: results, failures, a stop, and a preempted job that goes on."""

import signal
import time

import psutil
import pytest
from ablated_trainer import COMMAND, FAILS, SUCCEEDS, WAITS_ONCE
from queued_trainer import kill_all_of

from keras_tricks.ablation import variants
from keras_tricks.ablation.grid import Grid
from keras_tricks.ablation.launch_slurm import SlurmLauncher
from keras_tricks.ablation.running import GridRunner
from keras_tricks.presets import presets
from keras_tricks.recipe import RecipeError
from keras_tricks.tricks import TRICKS

pytest.importorskip("submitit")

RECIPE = presets()["quickstart"].changed(tricks=(TRICKS["mixup"](),))


class Silent:
    """A witness that tells nobody."""

    def begun(self, cell): ...
    def ended(self, cell, status): ...
    def looked(self, active, waiting): ...
    def stopping(self, count): ...


@pytest.fixture
def make(tmp_path):
    """Make a grid of these seeds and the launcher of its cells."""

    def grid_and_launcher(*seeds):
        grid = Grid(tmp_path / "runs", variants(RECIPE, "stack", seeds), "stack", "quickstart")
        return grid, SlurmLauncher(grid.folder / "slurm", trainer=COMMAND, cluster="local")

    yield grid_and_launcher
    kill_all_of(tmp_path)


def test_cells_are_jobs(make):
    grid, launcher = make(SUCCEEDS, FAILS)
    assert GridRunner(grid.make_runs(grid.cells()), launcher, Silent()).run()
    assert [cell.state for cell in grid.cells()] == ["finished", "failed"] * 2


def test_a_preempted_job_writes_a_checkpoint_and_goes_on(make):
    grid, launcher = make(WAITS_ONCE)
    cell = grid.make_runs(grid.cells())[0]
    (job,) = launcher.begin([cell.run])
    deadline = time.monotonic() + 60
    while cell.run.status().state != "running":
        assert time.monotonic() < deadline, "It did not begin."
        time.sleep(0.05)
    # As SLURM does before it takes the machine; the process of the job itself only watches this one.
    psutil.Process(job._job._process.pid).children()[0].send_signal(signal.SIGUSR2)
    while not job.has_ended():
        assert time.monotonic() < deadline, "It did not end."
        time.sleep(0.05)
    status = cell.run.status()
    assert (status.state, status.attempt) == ("finished", 2)


def test_bad_parameters(tmp_path):
    with pytest.raises(RecipeError, match="submitit refuses"):
        SlurmLauncher(tmp_path, parameters={"no_such_parameter": 1}, cluster="local")


def test_without_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RecipeError, match="srun"):
        SlurmLauncher(tmp_path)


def test_what_is_submitted_to_slurm(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, says in (("srun", ""), ("sacct", ""), ("sbatch", "Submitted batch job 4711")):
        (folder / name).write_text(f'#!/bin/sh\necho "{says}"\ntest {name} != sbatch || cp "$1" {tmp_path}/submitted\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    grid = Grid(tmp_path / "runs", variants(RECIPE, "stack", (0, 1)), "stack", "quickstart")
    launcher = SlurmLauncher(tmp_path / "slurm", jobs=3, replicas=2, parameters={"slurm_partition": "gpu"})
    jobs = launcher.begin([cell.run for cell in grid.make_runs(grid.cells())])
    assert len(jobs) == 4 and launcher.words == "3 at once, as jobs of SLURM"
    submitted = (tmp_path / "submitted").read_text()
    for line in (
        "--array=0-3%3",
        "--gpus-per-node=2",
        "--nodes=1",
        "--ntasks-per-node=1",
        "--partition=gpu",
        "--time=1440",
    ):
        assert f"#SBATCH {line}\n" in submitted
