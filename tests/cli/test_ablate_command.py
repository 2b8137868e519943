"""`keras-tricks ablate` and `report`: what they print and write, how they go on, and one line for each bad input."""

import csv
import functools
import json
import os
import signal
import threading
import time

import pytest
from ablated_trainer import COMMAND, FAILS, SUCCEEDS, WAITS_ONCE
from queued_trainer import kill_all_of

from keras_tricks.ablation.launch_local import LocalLauncher
from keras_tricks.cli import ablate_command, main
from keras_tricks.runs import list_runs
from keras_tricks.runs.summary import summarize_all

WITHOUT = [word for name in ("linear_scaling", "warmup", "zero_gamma") for word in ("--no-trick", name)]
FEW = ["quickstart", *WITHOUT, "--no-trick", "no_bias_decay", "--no-trick", "resnet_variant"]
"""The words that leave the recipe cosine decay, label smoothing and mixup."""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder for runs, which a stand-in trains."""
    monkeypatch.setenv("KERAS_TRICKS_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(ablate_command, "LocalLauncher", functools.partial(LocalLauncher, trainer=COMMAND))
    yield tmp_path / "runs"
    kill_all_of(tmp_path)


@pytest.fixture
def command(root, capsys):
    """Run `keras-tricks`; return exit code, standard output and standard error."""

    def run(*words):
        with pytest.raises(SystemExit) as caught:
            main([*map(str, words)])
        out, err = capsys.readouterr()
        return caught.value.code or 0, out, err

    return run


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "It did not happen."
        time.sleep(0.02)


def test_an_ablation_from_its_plan_to_its_report(command, root):
    code, out, _ = command("ablate", *FEW, "--seeds", "2", "--dry-run")
    assert code == 0 and "8 cells, 8 to train" in out
    assert not root.exists()

    code, out, _ = command("ablate", *FEW, "--seeds", "2", "--jobs", "2")
    assert code == 0, out
    assert "8 cells, 8 to train; 2 at once, each with TF_NUM_INTRAOP_THREADS=" in out
    assert "+ mixup, seed 1: begins in 2" in out and "+ mixup, seed 1: finished, val_accuracy 0.7610" in out
    assert "difference to the step before" in out and "70.05 ± 0.07" in out
    (folder,) = (root / "ablations").iterdir()
    written = {path.name for path in folder.iterdir()} - {"alive.lock"}
    assert written == {"report.html", "report.md", "report.csv", "report.png"}
    assert (folder / "report.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((folder / "report.csv").open()))
    assert [row["variant"] for row in rows] == ["baseline", "+ cosine_decay", "+ label_smoothing", "+ mixup"]
    assert float(rows[1]["difference"]) == pytest.approx(0.015)

    code, out, _ = command("ablate", *FEW, "--seeds", "2", "--id", folder.name)
    assert code == 0 and "8 cells, 8 to keep" in out and "begins" not in out
    assert len(list_runs(root)) == 8


def test_a_failed_cell_is_reported_and_tried_again_or_left(command, root):
    code, out, err = command("ablate", *FEW, "--design", "leave-one-out", "--seeds", f"{SUCCEEDS},{FAILS}")
    assert code == 1
    assert "4 of 8 cells are not finished. The same command trains these again" in err
    assert "not counted: all tricks, seed 2: failed: DivergedError: the loss is NaN" in out
    code, out, err = command(
        "ablate", *FEW, "--design", "leave-one-out", "--seeds", f"{SUCCEEDS},{FAILS}", "--no-retry"
    )
    assert "The same command without --no-retry trains these again" in err
    assert code == 1 and "4 to keep, 4 to leave" in out and "begins" not in out
    attempts = [run.status().attempt for run in list_runs(root)]
    assert set(attempts) == {1}
    _, out, _ = command("ablate", *FEW, "--design", "leave-one-out", "--seeds", f"{FAILS}-{FAILS}", "--dry-run")
    assert out.count("train again") >= 4


def test_ctrl_c_says_how_to_go_on(command, root):
    def interrupt():
        until(lambda: any(run.state == "running" for run in summarize_all(root)))
        os.kill(os.getpid(), signal.SIGINT)

    words = ["ablate", *FEW, "--no-trick", "mixup", "--seeds", f"{WAITS_ONCE}-{WAITS_ONCE}"]
    thread = threading.Thread(target=interrupt)
    thread.start()
    code, out, err = command(*words)
    thread.join()
    assert code == 130
    assert "stopping 1 cell with a checkpoint" in err
    assert "3 cells, 1 to resume, 2 to train. The same command goes on" in err
    assert "not counted: baseline, seed 4: stopped" in out


def test_report_on_runs_a_filter_and_an_ablation(command, root, tmp_path):
    assert command("ablate", *FEW, "--seeds", "2", "--id", "mine")[0] == 0
    by_id = json.loads(command("report", "--ablation", "mi", "--json")[1])
    assert by_id == json.loads(command("report", "--ablation", "last", "--json")[1])
    assert by_id == json.loads(command("report", "--filter", "state:finished", "--json")[1])
    assert [row["n"] for row in by_id] == [2, 2, 2, 2]
    code, out, _ = command(
        "report", list_runs(root)[0].id, "--html", tmp_path / "r.html", "--markdown", tmp_path / "r.md"
    )
    assert code == 0 and out.count("wrote ") == 2
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    loss = json.loads(command("report", "--ablation", "mine", "--metric", "val_loss", "--json")[1])
    assert loss[0]["val_loss"] == pytest.approx(0.5) and loss[0]["best"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["ablate", "nonesuch"], "There is no recipe 'nonesuch'"),
        (["ablate", "quickstart", "--seeds", "0"], "Expected 1 to 1000 seeds"),
        (["ablate", "quickstart", "--seeds", "x"], "Expected seeds as 0,1,2 or 0-4"),
        (["ablate", "quickstart", "--id", "a b"], "Expected an id"),
        (["ablate", "quickstart", "--slurm", "timeout_min=5"], "--slurm is for --launcher slurm"),
        (["ablate", "quickstart", "--launcher", "slurm", "--slurm", "timeout_min"], "Expected NAME=VALUE"),
        (["ablate", "quickstart", "--set", "model=nf_resnet20"], "zero_gamma needs"),
        (["report"], "Expected runs, or --filter"),
        (["report", "--ablation", "last"], "There is no ablation under"),
        (["report", "x", "--ablation", "last"], "leave runs and --filter out"),
    ],
)
def test_bad_input(command, root, words, reason):
    code, _, err = command(*words)
    assert code == 2 and reason in err
    assert list_runs(root) == []


@pytest.mark.parametrize("start", [["ablate"], ["queue", "variants"]])
def test_what_is_wrong_with_all_variants_is_said_once(command, start):
    code, _, err = command(*start, "quickstart", "--set", "batch_size=2000")
    assert code == 2 and err.count("Set batch_size=1437") == 1
    assert "keras-tricks: error: digits has 1437 training images" in err
    code, _, err = command(*start, "quickstart", "--set", "epochs=3", "--trick", "warmup.epochs=5")
    assert code == 2 and err.count("does not fit") == 1
    assert "error: + warmup, + zero_gamma" in err or "error: all tricks, without linear_scaling, without zero" in err


def test_a_warning_of_the_recipe_is_said_before_hours_of_training(command):
    code, _, err = command("ablate", "quickstart", "--set", "epochs=5", "--trick", "warmup.epochs=5", "--dry-run")
    assert code == 0 and err.count("warning: The whole run is warmup") == 1


def test_an_unknown_ablation_names_those_that_there_are(command):
    assert command("ablate", *FEW, "--seeds", "1", "--id", "mine")[0] == 0
    code, _, err = command("report", "--ablation", "yours")
    assert code == 2 and "'yours' means no ablation" in err and "There are: mine" in err
