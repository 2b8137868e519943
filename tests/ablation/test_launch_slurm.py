"""Cells as jobs of submitit, by its local executor: results, failures, a stop, and a preempted job that goes on."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

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
from keras_tricks.runs import RunError
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


LAUNCH = """
import contextlib, os, signal, sys
import submitit
batch = submitit.AutoExecutor.batch
@contextlib.contextmanager
def killed_after_it(executor):
    with batch(executor):
        yield
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[3] == "as soon as they are submitted":
    submitit.AutoExecutor.batch = killed_after_it
from test_launch_slurm import Grid, GridRunner, RECIPE, Silent, pending, variants
grid = Grid(sys.argv[1], variants(RECIPE, "stack", (0,)), "stack", "quickstart")
GridRunner(grid.make_runs(grid.cells()), pending(grid, sys.argv[2]), Silent()).run()
"""


def pending(grid, gate):
    """A launcher whose jobs wait, as those of a full cluster, until there is a file."""
    waits = {"local_setup": [f"until test -e {gate}; do sleep 0.1; done"]}
    return SlurmLauncher(grid.folder / "slurm", parameters=waits, trainer=COMMAND, cluster="local")


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "It did not happen."
        time.sleep(0.05)


@pytest.mark.parametrize("when", ["as soon as they are submitted", "later"])
def test_jobs_that_wait_when_their_ablate_is_killed_are_not_submitted_again(tmp_path, when):
    root, gate = tmp_path / "runs", tmp_path / "gate"
    folder = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{folder.parent}"}
    command = [sys.executable, "-c", LAUNCH, root, gate, when]
    killed = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        grid = Grid(root, variants(RECIPE, "stack", (0,)), "stack", "quickstart")
        until(lambda: len(list(grid.folder.glob("slurm/*submitted.pkl"))) == 2)
        if when == "later":
            killed.kill()
        assert killed.wait(60) == -signal.SIGKILL
        assert [cell.action for cell in grid.cells()] == ["train", "train"]
        jobs = set(grid.folder.glob("slurm/*submitted.pkl"))
        threading.Timer(1.0, gate.touch).start()
        assert GridRunner(grid.make_runs(grid.cells()), pending(grid, gate), Silent()).run()
        assert set(grid.folder.glob("slurm/*submitted.pkl")) == jobs
        assert [cell.state for cell in grid.cells()] == ["finished", "finished"]
        # What has ended is submitted anew.
        (job,) = pending(grid, gate).begin([grid.cells()[0].run])
        assert len(list(grid.folder.glob("slurm/*submitted.pkl"))) == 3
        until(job.has_ended)
    finally:
        kill_all_of(tmp_path)


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
    submitted = tmp_path / "submitted"
    programs = {
        "srun": "",
        "sacct": "",
        # Ctrl-C in a terminal reaches the programs that submit, too.
        "sbatch": f"import os, shutil, sys\nos.kill(os.getpid(), 2)\nshutil.copy(sys.argv[1], {str(submitted)!r})\n"
        "print('Submitted batch job 4711')\n",
    }
    for name, program in programs.items():
        (folder / name).write_text(f"#!{sys.executable}\n{program}")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    grid = Grid(tmp_path / "runs", variants(RECIPE, "stack", (0, 1)), "stack", "quickstart")
    launcher = SlurmLauncher(tmp_path / "slurm", jobs=3, replicas=2, parameters={"slurm_partition": "gpu"})
    jobs = launcher.begin([cell.run for cell in grid.make_runs(grid.cells())])
    assert len(jobs) == 4 and launcher.words == "3 at once, as jobs of SLURM"
    words = submitted.read_text()
    submitted.unlink()
    again = SlurmLauncher(tmp_path / "slurm").begin([cell.run for cell in grid.cells()])
    assert len(again) == 4 and not submitted.exists(), "Nobody says that they have ended."
    (folder / "sbatch").write_text("#!/bin/sh\necho no such partition >&2; exit 1\n")
    other = Grid(tmp_path / "others", variants(RECIPE, "stack", (0,)), "stack", "quickstart")
    with pytest.raises(RunError, match=r"cannot be submitted: .*no such partition"):
        launcher.begin([cell.run for cell in other.make_runs(other.cells())])
    for line in (
        "--array=0-3%3",
        "--gpus-per-node=2",
        "--nodes=1",
        "--ntasks-per-node=1",
        "--partition=gpu",
        "--time=1440",
    ):
        assert f"#SBATCH {line}\n" in words
