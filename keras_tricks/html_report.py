"""Write a report on runs as one HTML file that needs no other."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from keras_tricks.ablation.effects import Group, difference_words, seed_of
from keras_tricks.ablation.report import Report, VariantRow, signed
from keras_tricks.ablation.reported_runs import Documents
from keras_tricks.html_charts import Cut, Line, line_chart, look_of
from keras_tricks.runs.columns import Value, column, sorts_descending
from keras_tricks.runs.comparison import ComparedRun, Table, recipe_differences, values_table
from keras_tricks.runs.schema import is_share
from keras_tricks.task_facts import TASKS

_STYLES = Path(__file__).with_name("report.css")
_OF_TASKS = [facts.metric for facts in TASKS.values()]
_CHARTED = (
    *_OF_TASKS,
    "val_loss",
    *(metric.removeprefix("val_") for metric in _OF_TASKS),
    "loss",
    "learning_rate",
)


def html_report(report: Report, documents: Mapping[str, Documents]) -> str:
    """Return a report as an HTML page: table, bars, curves, runs, recipes, machines and versions.

    It loads nothing, fits a telephone and paper, and is light or dark as its reader's system is.

    Args:
        report: The report.
        documents: What `read_documents` returned for its runs.
    """
    seeds = sorted({seed_of(run) for run in report.runs})
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    subtitle = (
        f"{len(report.rows)} variants, {len(report.runs)} runs, seeds {', '.join(map(str, seeds))}; written {made}"
        + (f"; ablation {report.ablation}" if report.ablation else "")
    )
    parts = [
        f"<h1>{escape(report.title)}</h1>",
        f'<p class="faint">{escape(subtitle)}</p>',
        _table(report.words(), _numeric(report.words())),
        f'<p class="faint">{escape(report.explanation)}</p>',
        _bars(report),
        _missing(report),
        _curves(report),
        "<h2>What sets the variants apart</h2>" if len(report.rows) > 1 else "",
        _table(_changes(report)) if len(report.rows) > 1 else "",
        "<h2>Runs</h2>",
        _runs(report),
        "<h2>Machines and versions</h2>",
        _facts(report),
        "<h2>Recipes</h2>",
        _recipes(report, documents),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.title)}</title>\n<style>\n{_STYLES.read_text()}</style></head>\n<body>\n"
        + "\n".join(filter(None, parts))
        + "\n</body></html>\n"
    )


def _table(table: Table, numeric: Sequence[bool] = ()) -> str:
    """A table, without columns that are empty."""
    used = [place for place in range(len(table.headings)) if any(row[place] not in (None, "") for row in table.rows)]
    kinds = [' class="number"' if place < len(numeric) and numeric[place] else "" for place in used]
    head = "".join(f"<th{kind}>{escape(table.headings[place])}</th>" for place, kind in zip(used, kinds, strict=True))
    rows = []
    for row in table.rows:
        cells = (f"<td{kind}>{_cell(row[place])}</td>" for place, kind in zip(used, kinds, strict=True))
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _cell(value: float | str | None) -> str:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else escape(str(value))


def _numeric(table: Table) -> list[bool]:
    return [heading not in ("variant", "note") for heading in table.headings]


def _bars(report: Report) -> str:
    """The differences as bars, with their intervals as lines across."""
    rows = [row for row in report.rows if row.effect.difference is not None]
    if not rows:
        return ""
    ends = [end for row in rows for end in _ends(row)]
    low, high = min(0.0, *ends), max(0.0, *ends)
    span = (high - low) or 1.0
    low, span = low - 0.02 * span, 1.04 * span
    larger_is_better = sorts_descending(column(report.metric))
    scale, unit = (100.0, " points") if is_share(report.metric) else (1.0, "")

    def at(value: float) -> float:
        return 100 * (value - low) / span

    parts = []
    for row in rows:
        difference = row.effect.difference
        assert difference is not None
        first, last = sorted((at(0), at(difference.mean)))
        kind = "better" if (difference.mean >= 0) == larger_is_better else "worse"
        track = [f'<i class="bar {kind}" style="left:{first:.2f}%;width:{last - first:.2f}%"></i>']
        track.append(f'<i class="zero" style="left:{at(0):.2f}%"></i>')
        interval = "no interval"
        if difference.low is not None and difference.high is not None:
            left, right = at(difference.low), at(difference.high)
            track.append(f'<i class="interval" style="left:{left:.2f}%;width:{right - left:.2f}%"></i>')
            interval = f"{signed(scale * difference.low, scale)} to {signed(scale * difference.high, scale)}"
        value = f"{signed(scale * difference.mean, scale)}{unit}"
        title = escape(f"{row.name}: {value}, {interval}, n={difference.n}", quote=True)
        parts.append(
            f'<span class="name">{escape(row.name)}</span><span class="value">{value}</span>'
            f'<span class="track" role="img" aria-label="{title}" title="{title}">{"".join(track)}</span>'
        )
    heading = f"Difference of {report.metric} to {report.against}"
    return f'<h2>{escape(heading)}</h2><div class="bars">{"".join(parts)}</div>'


def _ends(row: VariantRow) -> list[float]:
    difference = row.effect.difference
    assert difference is not None
    return [end for end in (difference.low, difference.mean, difference.high) if end is not None]


def _missing(report: Report) -> str:
    if not report.missing:
        return ""
    lines = "".join(f"<li>{escape(line)}</li>" for line in report.missing)
    return f"<h2>Not counted</h2><ul>{lines}</ul>"


def _curves(report: Report) -> str:
    metrics = dict.fromkeys((report.metric, *_CHARTED))
    figures = []
    for metric in metrics:
        lines = [line for place, row in enumerate(report.rows) for line in _lines(row.effect.group, place, metric)]
        chart = line_chart(lines, f"{metric} over the epochs", _cut(metric))
        if chart:
            figures.append(f"<figure><figcaption>{escape(metric)}</figcaption>{chart}</figure>")
    if not figures:
        return ""
    legend = []
    for place, row in enumerate(report.rows):
        color, dashes = look_of(place)
        dash = f' stroke-dasharray="{dashes}"' if dashes else ""
        line = f'<svg viewBox="0 0 36 12" class="{color}"><polyline{dash} points="0,6 36,6"></polyline></svg>'
        legend.append(f"<li>{line}{escape(row.name)}</li>")
    words = (
        "Thick lines are means of finished runs over the seeds, thin ones are single runs; the first epochs may lie "
        "outside."
    )
    note = f'<p class="faint">{words}</p>'
    charts = f'<div class="charts">{"".join(figures)}</div>'
    return f'<h2>Curves</h2><ul class="legend">{"".join(legend)}</ul>{charts}{note}'


def _cut(metric: str) -> Cut:
    if is_share(metric):
        return "low"
    return "high" if "loss" in metric else "none"


def _lines(group: Group, place: int, metric: str) -> list[Line]:
    """The curves of a variant's runs, and their mean over the finished ones where these are several."""
    lines, whole = [], []
    unfinished = group.unfinished
    for run in group.runs:
        epochs, values = run.curves.get(metric, ((), ()))
        if epochs:
            lines.append(Line(f"{group.name}, seed {seed_of(run)}", place, epochs, values, is_thin=True))
            if run not in unfinished:
                whole.append(dict(zip(epochs, values, strict=True)))
    if not whole:
        return lines
    shared = sorted(set.intersection(*(set(values) for values in whole)))
    means = [math.fsum(values[epoch] for values in whole) / len(whole) for epoch in shared]
    lines = lines if len(lines) > 1 else []
    return [*lines, Line(f"{group.name}, mean of {len(whole)}", place, shared, means)]


