"""Show how an ablation goes: a line a cell, live ones at the bottom of a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from keras_tricks.ablation.grid import Cell
from keras_tricks.cli.options import console, say
from keras_tricks.runs import Status
from tui.formats import duration

_MOST_LIVE = 12
_REDRAW_S = 0.5


@contextmanager
def witness(count: int, places: int) -> Iterator[PlainWitness]:
    """Return what shows the progress of so many cells, of which so many are trained at once, for a `with` block."""
    if not sys.stdout.isatty():
        yield PlainWitness(console())
        return
    with Live(console=console(), auto_refresh=False, transient=True) as live:
        yield LiveWitness(live, count, places)


class PlainWitness:
    """Print a line where a cell begins and one where it ends.

    Args:
        out: The console.
    """

    def __init__(self, out: Console):
        self._out = out

    def begun(self, cell: Cell) -> None:
        """Print that a cell begins."""
        how = {"resume": "goes on", "train again": "begins again"}.get(cell.action, "begins")
        self._print(f"{cell.title}: {how} in {cell.run.id if cell.run else ''}")

    def ended(self, cell: Cell, status: Status) -> None:
        """Print how a cell ended."""
        self._print(f"{cell.title}: {end_words(status)}")

    def looked(self, active: Sequence[tuple[Cell, Status]], waiting: int) -> None:
        """Print nothing: lines off a terminal stay."""

    def stopping(self, count: int) -> None:
        """Say that cells are asked to stop."""
        say(f"stopping {count} cell{'s' * (count != 1)} with a checkpoint; Ctrl-C again kills")

    def _print(self, line: str) -> None:
        self._out.print(line, markup=False)


class LiveWitness(PlainWitness):
    """Print a line for each cell that ends, and keep one for each that is trained below these.

    Args:
        live: The lines at the bottom.
        count: How many cells there are.
        places: How many are trained at once.
    """

    def __init__(self, live: Live, count: int, places: int):
        super().__init__(live.console)
        self._live = live
        self._count = count
        self._places = places
        self._times: list[float] = []
        self._begun_at: dict[str, float] = {}
        self._next = 0.0

    def begun(self, cell: Cell) -> None:
        """Note when a cell begins; its line appears below."""
        self._begun_at[cell.title] = time.monotonic()

    def ended(self, cell: Cell, status: Status) -> None:
        """Print how a cell ended, and note how long it took."""
        begun = self._begun_at.get(cell.title)
        if begun is not None and status.state == "finished":
            self._times.append(time.monotonic() - begun)
        super().ended(cell, status)

    def looked(self, active: Sequence[tuple[Cell, Status]], waiting: int) -> None:
        """Redraw the lines at the bottom, twice a second."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _REDRAW_S
        lines = [Text(f"● {cell.title}  {progress_words(status)}") for cell, status in active[:_MOST_LIVE]]
        done = self._count - len(active) - waiting
        summary = f"{done} of {self._count} done, {waiting} waiting"
        if self._times and waiting:
            left = waiting * sum(self._times) / len(self._times) / max(1, min(self._places, len(active)))
            summary += f", about {duration(left)} for these"
        self._live.update(Group(*lines, Text(summary, "dim")), refresh=True)


def end_words(status: Status) -> str:
    """Return how a cell ended, in words."""
    words = str(status.state)
    if status.error:
        words += f": {status.error}"
    metric = "val_accuracy" if status.best is None else status.best.metric
    value = status.last.get(metric)
    return words if value is None else f"{words}, {metric} {value:.4f}"


def progress_words(status: Status) -> str:
    """Return how far a cell is, in words."""
    words = [str(status.state)]
    if status.epochs:
        words.append(f"epoch {min(status.epoch + 1, status.epochs)}/{status.epochs}")
    if status.steps:
        words.append(f"{100 * status.step // status.steps} %")
    if status.images_per_second:
        words.append(f"{status.images_per_second:.0f} img/s")
    if status.eta_s is not None:
        words.append(f"ETA {duration(status.eta_s)}")
    return "  ".join(words)
