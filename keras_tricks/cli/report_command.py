"""`keras-tricks report`: what runs say of their variants, as a table, Markdown, CSV, PNG and one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from keras_tricks.ablation.report import Report, make_report
from keras_tricks.ablation.reported_runs import Documents, read_documents, read_runs, runs_of_ablation
from keras_tricks.cli.options import AsJson, RunsDir, console, print_json, print_table, runs_root
from keras_tricks.cli.run_lists import Filter, choose_runs
from keras_tricks.html_report import html_report
from keras_tricks.runs import Run, RunError, open_run
from keras_tricks.runs.storage import write_with_folder

_WIDE = 110
"""The columns of a terminal that the whole table fits in."""

REPORT_FILES = ("report.html", "report.md", "report.csv", "report.png")


def add_to(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(report)


def report(
    runs: Annotated[
        list[str] | None,
        typer.Argument(help="Ids of runs, unique parts of them, directories, or `last`.", show_default=False),
    ] = None,
    ablation: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="The runs of an ablation: its id, how it begins, or `last`.", show_default=False
        ),
    ] = None,
    expression: Filter = "",
    metric: Annotated[str, typer.Option(help="The metric; val_accuracy where there is one.", show_default=False)] = "",
    html: Annotated[
        Path | None, typer.Option(help="Write one HTML file, with curves, that needs no other.", show_default=False)
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write Markdown into this file.", show_default=False)] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the numbers into this file.", show_default=False)] = None,
    png: Annotated[
        Path | None, typer.Option(help="Draw curves and differences into this file.", show_default=False)
    ] = None,
    runs_dir: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Report on an ablation or any runs: table, HTML, CSV and PNG."""
    root = runs_root(runs_dir)
    if ablation is not None and (runs or expression):
        raise RunError(
            f"--ablation names its runs itself: leave runs and --filter out. Received: --ablation {ablation}"
        )
    if ablation is not None:
        chosen = [open_run(summary.directory) for summary in runs_of_ablation(root, ablation)]
    else:
        chosen = choose_runs(root, runs or [], expression)
    documents = read_documents(chosen)
    found = make_report(read_runs(chosen), metric, documents)
    if as_json:
        table = found.numbers()
        print_json([dict(zip(table.headings, row, strict=True)) for row in table.rows])
    else:
        print_report(found)
    for path in write_report(found, documents, html=html, markdown=markdown, csv=csv, png=png):
        if not as_json:
            console().print(f"wrote {path}", markup=False)


def report_on(runs: Sequence[Run], folder: Path) -> list[Path]:
    """Print the report on runs and write all its files into a folder."""
    documents = read_documents(runs)
    found = make_report(read_runs(runs), "", documents)
    print_report(found)
    html, markdown, csv, png = (folder / name for name in REPORT_FILES)
    return write_report(found, documents, html=html, markdown=markdown, csv=csv, png=png)


def print_report(found: Report) -> None:
    """Print a report, without columns that are empty, and without those that a narrow terminal has no room for."""
    table = found.words()
    out = console()
    out.print(found.title, markup=False)
    left_out = ("best", "calibration", "note") if out.width < _WIDE else ()
    used = [
        place
        for place, heading in enumerate(table.headings)
        if any(row[place] for row in table.rows) and not heading.startswith(left_out)
    ]
    rows = [[str(row[place]) for place in used] for row in table.rows]
    print_table([table.headings[place] for place in used], rows)
    out.print(found.explanation, markup=False, style="dim")
    for line in found.missing:
        out.print(f"not counted: {line}", markup=False)


def write_report(
    found: Report,
    documents: Mapping[str, Documents],
    *,
    html: Path | None,
    markdown: Path | None,
    csv: Path | None,
    png: Path | None,
) -> list[Path]:
    """Write those files of a report that are asked for, and return them."""
    written = []
    if html is not None:
        written.append(write_with_folder(html, html_report(found, documents)))
    if markdown is not None:
        written.append(write_with_folder(markdown, found.markdown()))
    if csv is not None:
        written.append(write_with_folder(csv, found.numbers().csv()))
    if png is not None:
        # matplotlib takes a second to import.
        from keras_tricks.comparison_plots import plot_comparison

        written.append(plot_comparison(found.runs, found.effects, found.metric, png, found.against))
    return written
