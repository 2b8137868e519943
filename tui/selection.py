"""Selection: the runs that the user marked, and the one that others are compared with."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Selection:
    """The runs that the user marked, and the one that others are compared with; all modes share it.

    Args:
        marked: The marked run directories, in the order in which they were marked.
        baseline: The run that others are compared with, or None.
    """

    marked: list[Path] = field(default_factory=list)
    baseline: Path | None = None

    def toggle(self, directory: Path) -> None:
        """Mark a run, or take its mark away."""
        if directory in self.marked:
            self.marked.remove(directory)
        else:
            self.marked.append(directory)

    def mark(self, directories: Iterable[Path]) -> None:
        """Mark these runs too."""
        self.marked += [directory for directory in directories if directory not in self.marked]

    def unmark_all(self) -> None:
        """Take all marks away."""
        self.marked.clear()

    def set_baseline(self, directory: Path) -> None:
        """Compare others with this run, or with none if it was this one."""
        self.baseline = None if directory == self.baseline else directory

    def keep(self, directories: Collection[Path]) -> None:
        """Leave out the runs that are not among these."""
        self.marked = [directory for directory in self.marked if directory in directories]
        if self.baseline not in directories:
            self.baseline = None

    def forget(self, directory: Path) -> None:
        """Leave out a run that is gone."""
        if directory in self.marked:
            self.marked.remove(directory)
        if directory == self.baseline:
            self.baseline = None
