"""Train the cells of an ablation as processes on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

from keras_tricks.cluster.launch_local import gpu_shares
from keras_tricks.recipe import RecipeError
from keras_tricks.runs import LIVE_STATES, TRAINER, Run, RunError, fail, spawn
from keras_tricks.runs.schema import TERMINAL_STATES

THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
"""The variables that say how many threads TensorFlow and the libraries below it take."""

_LINGERING_S = 60.0
_VISIBLE = "CUDA_VISIBLE_DEVICES"


class TrainerProcess:
    """A trainer as a child process of this one.

    One that cannot be started, or gives up before it can write why, is noted in its run as failed.

    Args:
        run: The run to train, or to go on with.
        trainer: The words of the trainer's command, without the directory. Defaults to our own trainer.
        environment: Variables for the trainer besides those of this process. Defaults to none.
    """

    def __init__(self, run: Run, trainer: Sequence[str] = TRAINER, environment: Mapping[str, str] | None = None):
        self.run = run
        self._child: subprocess.Popen[bytes] | None = None
        try:
            self._child = spawn(run, resume=True, trainer=trainer, environment=environment)
        except RunError as error:
            # Another process may have been faster.
            with contextlib.suppress(RunError):
                if run.status().state not in LIVE_STATES | {"finished"}:
                    fail(run, str(error))

    def has_ended(self) -> bool:
        """Whether the process has ended; one that lingers a minute after its last word is killed."""
        if self._child is None:
            return True
        code = self._child.poll()
        if code is None:
            self._end_leftover(self._child)
            return False
        with contextlib.suppress(RunError):
            if code >= 0 and self.run.status().state in ("lost", "queued"):
                words = self.run.log_tail(1)
                fail(self.run, words[0] if words else f"Its process ended with code {code} and said nothing.")
        self._child = None
        return True

    def cancel(self) -> None:
        """Kill the process."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)

    def _end_leftover(self, child: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(RunError, ProcessLookupError):
            status = self.run.status()
            if status.state in TERMINAL_STATES and time.time() - (status.ended or 0.0) > _LINGERING_S:
                os.killpg(child.pid, signal.SIGKILL)


class LocalLauncher:
    """Train so many cells at once on this machine, each with its share of the devices.

    Several at once get GPUs of their own where there are any, else an equal share of the processor's threads. One at a
    time has all of the machine.

    Args:
        jobs: How many at once.
        replicas: How many GPUs each needs. Defaults to 1.
        trainer: The words of the trainer's command, without the directory. Defaults to our own trainer.

    Raises:
        RecipeError: There are GPUs, and too few for so many.
    """

    def __init__(self, jobs: int = 1, replicas: int = 1, trainer: Sequence[str] = TRAINER):
        self.places = jobs
        self._trainer = trainer
        self.shares, self.words = device_shares(jobs, replicas)
        self._taken: dict[int, TrainerProcess] = {}

    def begin(self, runs: Sequence[Run]) -> list[TrainerProcess]:
        """Start the trainers of runs, no more than there are free places for."""
        return [self._begin(run) for run in runs]

    def _begin(self, run: Run) -> TrainerProcess:
        place = next(place for place in range(self.places) if self._is_free(place))
        self._taken[place] = TrainerProcess(run, self._trainer, self.shares[place])
        return self._taken[place]

    def _is_free(self, place: int) -> bool:
        return place not in self._taken or self._taken[place].has_ended()


def device_shares(jobs: int, replicas: int = 1) -> tuple[list[dict[str, str]], str]:
    """Return the variables that give each of several trainers its devices, and what they do in words.

    Args:
        jobs: How many trainers there are at once.
        replicas: How many GPUs each needs. Defaults to 1.

    Raises:
        RecipeError: There are GPUs, and too few for so many.
    """
    if jobs == 1:
        return [{}], "one at a time, with all devices"
    visible = gpu_shares(1)[0].get(_VISIBLE)
    if visible is None:
        threads = max(1, len(os.sched_getaffinity(0)) // jobs)
        share = {name: os.environ.get(name, str(threads)) for name in THREADS}
        told = " ".join(f"{name}={value}" for name, value in share.items())
        return [share] * jobs, f"{jobs} at once, each with {told}"
    gpus = visible.split(",")
    if jobs * replicas > len(gpus):
        raise RecipeError(
            f"Each job needs {replicas} GPU{'s' * (replicas > 1)} of its own: set --jobs to {len(gpus) // replicas} or "
            f"less, or train on the processor with {_VISIBLE}=-1. Received: --jobs {jobs}, {len(gpus)} GPUs"
        )
    shares = [{_VISIBLE: ",".join(gpus[job * replicas : (job + 1) * replicas])} for job in range(jobs)]
    return shares, f"{jobs} at once, with {_VISIBLE}=" + " and ".join(share[_VISIBLE] for share in shares)


def train_cell(run: Run, trainer: Sequence[str] = TRAINER, environment: Mapping[str, str] | None = None) -> None:
    """Train a run in a process of its own and wait for its end, on a machine that a cluster has given us."""
    process = TrainerProcess(run, trainer, environment)
    while not process.has_ended():
        time.sleep(0.2)
    while run.status().state in LIVE_STATES:
        time.sleep(0.2)
