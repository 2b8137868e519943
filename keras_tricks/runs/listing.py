"""Find runs: our own directories, and those that Keras's own callbacks have written."""

from __future__ import annotations

import os
import re
from pathlib import Path

from keras_tricks.runs import schema
from keras_tricks.runs.foreign import ForeignRun, stamp
from keras_tricks.runs.foreign_files import SIDES, ForeignFiles
from keras_tricks.runs.run import Run, may_be_run
from keras_tricks.runs.schema import RunError

_STAMPED = re.compile(r"\d{8}T\d{6}Z-")


def list_runs(root: str | Path) -> list[Run]:
    """Return the runs under `root`, newest first; an absent `root` holds none.

    A directory that only its owner may look into counts as a run: reading it raises `RunError`.
    """
    return [open_run(path) for path in run_directories(root) if may_be_run(path) or _foreign_files(path)]


def run_directories(root: str | Path) -> list[Path]:
    """Return the folders that may be runs, newest first: those under `root`, and `root` itself if it is one.

    Raises:
        OSError: `root` cannot be read.
    """
    root = Path(root)
    if not root.is_dir():
        return []
    root = root if root.name else root.absolute()
    with os.scandir(root) as entries:
        folders = [root / entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    if (root / schema.RECIPE_FILE).is_file():
        return [root]
    if ForeignFiles.within(root):
        folders = [root, *(path for path in folders if path.name not in SIDES)]
    return sorted(folders, key=_age, reverse=True)


def open_run(directory: str | Path) -> Run:
    """Return the run in `directory`: one of ours, or a `ForeignRun`, which can only be looked at.

    Raises:
        RunError: It is neither.
    """
    directory = Path(directory)
    if not may_be_run(directory) and _foreign_files(directory):
        return ForeignRun(directory)
    return Run(directory)


def find_run(root: str | Path, name: str) -> Run:
    """Return the run that `name` means: a directory, a run's id, a unique part of one, or `last`.

    Raises:
        RunError: No run, or more than one, is meant.
    """
    named = Path(name)
    if (named / schema.RECIPE_FILE).is_file() or _foreign_files(named):
        return open_run(named)
    runs = list_runs(root)
    if name == "last" and runs:
        second = _age(runs[0].directory).partition("-")[0]
        newest = [run for run in runs if _age(run.directory).startswith(second)]
        return max(newest, key=lambda run: run.document().get("created", 0))
    found = [run for run in runs if name == run.id] or [run for run in runs if name in run.id]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join([*(run.id for run in found[:5]), *(["…"] if len(found) > 5 else [])])
        raise RunError(f"{name!r} means {len(found)} runs ({listed}). Give more of the name.")
    raise RunError(f"There is no run {name!r} under {root} ({len(runs)} runs). `keras-tricks runs ls` lists them.")


def _age(directory: Path) -> str:
    """What sorts folders by age: the stamp in a run's name, and what that of another one would be."""
    if _STAMPED.match(directory.name):
        return directory.name
    files = _foreign_files(directory)
    return stamp(directory, files) if files else directory.name


def _foreign_files(directory: Path) -> ForeignFiles:
    try:
        return ForeignFiles.within(directory)
    except OSError:
        return ForeignFiles(None, {})
