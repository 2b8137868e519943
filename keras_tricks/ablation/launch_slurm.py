"""Train the cells of an ablation as an array of SLURM jobs, with submitit."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_tricks.ablation.launch_local import train_cell
from keras_tricks.recipe import RecipeError
from keras_tricks.runs import TRAINER, Run, RunError, request_stop, wait

_DAY_MINUTES = 24 * 60
_CHECKPOINT_S = 60.0
"""How long a trainer has to write its checkpoint when SLURM takes its machine."""


class TrainCell:
    """What a job does: train a run in a process of its own. Where SLURM preempts it, it goes on later.

    Args:
        trainer: The words of the trainer's command, without the directory. Defaults to our own trainer, run by the
            Python of the job.
    """

    def __init__(self, trainer: Sequence[str] | None = None):
        self._trainer = trainer

    def __call__(self, directory: str) -> None:
        """Train the run in a directory."""
        train_cell(Run(directory), self._trainer or TRAINER)

    def checkpoint(self, directory: str) -> Any:
        """Stop the trainer with a checkpoint, and return what is submitted in the place of this job."""
        from submitit.helpers import DelayedSubmission

        run = Run(directory)
        with contextlib.suppress(RunError):
            request_stop(run)
            wait(run, timeout_s=_CHECKPOINT_S)
        return DelayedSubmission(self, directory)


class SlurmJob:
    """A cell that is a job of an array.

    Args:
        job: The job of submitit.
    """

    def __init__(self, job: Any):
        self._job = job

    def has_ended(self) -> bool:
        """Whether the job has ended, well or not; one that was preempted waits again."""
        return self._job.done()

    def cancel(self) -> None:
        """Cancel the job."""
        self._job.cancel(check=False)


class SlurmLauncher:
    """Train cells as an array of SLURM jobs, one each.

    The folder of the runs must be on a file system that all nodes share. A job that is preempted, or that runs out of
    its time, writes a checkpoint and is queued again.

    Args:
        folder: Where submitit keeps its records.
        jobs: How many cells SLURM may train at once. Defaults to None, as many as it has room for.
        replicas: How many GPUs each needs. Defaults to 1.
        parameters: Parameters of submitit's `AutoExecutor`, such as `slurm_partition`, `timeout_min` (a day by
            default), `gpus_per_node` (`replicas` by default), `cpus_per_task`.
        trainer: The words of the trainer's command, without the directory. Defaults to our own trainer.
        cluster: The cluster of submitit: `slurm`, or `local` for processes here. Defaults to `slurm`.

    Raises:
        RecipeError: submitit is not installed, there is no SLURM here, or it has no such parameter.
    """

    def __init__(
        self,
        folder: Path,
        jobs: int | None = None,
        replicas: int = 1,
        parameters: Mapping[str, Any] | None = None,
        trainer: Sequence[str] | None = None,
        cluster: str = "slurm",
    ):
        try:
            submitit = importlib.import_module("submitit")
        except ImportError as error:
            raise RecipeError(
                f"--launcher slurm needs submitit: pip install 'keras-tricks[slurm]' ({error})"
            ) from error
        self._train = TrainCell(trainer)
        try:
            self._executor = submitit.AutoExecutor(folder=str(folder.resolve()), cluster=cluster)
            defaults: dict[str, Any] = {"timeout_min": _DAY_MINUTES, "name": "keras-tricks"}
            if cluster == "slurm":
                # The trainer sees one task, and takes all GPUs of its job.
                defaults |= {"nodes": 1, "tasks_per_node": 1, "gpus_per_node": replicas}
                defaults |= {} if jobs is None else {"slurm_array_parallelism": jobs}
            self._executor.update_parameters(**{**defaults, **(parameters or {})})
        except (RuntimeError, NameError, TypeError, ValueError, AssertionError) as error:
            raise RecipeError(f"submitit refuses: {' '.join(str(error).split())}") from error
        self.places = 1_000_000
        at_once = "as many at once as there is room for" if jobs is None else f"{jobs} at once"
        self.words = f"{at_once}, as jobs of {cluster.upper() if cluster == 'slurm' else cluster}"

    def begin(self, runs: Sequence[Run]) -> list[SlurmJob]:
        """Submit runs as one array."""
        with self._executor.batch():
            jobs = [self._executor.submit(self._train, str(run.directory.resolve())) for run in runs]
        return [SlurmJob(job) for job in jobs]
