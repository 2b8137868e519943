"""The options that start several workers, and how such a training is shown."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_tricks.cli.news import News
from keras_tricks.cli.options import console, quiet_import, say
from keras_tricks.cluster import find_workers
from keras_tricks.recipe import RecipeError
from keras_tricks.runs import Run


class Launcher(StrEnum):
    """What can start several workers."""

    LOCAL = "local"
    RAY = "ray"


LauncherName = Annotated[
    Launcher | None,
    typer.Option(
        help="Train with several processes: `local`, on this machine; `ray`, on a Ray cluster. Not needed where "
        "TF_CONFIG or SLURM's srun says who the workers are.",
        show_default=False,
    ),
]
WorkerCount = Annotated[
    int | None, typer.Option("--workers", min=1, help="How many processes to launch.", show_default=False)
]


def check_launcher(launcher: Launcher | None, workers: int | None, detach: bool) -> None:
    """Refuse options that do not go together.

    Raises:
        RecipeError: One of `--launcher` and `--workers` is missing, or both are of no use.
    """
    if launcher is None and workers is None:
        if detach and find_workers().count > 1:
            raise RecipeError(
                "--detach starts one process, and the environment names several workers. Leave --detach out, or unset "
                "TF_CONFIG."
            )
        return
    if launcher is None:
        raise RecipeError(
            f"Add --launcher local or --launcher ray, which start the workers. Received: --workers {workers}"
        )
    if workers is None:
        raise RecipeError(f"Add --workers, how many to start. Received: --launcher {launcher}")
    if detach:
        raise RecipeError(
            "--launcher stays with its workers: leave --detach out, and start it under nohup or tmux to let it outlive "
            "this terminal."
        )
    if find_workers().count > 1:
        raise RecipeError(
            f"TF_CONFIG or SLURM's srun has started the workers already: leave --launcher {launcher} out, or unset "
            "TF_CONFIG."
        )


def launch(directory: Path, launcher: Launcher, workers: int) -> None:
    """Train in a run directory with several workers, and exit with the code of the training."""
    if launcher == Launcher.LOCAL:
        from keras_tricks.cluster.launch_local import launch_local

        code = launch_local(directory, workers)
    else:
        from keras_tricks.cluster.launch_ray import launch_ray, require_ray

        with quiet_import():
            require_ray()
        code = launch_ray(directory, workers, News(Run(directory), from_now=True).print)
        _print_end(directory)
    if code:
        raise typer.Exit(code)


def print_result(directory: Path, result: dict[str, Any]) -> None:
    """Print the last metrics of a finished run."""
    metrics = result["metrics"]
    watched = result["best"]["metric"] if result["best"] else "val_accuracy"
    shown = [f"{name} {metrics[name]:.4f}" for name in (watched, "val_loss") if name in metrics]
    if result["best"]:
        shown.append(f"best {result['best']['value']:.4f} in epoch {result['best']['epoch']}")
    shown.append(f"{result['seconds_of_last_attempt']:.0f} s")
    out = console()
    out.print("  ".join(shown), markup=False)
    out.print(
        f"keras-tricks evaluate {directory.name}    model and curves are in {directory}",
        markup=False,
    )


def _print_end(directory: Path) -> None:
    """Say how a run ended whose chief has no terminal of its own."""
    run = Run(directory)
    status, result = run.status(), run.result()
    if status.state == "finished" and result is not None:
        print_result(directory, result)
    elif status.state == "stopped":
        say(f"{directory.name} is stopped. `keras-tricks runs resume {directory.name}` goes on.")
    else:
        say(f"the run failed: {status.error} The log is {directory / 'train.log'}")
