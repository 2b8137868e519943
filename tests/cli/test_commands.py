"""The command line: what each command prints, its exit codes, and one line for each bad input."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_tricks.cli import main
from keras_tricks.predictions import Predictions
from keras_tricks.presets import presets
from keras_tricks.runs import RunWriter, create_run, list_runs, schema
from keras_tricks.tricks import TRICKS

SMALL = ["--set", "epochs=1", "--set", "image_size=8", "--set", "batch_size=256", "--trick", "warmup.epochs=0"]


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """Run the command line; return exit code, standard output and standard error."""
    monkeypatch.setenv("KERAS_TRICKS_RUNS", str(tmp_path / "runs"))

    def run(*words):
        with pytest.raises(SystemExit) as caught:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        code = caught.value.code
        return 0 if code is None else code, out, err

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A runs directory with one run, trained for an epoch by the command line."""
    root = tmp_path_factory.mktemp("trained") / "runs"
    with pytest.raises(SystemExit) as caught:
        main(["train", "quickstart", *SMALL, "--runs-dir", str(root)])
    assert not caught.value.code
    return root


def image_folder(root, classes=("cat", "dog"), images=6, size=40):
    rng = np.random.default_rng(0)
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(images):
            pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def bad(answer, *reasons):
    """Assert that a command refused its input in one line with these words."""
    code, out, err = answer
    lines = [line for line in err.splitlines() if line]
    assert code == 2, answer
    assert len(lines) == 1, err
    assert "Traceback" not in out + err
    for reason in reasons:
        assert reason in lines[0]


def test_lists_as_tables_and_as_json(command):
    for words, names in ((["tricks"], TRICKS), (["recipes"], presets())):
        code, out, _ = command(*words)
        assert code == 0
        for name in names:
            assert name in out
        documents = json.loads(command(*words, "--json")[1])
        assert [document["name"] for document in documents] == list(names)
    models = json.loads(command("models", "--json")[1])
    assert {"resnet20", "resnet50"} <= {model["name"] for model in models}
    assert "ResNet-50" in command("models")[1]


def test_a_trick_is_explained(command):
    _, out, _ = command("tricks", "mixup")
    for words in ("weighted sums", "alpha = 0.2", ">= 0 and <= 10", "section 5.4", "arxiv.org/abs/1812.01187"):
        assert words in out
    document = json.loads(command("tricks", "mixup", "--json")[1])
    assert document["stages"] == ["data"]
    bad(command("tricks", "mixpu"), "Did you mean mixup")


def test_a_dry_run_trains_nothing(command, tmp_path):
    code, out, _ = command("train", "quickstart", "--set", "epochs=7", "--trick", "mixup.alpha=0.4", "--dry-run")
    assert code == 0
    assert "epochs         7" in out
    assert "alpha 0.4" in out
    assert "parameters     272474\n" in out
    assert re.search(r"memory         about \d+ MiB a device for 64 images: weights .* activations", out)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "reasons"),
    [
        (["nonesuch"], ["There is no recipe 'nonesuch'"]),
        (["quickstart", "--set", "model=resnet21"], ["model", "resnet20"]),
        (["quickstart", "--data", "Digit"], ["Did you mean digits"]),
        (["quickstart", "--trick", "mixpu"], ["There is no trick 'mixpu'. Did you mean mixup"]),
        (["quickstart", "--no-trick", "mixpu"], ["There is no trick"]),
        (["quickstart", "--trick", "mixup.beta=1"], ["mixup has no parameter 'beta'. It has: alpha, per_image."]),
        (["quickstart", "--trick", "mixup.alpha=11"], ["mixup.alpha", "less than or equal to 10", "11"]),
        (["quickstart", "--trick", "mixup.alpha"], ["Expected a trick's name or name.parameter=value"]),
        (["quickstart", "--set", "epochs=abc"], ["epochs: input should be a valid integer", "abc"]),
        (["quickstart", "--set", "epochs=0"], ["greater than or equal to 1"]),
        (["quickstart", "--set", "epoch=1"], ["A recipe has no field 'epoch'. Did you mean epochs"]),
        (["quickstart", "--set", "epochs"], ["Expected field=value"]),
        (["quickstart", "--trick", "step_decay.epochs=5"], ["exclude each other"]),
        (["quickstart", "--data", "folder:"], ["Expected a path"]),
        (["quickstart", "--data", "folder:/no/such/folder"], ["/no/such/folder"]),
        (["quickstart", "--data", "cifar10", "--data-dir", "/no/such/place"], ["cifar10", "/no/such/place"]),
        (["missing.json"], ["There is no recipe file missing.json"]),
    ],
    ids=lambda value: " ".join(value[-1:]),
)
def test_bad_input_gets_one_line_and_makes_no_run(command, tmp_path, words, reasons):
    bad(command("train", *words), *reasons)
    assert not (tmp_path / "runs").exists()


