"""The PNG of a comparison: what its legend tells apart."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from keras_tricks import comparison_plots
from keras_tricks.ablation.effects import effects, group_runs
from keras_tricks.comparison_plots import plot_comparison
from keras_tricks.runs import Status
from keras_tricks.runs.comparison import ComparedRun
from keras_tricks.runs.summary import RunFacts, RunSummary


def run(letter, seed, batch_size, epochs=(1.0, 2.0)):
    facts = RunFacts("mine", {"seed": seed, "batch_size": batch_size})
    status = Status(last={"val_accuracy": 0.9})
    summary = RunSummary(Path(f"runs/2027010{batch_size}T00000{seed}Z-mine-aaaa"), "finished", facts, status)
    return ComparedRun(summary, letter, {"val_accuracy": (epochs, (0.9,) * len(epochs))})


@pytest.fixture
def curves(tmp_path, monkeypatch):
    """Draw a comparison, and return the axes of its curves."""
    drawn = []

    class Kept(Figure):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            drawn.append(self)

    monkeypatch.setattr(comparison_plots, "Figure", Kept)

    def draw(runs):
        plot_comparison(runs, effects(group_runs(runs), "val_accuracy"), "val_accuracy", tmp_path / "plot.png")
        return drawn[0].axes[0]

    return draw


@pytest.mark.parametrize(
    ("runs", "labels", "colors"),
    [
        ([run("A", 0, 1), run("B", 1, 1)], ["A  mine, seed 0", "B  mine, seed 1"], 2),
        ([run("A", 0, 1), run("B", 1, 1), run("C", 0, 2), run("D", 1, 2)], ["mine", "batch_size=2"], 2),
        ([run("A", 0, 1), run("B", 0, 2)], ["A  mine, seed 0", "B  mine, seed 0"], 2),
    ],
)
def test_the_legend_names_the_runs_of_one_variant_or_several_variants(curves, runs, labels, colors):
    axes = curves(runs)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == labels
    assert len({line.get_color() for line in axes.lines}) == colors


def test_no_tick_stands_within_an_epoch(curves):
    assert all(tick == round(tick) for tick in curves([run("A", 0, 1, epochs=(1.0,))]).get_xticks())
