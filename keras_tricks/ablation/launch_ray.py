"""Train the cells of an ablation as tasks of a Ray cluster."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_tricks.ablation.launch_local import THREADS, train_cell
from keras_tricks.recipe import RecipeError
from keras_tricks.runs import TRAINER, Run


class RayJob:
    """A cell that is a task of Ray.

    Args:
        task: What Ray knows it by.
    """

    def __init__(self, task: Any):
        self._task = task

    def has_ended(self) -> bool:
        """Whether the task is done, failed or cancelled."""
        import ray

        ended, _ = ray.wait([self._task], timeout=0)
        return bool(ended)

    def cancel(self) -> None:
        """Take the task back, also where it has begun."""
        import ray

        ray.cancel(self._task, force=True)


class RayLauncher:
    """Train cells as tasks of the Ray cluster of `RAY_ADDRESS`, else of one on this machine, else of a new one here.

    The folder of the runs must be on a file system that all machines of the cluster share, and each must have this
    package. Each cell takes GPUs of its own where the cluster has any, else its share of the processor cores.

    Args:
        jobs: How many cells at once. Defaults to None, as many as the cluster has room for.
        replicas: How many GPUs each needs. Defaults to 1.
        trainer: The words of the trainer's command, without the directory. Defaults to our own trainer.

    Raises:
        RecipeError: Ray is not installed, or the cluster has too few GPUs for a cell.
    """

    def __init__(self, jobs: int | None = None, replicas: int = 1, trainer: Sequence[str] | None = None):
        try:
            ray = importlib.import_module("ray")
        except ImportError as error:
            raise RecipeError(
                f"--launcher ray needs Ray: pip install 'keras-tricks[ray]' (Python below 3.15) ({error})"
            ) from error
        if not ray.is_initialized():
            ray.init(log_to_driver=False)
        resources = ray.cluster_resources()
        gpus, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
        if 0 < gpus < replicas:
            raise RecipeError(f"Each cell needs {replicas} GPUs, and the Ray cluster has {gpus}.")
        room = gpus // replicas if gpus else cores
        self.places = min(jobs or room, max(1, room))
        share = max(1, cores // self.places)
        self.words = f"{self.places} at once as tasks of Ray, each with " + (
            f"{replicas} GPU{'s' * (replicas > 1)}" if gpus else f"{share} processor core{'s' * (share > 1)}"
        )
        environment = {} if gpus else dict.fromkeys(THREADS, str(share))
        options = {"num_cpus": share, "num_gpus": replicas if gpus else 0, "max_retries": 0}
        self._task = ray.remote(**options)(_train)
        self._arguments = None if trainer is None else list(trainer), environment, str(Path.cwd())

    def begin(self, runs: Sequence[Run]) -> list[RayJob]:
        """Hand runs to the cluster."""
        return [RayJob(self._task.remote(str(run.directory.resolve()), *self._arguments)) for run in runs]


def _train(directory: str, trainer: list[str] | None, environment: dict[str, str], folder: str) -> None:
    """Train a run as a task, in the same working directory where the machine has it."""
    if Path(folder).is_dir():
        os.chdir(folder)
    train_cell(Run(directory), trainer or TRAINER, environment)
