"""The terminal UI: set runs up, start them, and watch them. It imports neither Keras nor TensorFlow."""

from __future__ import annotations

from pathlib import Path

__all__ = ["run"]


def run(runs_root: str | Path, refresh_s: float | None = None) -> None:
    """Open the terminal UI on the runs under `runs_root`, until the user quits.

    Runs that it started go on after that.

    Args:
        runs_root: The folder of run directories; it need not exist yet.
        refresh_s: Seconds between two looks at the runs. Defaults to the user's preference, else to one, or two over
            SSH.

    Raises:
        keras_tricks.RecipeError: A recipe of the package cannot be read.
    """
    from tui.app import KerasTricksApp

    KerasTricksApp(Path(runs_root), refresh_s=refresh_s).run()