def _changes(report: Report) -> Table:
    """What each variant has otherwise than the first one."""
    facts = [row.effect.group.runs[0].summary.facts for row in report.rows]
    rows: list[tuple[Value, ...]] = []
    for row, own in zip(report.rows, facts, strict=True):
        differing = [one for one in recipe_differences([facts[0], own]) if one.key != "seed"]
        rows.append((row.name, difference_words(differing) or "the same"))
    return Table(("variant", f"otherwise than {report.rows[0].name}" if report.rows else ""), rows[1:])


def _runs(report: Report) -> str:
    table = values_table(report.runs, [report.metric], None)
    variants = {run.summary.id: row.name for row in report.rows for run in row.effect.group.runs}
    headings = ("variant", *table.headings)
    rows = [(variants.get(str(row[1]), ""), *row) for row in table.rows]
    left_out = {headings.index("run"), headings.index("name")}
    kept = [place for place in range(len(headings)) if place not in left_out]
    shown = Table(tuple(headings[place] for place in kept), [tuple(row[place] for place in kept) for row in rows])
    return _table(shown, [heading not in ("variant", "id", "state") for heading in shown.headings])


def _facts(report: Report) -> str:
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in report.facts)
    return f"<dl>{items}</dl>"


def _recipes(report: Report, documents: Mapping[str, Documents]) -> str:
    """The recipe and the command of the first run of each variant."""
    parts = []
    for row in report.rows:
        run = _first_with_document(row.effect.group.runs, documents)
        if run is None:
            continue
        document, _ = documents[run.summary.id]
        command = " ".join(map(str, document.get("argv") or ()))
        text = json.dumps(document.get("recipe"), indent=1)
        parts.append(
            f"<details><summary>{escape(row.name)}</summary><pre>{escape(command)}\n{escape(text)}</pre></details>"
        )
    return "".join(parts)


def _first_with_document(runs: Sequence[ComparedRun], documents: Mapping[str, Documents]) -> ComparedRun | None:
    return next((run for run in runs if run.summary.id in documents), None)
