"""Reports: what is compared with what, the numbers against NumPy and scipy, and the HTML page."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from keras_tricks.ablation.report import make_report
from keras_tricks.html_charts import Line, line_chart
from keras_tricks.html_report import html_report
from keras_tricks.runs import RunError, Status
from keras_tricks.runs.comparison import ComparedRun
from keras_tricks.runs.summary import RunFacts, RunSummary

NAMES = ("baseline", "+ warmup", "+ mixup")
ACCURACIES = {
    ("baseline", 0): 0.90,
    ("baseline", 1): 0.91,
    ("baseline", 2): 0.905,
    ("+ warmup", 0): 0.92,
    ("+ warmup", 1): 0.925,
    ("+ warmup", 2): 0.93,
    ("+ mixup", 0): 0.921,
    ("+ mixup", 2): 0.933,
}


def run(name, seed, design="stack", state="finished", error=""):
    place = NAMES.index(name)
    accuracy = ACCURACIES.get((name, seed), math.nan)
    tricks = {trick: {} for trick in ("warmup", "mixup")[:place]}
    ablation = {"id": "f00d", "design": design, "variant": name, "place": place}
    facts = RunFacts(f"quickstart-{name}", {"seed": seed, "model": "resnet20", "epochs": 2}, tricks, ablation=ablation)
    # The best epoch is the first one.
    curves = {
        "val_accuracy": ((1, 2), (accuracy + 0.01, accuracy)),
        "epoch_seconds": ((1, 2), (30.0 + place, 30.0 + seed)),
        "images_per_second": ((1, 2), (1000.0, 3000.0 + seed)),
    }
    summary = RunSummary(Path(f"runs/2027{place}-{name}-{seed}"), state, facts, Status(host="here"), error=error)
    return ComparedRun(summary, "A", curves)


def runs(design="stack"):
    found = [run(name, seed, design) for name, seed in ACCURACIES]
    return [*found, run("+ mixup", 1, design, "failed", "DivergedError: the loss is NaN <here>")]


def differences(name, base):
    seeds = [seed for seed in range(3) if (name, seed) in ACCURACIES and (base, seed) in ACCURACIES]
    return np.array([ACCURACIES[name, seed] - ACCURACIES[base, seed] for seed in seeds])


def failed_early(name, seed):
    """A run that failed in its first epoch: its rows hold the training's running metrics only."""
    whole = run(name, seed, state="failed", error=f"DivergedError: the loss of {name} is NaN")
    status = Status(host="here", last={"accuracy": 0.1, "loss": math.nan})
    return replace(whole, summary=replace(whole.summary, status=status), curves={})


def test_where_every_run_failed_nothing_is_compared_and_each_error_told():
    all_failed = [failed_early(name, seed) for name in NAMES[:2] for seed in (0, 1)]
    report = make_report(all_failed)
    assert report.metric == "val_accuracy"
    assert report.explanation == "No run has finished with a value of val_accuracy: there is nothing to compare."
    assert [row[-2] for row in report.words().rows] == ["2", "2"]
    for text in (report.markdown(), html_report(report, {}), *report.missing[-1:]):
        assert "+ warmup, seed 1: failed: DivergedError: the loss of + warmup is NaN" in text
    assert "paired by seed" not in report.markdown()
    # What a failed run has besides does not choose the metric for those that finished.
    whole = run("baseline", 0)
    some = replace(whole, curves={"val_loss": ((1, 2), (2.0, 1.0))})
    assert make_report([some, *all_failed]).metric == "val_loss"


def test_the_calibration_of_the_runs_that_count():
    found = {run.summary.id: ({}, {"calibration_error": 0.01 * place}) for place, run in enumerate(runs())}
    report = make_report(runs(), documents=found)
    rows = [dict(zip(report.numbers().headings, row, strict=True)) for row in report.numbers().rows]
    assert [row["calibration_error"] for row in rows] == pytest.approx([0.01, 0.04, 0.065])
    assert rows[2]["standard deviation of calibration_error"] == pytest.approx(np.std([0.06, 0.07], ddof=1))
    assert "| 0.04 ± 0.01 |" in report.markdown()
    assert "0.04 ± 0.01" in html_report(report, found)
    assert make_report(runs()).rows[0].calibration_error is None


@pytest.mark.parametrize(("design", "base"), [("stack", "+ warmup"), ("one-at-a-time", "baseline")])
def test_what_a_variant_is_compared_with(design, base):
    report = make_report(runs(design))
    table = report.numbers()
    row = dict(zip(table.headings, table.rows[2], strict=True))
    paired = differences("+ mixup", base)
    interval = stats.t.interval(0.95, len(paired) - 1, loc=paired.mean(), scale=stats.sem(paired))
    assert row["difference"] == pytest.approx(paired.mean())
    assert (row["95 % low"], row["95 % high"]) == pytest.approx(interval)
    assert (row["n"], row["pairs"], row["failed"]) == (2, 2, 1)
    assert report.against == {"stack": "the step before"}.get(design, "baseline")


