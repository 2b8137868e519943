"""`keras-tricks runs ls`, and how commands choose several runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_tricks.cli.options import AsJson, RunsDir, console, print_json, print_table, runs_root
from keras_tricks.runs import Run, RunError, find_run, list_runs, open_run
from keras_tricks.runs.columns import (
    Column,
    Viewpoint,
    column,
    known_keys,
    main_column,
    no_such_column,
    sorted_runs,
    sorts_descending,
)
from keras_tricks.runs.comparison import Table
from keras_tricks.runs.filter import parse_filter
from keras_tricks.runs.summary import RunSummary, summarize, summarize_all
from tui.column_text import column_text

Filter = Annotated[
    str,
    typer.Option("--filter", help="Only runs that match, as 'val_accuracy>.9 trick:mixup state:finished'."),
]
BaselineName = Annotated[
    str | None, typer.Option("--baseline", help="The run that others are compared with.", show_default=False)
]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ls")(list_all)


def list_all(
    expression: Filter = "",
    columns: Annotated[
        str, typer.Option(help="Columns with commas between them: any field, trick.parameter, metric or delta.METRIC.")
    ] = "",
    sort: Annotated[str, typer.Option(help="Column to sort by; newest first by default.", show_default=False)] = "",
    reverse: Annotated[bool, typer.Option("--reverse", help="Turn the order round.")] = False,
    baseline: BaselineName = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    runs_dir: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """List the runs, newest first."""
    root = runs_root(runs_dir)
    runs = summarize_all(root)
    base = summarize(find_run(root, baseline)) if baseline else None
    view = Viewpoint(time.time(), base)
    known = known_keys(runs)
    keys = [key.strip() for key in columns.split(",") if key.strip()]
    matches = parse_filter(expression, known if runs else None)
    found = [run for run in runs if matches(run, view)]
    shown = [_known_column(key, known, runs) for key in keys] or _default_columns(found)
    by = _known_column(sort, known, runs) if sort else column("started")
    found = sorted_runs(found, by, sorts_descending(by) != reverse, view)
    if as_json:
        print_json([_values(run, shown, view) if columns else _document(run) for run in found])
    elif as_csv or as_markdown:
        table = Table(tuple(one.key for one in shown), [tuple(_values(run, shown, view).values()) for run in found])
        print(table.csv() if as_csv else table.markdown(), end="")
    elif not runs:
        console().print(f"No runs in {root} yet. Try: keras-tricks train quickstart")
    elif not found:
        console().print(f"None of {len(runs)} runs matches {expression}", markup=False)
    else:
        rows = [[column_text(one, run, view) for one in shown] for run in found]
        print_table([one.key for one in shown], rows)


def choose_runs(root: Path, names: Sequence[str], expression: str) -> list[Run]:
    """Return the runs that are named, and those that match a filter, none twice; oldest first if only filtered.

    Raises:
        RunError: A name means no run or several, the filter cannot be understood, or no run is meant.
    """
    found = {run.directory.resolve(): run for run in (find_run(root, name) for name in names)}
    if expression:
        runs = summarize_all(root)
        matches = parse_filter(expression, known_keys(runs) if runs else None)
        view = Viewpoint(time.time())
        for run in reversed(runs):
            if matches(run, view):
                found.setdefault(run.directory.resolve(), open_run(run.directory))
    if not found:
        if expression:
            raise RunError(f"None of {len(list_runs(root))} runs under {root} matches {expression!r}.")
        raise RunError("Expected runs, or --filter EXPRESSION. `keras-tricks runs ls` lists them.")
    return list(found.values())


def _default_columns(runs: Sequence[RunSummary]) -> list[Column]:
    keys = ("id", "state", "epoch", main_column(runs), "best", "best_epoch", "images_per_second")
    return [column(key) for key in dict.fromkeys(keys)]


def _known_column(key: str, known: Sequence[str], runs: Sequence[RunSummary]) -> Column:
    if runs and key not in known:
        raise RunError(no_such_column(key, known))
    return column(key)


def _values(run: RunSummary, shown: Sequence[Column], view: Viewpoint) -> dict[str, Any]:
    return {one.key: one.value(run, view) for one in shown}


def _document(run: RunSummary) -> dict[str, Any]:
    if run.state == "broken":
        return {"id": run.id, "state": run.state, "error": run.error, "last": {}, "path": str(run.directory)}
    status = run.status.model_dump(exclude={"schema_version"})
    return {"id": run.id, **status, "state": run.state, "path": str(run.directory)}
