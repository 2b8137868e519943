"""RunLister: look at all runs again and again, reading only what changed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from keras_tricks.runs import Run, RunError, open_run, run_directories, schema
from keras_tricks.runs.summary import RunFacts, RunSummary, broken, read_facts, summarize

_FILES_OF_A_RUN = (schema.RECIPE_FILE, schema.STATUS_FILE, schema.METRICS_FILE, schema.LOG_FILE)

_Stamp = tuple[object, ...]


@dataclass
class _Known:
    """What is known of a folder; no summary where it is no run."""

    stamp: _Stamp
    run: Run | None = None
    facts: RunFacts | None = None
    summary: RunSummary | None = None


class RunLister:
    """Look at all runs under a folder.

    What is in a run's `recipe.json` is read once. Its status is read when its file has changed; only a live run is
    looked at each time, since a trainer that was killed writes nothing.

    Args:
        root: The folder of run directories.
    """

    def __init__(self, root: Path):
        self.root = root
        self._known: dict[Path, _Known] = {}

    def look(self) -> list[RunSummary]:
        """Return a summary of each run, newest first.

        Raises:
            OSError: The folder cannot be read.
        """
        if self.root.exists() and not self.root.is_dir():
            raise NotADirectoryError(f"{self.root} is not a folder.")
        directories = run_directories(self.root)
        summaries = [self._look_at(directory) for directory in directories]
        here = set(directories)
        self._known = {directory: known for directory, known in self._known.items() if directory in here}
        return [summary for summary in summaries if summary is not None]

    def _look_at(self, directory: Path) -> RunSummary | None:
        try:
            stamp = _stamp(directory)
            known = self._known.get(directory)
            if known is not None and known.stamp == stamp and not (known.summary and known.summary.is_live):
                return known.summary
            known = _Known(stamp) if known is None else _Known(stamp, known.run, known.facts)
            known.summary = _read(directory, known)
        except FileNotFoundError:
            return None
        except (RunError, OSError, ValidationError) as error:
            self._known.pop(directory, None)
            return broken(directory, reason_without_path(error, directory))
        self._known[directory] = known
        return known.summary


def reason_without_path(error: Exception, directory: Path) -> str:
    """Return what is wrong with a run, the long path of its directory shortened to its name."""
    return str(error).replace(f"{directory}/", "").replace(str(directory), directory.name)


def _read(directory: Path, known: _Known) -> RunSummary | None:
    try:
        known.run = known.run or open_run(directory)
    except RunError:
        if any((directory / file).exists() for file in _FILES_OF_A_RUN):
            raise
        return None
    known.facts = known.facts or read_facts(known.run)
    return summarize(known.run, known.facts)


def _stamp(directory: Path) -> _Stamp:
    """What changes when a run's status does: its file or, where there is none, any file in the folder."""
    try:
        facts = os.stat(f"{directory}/{schema.STATUS_FILE}")  # noqa: PTH116 - a Path for each of 1,000 runs is slow
    except FileNotFoundError:
        files = [*directory.iterdir(), *directory.glob("*/*")]
        return tuple((path.name, facts.st_mtime_ns, facts.st_size) for path in files for facts in (path.lstat(),))
    return facts.st_mtime_ns, facts.st_ino, facts.st_size
