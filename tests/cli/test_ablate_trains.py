"""`keras-tricks ablate` with real trainings."""

import csv

import pytest

from keras_tricks.cli import main
from keras_tricks.runs import list_runs


@pytest.mark.slow
def test_two_cells_are_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_TRICKS_RUNS", str(tmp_path))
    off = ("linear_scaling", "warmup", "zero_gamma", "no_bias_decay", "resnet_variant", "cosine_decay", "mixup")
    words = ["ablate", "quickstart", "--set", "epochs=1", "--seeds", "1", "--jobs", "2"]
    words += [word for name in off for word in ("--no-trick", name)]
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert not caught.value.code, capsys.readouterr()
    runs = list_runs(tmp_path)
    assert [run.status().state for run in runs] == ["finished", "finished"]
    assert all(run.result()["hardware"]["cores"] >= 1 for run in runs)
    (folder,) = (tmp_path / "ablations").iterdir()
    rows = list(csv.DictReader((folder / "report.csv").open()))
    assert [row["variant"] for row in rows] == ["baseline", "+ label_smoothing"]
    found = [float(row["val_accuracy"]) for row in rows]
    assert float(rows[1]["difference"]) == pytest.approx(found[1] - found[0])
    assert float(rows[0]["seconds"]) > 0 and float(rows[0]["images_per_second"]) > 0
    page = (folder / "report.html").read_text()
    assert "tensorflow" in page and "core" in page and page.count("<circle") >= 2
