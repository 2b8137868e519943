"""The learning curves of a run as a picture."""

import pytest
from matplotlib.figure import Figure
from PIL import Image

from keras_tricks import plots
from keras_tricks.runs import MetricsHistory, Run, RunWriter, create_run


@pytest.mark.parametrize("epochs", [1, 3])
def test_ticks_stand_at_whole_epochs(tmp_path, monkeypatch, epochs):
    drawn = []
    monkeypatch.setattr(plots, "Figure", lambda **looks: drawn.append(Figure(**looks)) or drawn[-1])
    directory = create_run(tmp_path, "small", {})
    with RunWriter(directory) as writer:
        for epoch in range(1, epochs + 1):
            values = {"loss": 1 / epoch, "val_loss": 2 / epoch, "accuracy": 0.5, "val_accuracy": 0.4}
            writer.metrics("epoch", epoch=epoch, step=10 * epoch, values=values)
    path = plots.plot_learning_curves(Run(directory).metrics(), tmp_path / "plots", "small")
    assert Image.open(path).size[0] > 1000
    loss = drawn[0].axes[0]
    low, high = loss.get_xlim()
    ticks = [tick for tick in loss.get_xticks() if low <= tick <= high]
    assert ticks == pytest.approx(range(1, epochs + 1))
    assert loss.get_legend().get_texts()[1].get_text() == f"validation ({2 / epochs:.4g} at the end)"


def test_there_is_nothing_to_draw_before_the_first_epoch(tmp_path):
    assert plots.plot_learning_curves(MetricsHistory(tmp_path / "none.jsonl"), tmp_path) is None