def test_bad_recipe_files(command, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text("{not json")
    bad(command("train", path), "is not valid JSON")
    path.write_text(json.dumps({"schema_version": 99}))
    bad(command("train", path), "schema version 99", "Upgrade keras-tricks")


def test_empty_folders_of_images(command, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    bad(command("train", "quickstart", "--data", f"folder:{empty}"), str(empty))
    root = image_folder(tmp_path / "one_empty")
    (root / "bird").mkdir()
    bad(command("train", "quickstart", "--data", f"folder:{root}"), "bird")


def test_a_half_corrupt_folder_is_trained_on_and_the_bad_files_are_named(command, tmp_path):
    root = image_folder(tmp_path / "images", images=12)
    (root / "cat" / "0.png").write_bytes((root / "cat" / "0.png").read_bytes()[:200])
    (root / "cat" / "notes.txt").write_text("not an image")
    (root / "dog" / "1.png").write_bytes(b"")
    words = ["--set", "batch_size=8", "--set", "image_size=32", *SMALL[:2], "--trick", "warmup.epochs=0"]
    code, out, err = command("train", "quickstart", "--data", f"folder:{root}", *words)
    assert code == 0, err
    assert "epoch 1/1" in out
    (run,) = list_runs(tmp_path / "runs")
    warning = " ".join(event.message for event in run.events() if event.kind == "warning")
    assert "3 files" in warning
    for name in ("0.png", "notes.txt", "1.png"):
        assert name in warning


def test_a_runs_folder_that_cannot_be_written(command, tmp_path):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    bad(command("train", "quickstart", *SMALL, "--runs-dir", in_the_way / "runs"), "Cannot write to")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")
@pytest.mark.parametrize("options", ["ro", "size=4k"])
def test_a_read_only_and_a_full_runs_folder(command, tmp_path, options):
    mount = tmp_path / "mount"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", mount], check=False).returncode:
        pytest.skip("this system does not let root mount a tmpfs")
    try:
        if options != "ro":
            (mount / "filler").write_bytes(b"x" * 4096)
        bad(command("train", "quickstart", *SMALL, "--detach", "--runs-dir", mount / "runs"), "Cannot write to")
        assert list_runs(mount / "runs") == []
    finally:
        subprocess.run(["umount", mount], check=True)


def test_runs_that_are_broken_or_missing(command, tmp_path):
    bad(command("runs", "show", "nonesuch"), "There is no run 'nonesuch'")
    directory = create_run(tmp_path / "runs", "x", presets()["quickstart"].model_dump(mode="json"))
    (directory / schema.STATUS_FILE).unlink()
    for words in (["runs", "show"], ["runs", "resume"], ["runs", "stop"], ["runs", "watch"]):
        bad(command(*words, directory.name), "has no status.json: the run is incomplete")
    code, out, _ = command("runs", "ls")
    assert code == 0
    assert "broken" in out


def test_a_run_that_is_alive_is_not_trained_twice(command, tmp_path):
    directory = create_run(tmp_path / "runs", "x", presets()["quickstart"].model_dump(mode="json"))
    with RunWriter(directory) as writer:
        writer.begin(epochs=1, steps=1)
        bad(command("runs", "resume", "last"), "There is nothing to resume")
        bad(command("train-run", directory), "is being trained by process")
        bad(command("runs", "rm", "--yes", "last"), "Stop it first")
    bad(command("runs", "stop", "last"), "is not running")


def test_no_runs_yet(command):
    code, out, _ = command("runs", "ls")
    assert code == 0
    assert "keras-tricks train quickstart" in out
    assert json.loads(command("runs", "ls", "--json")[1]) == []


def test_a_finished_run_is_listed_shown_watched_and_removed(command, trained, tmp_path):
    (run,) = list_runs(trained)
    (document,) = json.loads(command("runs", "ls", "--json", "--runs-dir", trained)[1])
    assert (document["state"], document["epoch"]) == ("finished", 1)
    assert "finished" in command("runs", "ls", "--runs-dir", trained)[1]
    shown = json.loads(command("runs", "show", "last", "--json", "--runs-dir", trained)[1])
    assert shown["result"]["metrics"] == run.result()["metrics"]
    assert "label_smoothing" in command("runs", "show", "last", "--runs-dir", trained)[1]
    watched = command("runs", "watch", "last", "--runs-dir", trained)[1]
    assert "epoch 1/1" in watched
    assert f"{run.id} is finished" in watched
    bad(command("runs", "resume", "last", "--runs-dir", trained), "is finished")


def test_evaluate_gives_what_training_measured_and_the_predictions_that_it_kept(command, trained, tmp_path):
    (run,) = list_runs(trained)
    path, plot = run.directory / schema.PREDICTIONS_FILE, tmp_path / "confusion.png"
    kept = Predictions.load(path)
    path.unlink()
    code, out, _ = command("evaluate", "last", "--json", "--confusion", "--plot", plot, "--runs-dir", trained)
    assert code == 0
    values = json.loads(out)
    assert values["images"] == 360
    assert values["accuracy"] == pytest.approx(run.result()["metrics"]["val_accuracy"], abs=1e-6)
    assert values["loss"] == pytest.approx(run.result()["metrics"]["val_loss"], abs=1e-5)
    assert values["calibration_error"] == pytest.approx(run.result()["calibration_error"], abs=1e-6)
    assert kept.accuracy == pytest.approx(run.result()["metrics"]["val_accuracy"], abs=1e-6)
    correct = sum(score["correct"] for score in values["classes"])
    assert correct / values["images"] == pytest.approx(values["accuracy"], abs=1e-6)
    assert values["worst"][0]["loss"] >= values["worst"][-1]["loss"]
    assert Predictions.load(path).counts == kept.counts
    assert Image.open(plot).size[0] > 400


def test_predict_names_classes_with_probabilities(command, trained, tmp_path):
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "black.png")
    Image.fromarray(pixels[..., 0] + 200).save(tmp_path / "gray.png")
    images = [tmp_path / "black.png", tmp_path / "gray.png"]
    answers = json.loads(command("predict", "last", *images, "--top", 10, "--json", "--runs-dir", trained)[1])
    for answer in answers:
        probabilities = [guess["probability"] for guess in answer["classes"]]
        assert sum(probabilities) == pytest.approx(1, abs=1e-5)
        assert probabilities == sorted(probabilities, reverse=True)
        assert {guess["class"] for guess in answer["classes"]} == set("0123456789")
    assert "black.png" in command("predict", "last", *images, "--runs-dir", trained)[1]
    (tmp_path / "bad.png").write_text("no image")
    bad(command("predict", "last", tmp_path / "bad.png", "--runs-dir", trained), "bad.png")
    code, out, err = command("predict", "last", tmp_path / "bad.png", *images, "--json", "--runs-dir", trained)
    assert code != 0 and "bad.png cannot be read as an image" in err
    assert json.loads(out) == [each | {"classes": each["classes"][:5]} for each in answers], (
        "What can be read is not lost."
    )
    bad(command("predict", "last", tmp_path / "none.png", "--runs-dir", trained), "There is no image file")


def test_removing_a_run_asks_first(command, tmp_path, monkeypatch):
    directory = create_run(tmp_path / "runs", "x", {})
    monkeypatch.setattr("typer.confirm", lambda question: False)
    command("runs", "rm", "last")
    assert directory.exists()
    assert command("runs", "rm", "last", "--yes")[0] == 0
    assert not directory.exists()


def test_the_ui_needs_a_terminal(command):
    bad(command(), "needs a terminal")


@pytest.mark.parametrize("script", sorted(Path("recipes").glob("*.py")), ids=lambda path: path.stem)
def test_each_recipe_is_a_script(script, tmp_path):
    for folder in ("images", "BCCD", "CamVid"):
        (tmp_path / folder).mkdir()
    answer = subprocess.run(
        [sys.executable, script.resolve(), "--set", "epochs=77", "--dry-run"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert answer.returncode == 0, answer.stderr
    assert "epochs         77" in answer.stdout


def test_a_failed_run_exits_with_1(command, tmp_path):
    words = ["--set", "learning_rate=1000", "--set", "epochs=30", "--no-trick", "warmup", "--no-trick", "zero_gamma"]
    small = ["--set", "image_size=8", "--set", "batch_size=256"]
    code, _, err = command("train", "quickstart", *words, *small)
    assert code == 1
    assert "the run failed: DivergedError" in err
    assert "Traceback" not in err
    assert list_runs(tmp_path / "runs")[0].status().state == "failed"
