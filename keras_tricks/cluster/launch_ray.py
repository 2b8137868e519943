"""Start the workers of a training on a Ray cluster, with Ray Train."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from keras_tricks.cluster.workers import find_workers
from keras_tricks.recipe import Recipe, RecipeError
from keras_tricks.runs import LIVE_STATES, Run, RunError, request_stop

_GRACE_S = 5.0
"""Ray keeps the process of a worker that has failed: nothing but the link tells the others."""

_RECORDS = "ray"


def launch_ray(directory: Path, count: int, show: Callable[[], None] = lambda: None) -> int:
    """Train in a run directory with `count` workers of a Ray cluster, and return the exit code of the training.

    The cluster is the one of `RAY_ADDRESS`, else one that runs on this machine, else a new one here. Each worker takes
    a processor core, or a GPU where the cluster has enough. On several machines the run directory must be on a file
    system that they share, and each must have this package. Ctrl-C and SIGTERM stop the run with a checkpoint, a second
    one at once.

    Args:
        directory: The run directory.
        count: How many workers.
        show: Called twice a second, to show what is new in the run directory. Nothing is shown by default: what workers
            print goes to Ray's own logs.

    Raises:
        RecipeError: Ray is not installed.
        RunError: The training ended before the run could say why.
    """
    require_ray()
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.tensorflow import TensorflowTrainer

    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    directory = directory.resolve()
    trainer = TensorflowTrainer(
        train_worker,
        train_loop_config={"directory": str(directory)},
        scaling_config=ScalingConfig(num_workers=count, use_gpu=ray.cluster_resources().get("GPU", 0) >= count),
        run_config=RunConfig(name=_RECORDS, storage_path=str(directory)),
    )
    error = _fit(trainer, Run(directory), show)
    show()
    # Ray's own records, which nothing of ours reads.
    shutil.rmtree(directory / _RECORDS, ignore_errors=True)
    status = Run(directory).status()
    if status.state not in LIVE_STATES | {"queued", "lost"}:
        return {"finished": 0, "stopped": 130}.get(status.state, 1)
    raise RunError(f"The training ended without a word in {directory}: {error or 'no error'}") from error


def require_ray() -> None:
    """Import Ray Train.

    Raises:
        RecipeError: It is not installed.
    """
    try:
        importlib.import_module("ray.train.tensorflow")
    except ImportError as error:
        raise RecipeError(f"--launcher ray needs Ray Train: pip install 'keras-tricks[ray]' ({error})") from error


def train_worker(config: dict[str, Any]) -> None:
    """Train as one of the workers, for each of which Ray has set `TF_CONFIG`.

    Args:
        config: The run directory under `"directory"`.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    from keras_tricks import train
    from keras_tricks.callbacks import StopRequested
    from keras_tricks.cluster.link import WorkerStoppedError
    from keras_tricks.distribute.multi_worker import join

    workers = find_workers()
    directory = Path(config["directory"])
    try:
        with join(workers, grace_s=_GRACE_S) as team:
            if not workers.is_chief:
                try:
                    train.follow(team)
                except Exception:
                    # Ray ends all workers when one fails: the chief first says in the run what it was.
                    team.link.wait_for_end(2 * _GRACE_S)
                    raise
                return
            recipe = Recipe.from_document(Run(directory).recipe(), str(directory))
            train.run(recipe, directory, team=team)
    except (StopRequested, WorkerStoppedError):
        # The run says so; for Ray it is no failure.
        return


def _fit(trainer: Any, run: Run, show: Callable[[], None]) -> BaseException | None:
    """Run Ray's trainer, let signals stop the run, and return how it failed."""
    errors: list[BaseException] = []
    asked = threading.Event()

    def fit() -> None:
        try:
            trainer.fit()
        except BaseException as error:
            errors.append(error)

    def stop(number: int, frame: FrameType | None) -> None:
        if asked.is_set() or run.status().state not in LIVE_STATES:
            raise KeyboardInterrupt
        asked.set()
        request_stop(run)

    # In a thread: in the main thread Ray takes Ctrl-C for itself and kills the workers.
    thread = threading.Thread(target=fit, name="ray-train", daemon=True)
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        thread.start()
        while thread.is_alive():
            thread.join(0.5)
            show()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return errors[0] if errors else None
