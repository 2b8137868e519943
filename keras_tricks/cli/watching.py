"""`keras-tricks runs watch`: follow a run, with a live line on a terminal or in plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from keras_tricks.cli.news import News
from keras_tricks.cli.options import RunsDir, console, runs_root
from keras_tricks.runs import LIVE_STATES, Run, Status, find_run
from tui.formats import duration, number

_LOOK_S = 0.5
_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(watch)


def watch(
    run: Annotated[str, typer.Argument(help="A run's id, a unique part of it, its directory, or `last`.")],
    plain: Annotated[
        bool, typer.Option("--plain", help="Plain lines, without colours and control characters, for screen readers.")
    ] = False,
    every: Annotated[float, typer.Option(help="Seconds between two plain lines on the progress.", min=0.5)] = 30.0,
    runs_dir: RunsDir = None,
) -> None:
    """Follow a run, a line an epoch and an event, until it ends."""
    found = find_run(runs_root(runs_dir), run)
    if plain or not sys.stdout.isatty():
        follow_plainly(found, every if plain else None)
    else:
        follow_live(found, console())


def follow_plainly(run: Run, every: float | None, sleep: Callable[[float], None] = time.sleep) -> None:
    """Print what is new as lines of text and nothing else, until the run ends.

    Args:
        run: The run.
        every: Seconds between two lines on the progress; None for none.
        sleep: What waits between two looks.
    """
    news, state, progress_at = News(run), "", time.monotonic()
    while True:
        status = run.status()
        if every is not None and status.state in LIVE_STATES and status.state != state:
            _say(f"{run.id} is {status.state}")
        state = status.state
        for line in news.lines():
            _say(line)
        if status.state not in LIVE_STATES:
            _say(_last_words(run, status))
            return
        if every is not None and time.monotonic() >= progress_at:
            _say(progress_words(status))
            progress_at = time.monotonic() + every
        sleep(_LOOK_S)


def follow_live(run: Run, out: Console, sleep: Callable[[float], None] = time.sleep) -> None:
    """Print what is new above a line that shows the progress, until the run ends."""
    news = News(run)
    with Live(console=out, auto_refresh=False, transient=True) as live:
        while True:
            status = run.status()
            for line in news.lines():
                live.console.print(_printable(line), markup=False)
            if status.state not in LIVE_STATES:
                break
            live.update(_progress_line(status), refresh=True)
            sleep(_LOOK_S)
    out.print(_last_words(run, status), markup=False)


def progress_words(status: Status) -> str:
    """Return how far a run is, in words that can be listened to."""
    parts = []
    if status.epochs:
        parts.append(f"epoch {min(status.epoch + 1, status.epochs)} of {status.epochs}")
    if status.steps:
        parts.append(f"{100 * status.step // status.steps} percent, step {status.step} of {status.steps}")
    if status.images_per_second:
        parts.append(f"{status.images_per_second:.0f} images a second")
    if status.eta_s is not None:
        parts.append(f"about {spoken_duration(status.eta_s)} left")
    return "progress: " + (", ".join(parts) or status.state)


def spoken_duration(seconds: float) -> str:
    """Return a time span in its two largest units, in words: `2 hours 5 minutes`."""
    rest = max(0, round(seconds))
    words = []
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count and len(words) < 2:
            words.append(f"{count} {unit}{'s' * (count != 1)}")
    return " ".join(words) or "0 seconds"


def _progress_line(status: Status) -> Table:
    share = status.step / status.steps if status.steps else 0.0
    table = Table.grid(padding=(0, 1))
    table.add_row(
        Text(f"● {status.state}", "bold green"),
        Text(f"epoch {min(status.epoch + 1, status.epochs)}/{status.epochs}" if status.epochs else ""),
        ProgressBar(total=1.0, completed=share, width=24),
        Text(f"{100 * share:.0f} %"),
        Text(f"{number(status.images_per_second, 3)} img/s" if status.images_per_second else ""),
        Text(f"ETA {duration(status.eta_s)}" if status.eta_s is not None else ""),
    )
    return table


def _last_words(run: Run, status: Status) -> str:
    return f"{run.id} is {status.state}" + (f": {status.error}" if status.error else "")


def _say(line: str) -> None:
    print(_printable(line), flush=True)


def _printable(line: str) -> str:
    """Return a line without control characters, such as those of a colour or a line break."""
    return "".join(character if character.isprintable() else " " for character in line)