def test_the_other_numbers():
    table = make_report(runs()).numbers()
    row = dict(zip(table.headings, table.rows[1], strict=True))
    values = [ACCURACIES["+ warmup", seed] for seed in range(3)]
    assert row["val_accuracy"] == pytest.approx(np.mean(values))
    assert row["standard deviation"] == pytest.approx(np.std(values, ddof=1))
    assert row["best"] == pytest.approx(np.mean(values) + 0.01)
    assert row["seconds"] == pytest.approx(62)
    assert row["standard deviation of seconds"] == pytest.approx(1)
    assert row["images_per_second"] == pytest.approx(2000.5), "The median of two epochs, and the mean over the seeds."
    assert row["failed"] == 0


def test_words_for_people():
    report = make_report(runs())
    table = report.words()
    row = dict(zip(table.headings, table.rows[2], strict=True))
    assert row["val_accuracy, %"] == "92.70 ± 0.85"
    assert row["difference to the step before"] == "+0.20"
    assert row["95 % interval"] == "-1.07 to +1.47"
    assert row["failed"] == "1"
    assert table.rows[1][4].endswith(" *"), "This interval leaves 0 out."
    assert report.missing == ["+ mixup, seed 1: failed: DivergedError: the loss is NaN <here> (20272-+ mixup-1)"]
    assert report.title == "Ablation of quickstart, stack"
    markdown = report.markdown()
    assert "| + mixup | 2 | 92.70 ± 0.85 | +0.20 |" in markdown
    assert "- + mixup, seed 1: failed" in markdown


def test_a_step_without_a_finished_run_compares_nothing():
    found = [run("baseline", 0), run("+ warmup", 0, state="queued"), run("+ mixup", 0)]
    table = make_report(found).words()
    assert [row[3] for row in table.rows] == ["", "", ""]
    assert [row[-1] for row in table.rows] == [
        "",
        "no finished run with a value; 1 queued",
        "no seed in common with the step before",
    ]


def test_a_report_without_any_value():
    report = make_report([run("baseline", 0, state="queued")])
    assert report.words().rows[0][:2] == ("baseline", "0")
    assert "<svg" not in html_report(report, {}).partition("Curves")[0]


def test_no_such_metric():
    with pytest.raises(RunError, match="Did you mean val_accuracy"):
        make_report(runs(), "val_acuracy")


class Page(HTMLParser):
    """What an HTML page holds, and whether its elements are closed in order."""

    VOID = {"meta", "br", "circle", "line"}

    def __init__(self, text):
        super().__init__()
        self.open, self.counts, self.addresses, self.text = [], {}, [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.addresses += [value for name, value in attributes if name in ("src", "href", "xlink:href", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_whole_and_needs_no_other_file():
    found = runs()
    document = {
        "recipe": {"model": "resnet20", "note": "</script><b>"},
        "argv": ["keras-tricks", "train"],
        "versions": {"keras": "3.15.1"},
    }
    result = {"hardware": {"processor": "Pentium <III>", "cores": 2, "gpus": ["H100", "H100"]}}
    documents = {one.summary.id: (document, result) for one in found}
    text = html_report(make_report(found, "", documents), documents)
    page = Page(text)
    words = " ".join(page.text)
    assert page.open == [] and page.addresses == []
    assert not re.search(r"https?://|@import|url\(|<script", text)
    assert "prefers-color-scheme: dark" in text and "@media print" in text and 'name="viewport"' in text
    assert page.counts["figure"] == 1, "Of the metrics that are drawn, there is val_accuracy."
    # Eight runs that finished and one that failed, and a mean for each variant; three in the legend.
    assert page.counts["polyline"] == 8 + 3 + 3
    assert "2 cores of Pentium <III>, 2 H100" in words and "keras 3.15.1" in words
    assert "the loss is NaN <here>" in words and "</script><b>" in words
    assert page.counts["details"] == 3


def test_gaps_logarithms_and_single_points_of_a_chart():
    chart = line_chart([Line("a", 0, (1, 2, 3, 4, 5), (1.0, 2.0, math.nan, 4.0, math.inf))], "a")
    assert chart.count("<polyline") == 1 and chart.count("<circle") == 1
    assert line_chart([Line("a", 0, (1,), (math.nan,))], "a") == ""
    wide = line_chart([Line("a", 0, (1, 2, 3), (1e-3, 1.0, 1e3))], "a")
    heights = [float(point.split(",")[1]) for point in re.search(r'points="([^"]+)"', wide)[1].split()]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.2), "Its axis is logarithmic."
    assert 'stroke-dasharray="6 3"' in line_chart([Line("a", 7, (1, 2), (1.0, 2.0))], "a")
    flat = line_chart([Line("a", 0, (1, 2), (0.0, 0.0))], "a")
    assert "nan" not in flat and "<polyline" in flat


def test_most_of_a_long_line_is_left_out():
    many = tuple(range(100_000))
    chart = line_chart([Line("a", 0, many, tuple(math.sin(x / 1e4) for x in many))], "a")
    assert 200 < len(re.search(r'points="([^"]+)"', chart)[1].split()) < 500
