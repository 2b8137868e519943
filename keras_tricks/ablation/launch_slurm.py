"""Train the cells of an ablation as an array of SLURM jobs, with submitit."""

from __future__ import annotations

import contextlib
import importlib
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from keras_tricks.ablation.launch_local import train_cell
from keras_tricks.ablation.running import Job
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


class LocalJob:
    """A cell that is a process on this machine which an earlier launcher has begun.

    Args:
        process: The process.
    """

    def __init__(self, process: psutil.Process):
        self._process = process

    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return not self._process.is_running() or self._process.status() == psutil.STATUS_ZOMBIE

    def cancel(self) -> None:
        """Interrupt the process."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._process.send_signal(signal.SIGINT)


class SlurmLauncher:
    """Train cells as an array of SLURM jobs, one each.

    A run whose job waits or works already, as after an `ablate` that was killed, gets no second one: submitit's own
    records say which run a job is of. Where `ablate` is killed between SLURM's answer and the record, the job waits a
    minute for the record, and ends without having touched its run.

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
        self._folder = folder.resolve()
        self._cluster = cluster
        self._submitit = submitit
        try:
            self._executor = submitit.AutoExecutor(folder=str(self._folder), cluster=cluster)
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

    def begin(self, runs: Sequence[Run]) -> list[Job]:
        """Submit runs as one array, but for those that have their job already.

        Raises:
            RunError: SLURM takes none, or the folder cannot be written.
        """
        submitted = self._submitted()
        jobs: dict[str, Job] = {
            run.id: job for run in runs if (job := self._job_at_work(submitted.get(_directory(run)))) is not None
        }
        new = [run for run in runs if run.id not in jobs]
        if not new:
            return [jobs[run.id] for run in runs]
        try:
            with _not_interrupted() if self._cluster == "slurm" else contextlib.nullcontext():
                with self._executor.batch():
                    new_jobs = [self._executor.submit(self._train, _directory(run)) for run in new]
                jobs |= {run.id: SlurmJob(job) for run, job in zip(new, new_jobs, strict=True)}
        except (OSError, self._submitit.core.utils.FailedJobError) as error:
            raise RunError(f"The jobs cannot be submitted: {' '.join(str(error).split())}") from error
        return [jobs[run.id] for run in runs]

    def _submitted(self) -> dict[str, str]:
        """The number of the last job that was submitted for each run, by the run's directory."""
        found: dict[str, str] = {}
        ending = "_submitted.pkl"
        for record in sorted(self._folder.glob(f"*{ending}"), key=lambda path: path.stat().st_mtime):
            [directory] = self._submitit.core.utils.DelayedSubmission.load(record).args
            found[directory] = record.name.removesuffix(ending)
        return found

    def _job_at_work(self, number: str | None) -> Job | None:
        """The job of a number, if it waits or works."""
        if number is None:
            return None
        if self._cluster == "slurm":
            job = self._submitit.SlurmJob(self._folder, number)
            return None if job.done(force_check=True) else SlurmJob(job)
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(int(number))
            # Another process may have got its number.
            if str(self._folder) in " ".join(process.cmdline()):
                return LocalJob(process)
        return None


def _directory(run: Run) -> str:
    return str(run.directory.resolve())


@contextmanager
def _not_interrupted() -> Iterator[None]:
    """Let Ctrl-C wait for a `with` block: it would end the program that submits, and nobody would know of the job."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
