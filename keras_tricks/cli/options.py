"""What the commands share: options, consoles, tables, and a quiet import of TensorFlow."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from keras_tricks.recipe import RecipeError
from keras_tricks.runs import RunError, default_root, schema

RunsDir = Annotated[
    Path | None,
    typer.Option(help="Folder of the runs; $KERAS_TRICKS_RUNS, else ./runs, by default.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def runs_root(chosen: Path | None) -> Path:
    """Return the folder of the runs: the chosen one, else the default."""
    return chosen or default_root()


def console() -> Console:
    """Return a console on standard output; off a terminal it never cuts a line."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=200, soft_wrap=True)


def say(message: str) -> None:
    """Print one line for the person on standard error."""
    print(f"keras-tricks: {message}", file=sys.stderr)


def print_json(document: Any) -> None:
    """Print a document as JSON on standard output, with NaN and infinities as strings."""
    print(json.dumps(schema.without_nan(document), indent=2, default=str, allow_nan=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
    """Print a table; what a narrow terminal has no room for goes on in the next line, and is never cut."""
    headings = (Column(name, overflow="fold") for name in columns)
    table = Table(*headings, box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)


@contextmanager
def quiet_import() -> Iterator[None]:
    """Keep what TensorFlow's libraries print while they load out of sight, unless loading fails."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except (RecipeError, RunError):
            raise
        except BaseException:
            kept.seek(0)
            os.write(saved, kept.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
