"""Comparisons: values and differences of runs, as tables and as files."""

import csv
import io
import math
from pathlib import Path

import pytest

from keras_tricks.runs import MetricRow, Status
from keras_tricks.runs.comparison import (
    Table,
    compare_run,
    differences_table,
    letter,
    metrics_of,
    no_differences,
    recipe_differences,
    values_table,
)
from keras_tricks.runs.summary import RunFacts, RunSummary


def row(kind, epoch, **values):
    return MetricRow(kind=kind, t=0.0, attempt=1, epoch=epoch, step=epoch * 10, values=values)


def run(place, *values, recipe=None, tricks=None):
    """A finished run with these values of val_loss."""
    facts = RunFacts(f"run{place}", {"seed": place, "name": f"run{place}", **(recipe or {})}, tricks or {})
    last = {"val_loss": values[-1]} if values else {}
    summary = RunSummary(Path(f"runs/2027-run{place}"), "finished", facts, Status(epoch=len(values), last=last))
    rows = [row("step", 0, loss=9.0), *(row("epoch", epoch + 1, val_loss=value) for epoch, value in enumerate(values))]
    return compare_run(summary, rows, place)


def test_last_best_and_difference():
    runs = [run(0, 0.5, 0.2, 0.3), run(1, 0.4, math.nan, 0.45), run(2)]
    assert metrics_of(runs) == ["val_loss"]
    table = values_table(runs, ["val_loss"], runs[0].summary.directory)
    assert table.headings[6:] == ("val_loss", "delta val_loss", "best val_loss", "epoch of best val_loss")
    assert [one[0] for one in table.rows] == ["A", "B", "C"]
    assert table.rows[0][6:] == (0.3, None, 0.2, 2)
    assert table.rows[1][6:] == (0.45, pytest.approx(0.15), 0.4, 1)
    assert table.rows[2][6:] == (None, None, None, None)
    assert "delta val_loss" not in values_table(runs, ["val_loss"], None).headings


def test_only_what_differs_is_listed():
    base = {"model": "resnet20", "batch_size": 128}
    runs = [
        run(0, recipe=base, tricks={"mixup": {"alpha": 0.2}, "warmup": {"epochs": 5}}),
        run(0, recipe={**base, "batch_size": 64}, tricks={"mixup": {"alpha": 0.4}, "warmup": {"epochs": 5}}),
        run(0, recipe=base, tricks={"warmup": {"epochs": 5}}),
    ]
    found = {one.key: one.values for one in recipe_differences([one.summary.facts for one in runs])}
    assert found == {"batch_size": (128, 64, 128), "mixup": ("on", "on", "off"), "mixup.alpha": (0.2, 0.4, None)}
    assert differences_table(runs).headings == ("field", "A run0", "A run0", "A run0")
    assert recipe_differences([runs[0].summary.facts] * 2) == []
    assert [one.key for one in recipe_differences([runs[0].summary.facts, runs[2].summary.facts])] == ["mixup"]


def test_a_run_without_a_recipe_differs_in_nothing():
    facts = [
        RunFacts("by hand"),
        RunFacts("one", {"batch_size": 64}, {"mixup": {"alpha": 0.2}}),
        RunFacts("two", {"batch_size": 64}),
    ]
    assert {one.key: one.values for one in recipe_differences(facts)} == {"mixup": (None, "on", "off")}
    assert recipe_differences(facts[:2]) == recipe_differences(facts[:1] * 2) == []
    assert no_differences(facts[:1] * 2) == "None of the runs has a recipe."
    assert no_differences(facts[:2]) == "Only one of the runs has a recipe."
    assert no_differences([facts[0], facts[1], facts[1]]) == "The recipes of the 2 runs with one are equal."
    assert no_differences([facts[1], facts[1]]) == "The recipes are equal."


def test_tables_as_csv_and_markdown():
    table = Table(("name", "value"), [('a "b", c|d', 0.123456789), ("e", None)])
    assert list(csv.reader(io.StringIO(table.csv()))) == [["name", "value"], ['a "b", c|d', "0.123456789"], ["e", ""]]
    assert table.markdown().splitlines() == [
        "| name | value |",
        "| --- | ---: |",
        '| a "b", c\\|d | 0.12346 |',
        "| e |  |",
    ]


def test_letters_tell_many_runs_apart():
    assert [letter(place) for place in (0, 25, 26, 51, 52, 103, 104)] == ["A", "Z", "a", "z", "AA", "Az", "BA"]
