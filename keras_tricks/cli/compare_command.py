"""`keras-tricks runs diff` and `runs compare`: what the terminal UI's Compare shows, and its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from keras_tricks.ablation.effects import difference_words, effects, effects_table, group_runs
from keras_tricks.cli.options import AsJson, RunsDir, console, print_json, print_table, runs_root, say
from keras_tricks.cli.run_lists import BaselineName, Filter, choose_runs
from keras_tricks.comparison_files import markdown_report, write_png
from keras_tricks.runs import Run, RunError, find_run
from keras_tricks.runs.columns import Value, column, no_such_column
from keras_tricks.runs.comparison import (
    ComparedRun,
    Table,
    compare_run,
    differences_table,
    metrics_of,
    no_differences,
    recipe_differences,
    values_table,
)
from keras_tricks.runs.storage import write_with_folder
from keras_tricks.runs.summary import summarize
from tui.column_text import difference
from tui.formats import number, share

_Names = Annotated[
    list[str] | None,
    typer.Argument(help="Ids of runs, unique parts of them, directories, or `last`.", show_default=False),
]

_SIGNED = ("delta", "difference", "95 %")
_PADDING = 3


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(diff)
    app.command()(compare)


def diff(runs: _Names = None, expression: Filter = "", runs_dir: RunsDir = None, as_json: AsJson = False) -> None:
    """Show in what the recipes of runs differ."""
    compared = _compared(choose_runs(runs_root(runs_dir), runs or [], expression))
    if len(compared) < 2:
        raise RunError(f"Expected two runs or more. Received: {compared[0].summary.id}")
    table = differences_table(compared)
    if as_json:
        ids = [run.summary.id for run in compared]
        print_json({str(key): dict(zip(ids, values, strict=True)) for key, *values in table.rows})
        return
    _print_letters(compared)
    if not table.rows:
        console().print(no_differences([run.summary.facts for run in compared]))
        return
    _print_differences(compared, table, compared[0])


def compare(
    runs: _Names = None,
    expression: Filter = "",
    baseline: BaselineName = None,
    metric: Annotated[str, typer.Option(help="The metric to compare; a run's first one by default.")] = "",
    csv: Annotated[Path | None, typer.Option(help="Write the values into this CSV file.", show_default=False)] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write values, differences and effects into this Markdown file.")
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Draw curves and effects into this PNG file.")] = None,
    runs_dir: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Compare runs: last and best values, recipes, and effects of variants over common seeds."""
    root = runs_root(runs_dir)
    chosen = choose_runs(root, runs or [], expression)
    base = find_run(root, baseline) if baseline else chosen[0]
    if base.directory.resolve() not in [run.directory.resolve() for run in chosen]:
        chosen.insert(0, base)
    compared = _compared(chosen)
    compared_base = next(run for run in compared if run.summary.id == base.id)
    directory = compared_base.summary.directory
    metrics = metrics_of(compared)
    if metric and metric not in metrics:
        raise RunError(no_such_column(metric, metrics))
    metric = metric or (metrics[0] if metrics else "")
    values = values_table(compared, [metric] if metric else [], directory)
    found = effects(group_runs(compared, directory), metric)
    if as_json:
        tables = {"values": values, "differences": differences_table(compared), "effects": effects_table(found, metric)}
        print_json(
            {
                name: [dict(zip(table.headings, row, strict=True)) for row in table.rows]
                for name, table in tables.items()
            }
        )
    else:
        _print_letters(compared)
        _print(values, metric, without=("id", "name"))
        if len(compared) > 1 and (differences := differences_table(compared)).rows:
            _print_differences(compared, differences, compared_base)
        if len(found) > 1:
            console().print(f"Differences to {found[0].group.name}, paired by seed, with 95 % intervals", markup=False)
            _print(effects_table(found, metric), metric, without=("note",))
            for effect in found:
                if effect.note:
                    console().print(f"{effect.group.name}: {effect.note}", markup=False)
    written = []
    if csv is not None:
        written.append(write_with_folder(csv, values_table(compared, metrics, directory).csv()))
    if markdown is not None:
        written.append(write_with_folder(markdown, markdown_report(compared, metric, directory)))
    if png is not None:
        written.append(write_png(compared, metric, directory, png))
    for path in () if as_json else written:
        console().print(f"wrote {path}", markup=False)


def _compared(runs: Sequence[Run]) -> list[ComparedRun]:
    compared = []
    for place, run in enumerate(runs):
        metrics = run.metrics()
        if metrics.broken_lines:
            say(f"warning: unreadable lines in the metrics of {run.id}: {metrics.broken_lines}.")
        compared.append(compare_run(summarize(run), metrics.rows, place))
    return compared


def _records(table: Table) -> list[dict[str, Value]]:
    return [dict(zip(table.headings, row, strict=True)) for row in table.rows]


def _print_letters(runs: Sequence[ComparedRun]) -> None:
    for run in runs:
        console().print(f"{run.letter}  {run.summary.id}", markup=False)


def _print_differences(runs: Sequence[ComparedRun], table: Table, base: ComparedRun) -> None:
    """Print a column for each run, under its letter; where these have no room, what each has otherwise than `base`."""
    rows = [["" if value is None else str(value) for value in row] for row in table.rows]
    widths = [max(map(len, cells)) + _PADDING for cells in zip(*rows, strict=True)]
    if sum(widths) <= console().width:
        print_table(("field", *(run.letter for run in runs)), rows)
        return
    differences = [recipe_differences([base.summary.facts, run.summary.facts]) for run in runs]
    words = [
        (run.letter, difference_words(found) or ("=" if run.summary.facts.recipe else "no recipe"))
        for run, found in zip(runs, differences, strict=True)
    ]
    print_table(("run", f"otherwise than {base.letter}"), words)


def _print(table: Table, metric: str, without: Sequence[str] = ()) -> None:
    """Print a table of values of a metric, without columns that are empty, in numbers that fit a terminal."""
    used = [
        place
        for place, heading in enumerate(table.headings)
        if heading not in without and any(row[place] is not None for row in table.rows)
    ]
    short = {
        f"delta {metric}": "delta",
        f"best {metric}": "best",
        f"epoch of best {metric}": "at",
        "standard deviation": "std",
        "difference": "diff",
        "95 % low": "low",
        "95 % high": "high",
    }
    headings = [table.headings[place] for place in used]
    is_share = column(metric).kind == "share"
    rows = [
        [_text(row[place], heading, is_share) for place, heading in zip(used, headings, strict=True)]
        for row in table.rows
    ]
    print_table([short.get(heading, heading) for heading in headings], rows)


def _text(value: Value, heading: str, is_share: bool) -> str:
    if not isinstance(value, float):
        return "" if value is None else str(value)
    if heading.startswith("epoch"):
        return f"{value:g}"
    if heading.startswith(_SIGNED):
        return difference(value, is_share)
    return share(value) if is_share else number(value)
