"""`keras-tricks runs ls, diff, compare, watch`: lists, filters, comparisons, and the plain way to follow a run."""

import csv
import fcntl
import io
import json

import pytest
from rich.console import Console

from keras_tricks.cli import compare_command, main, options, watching
from keras_tricks.runs import Run, RunWriter, Status, create_run, schema


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


def add(root, run_id, *, name="plain", seed=0, tricks=(), accuracy=0.9, end="finished", parent=None):
    recipe = {"name": name, "model": "resnet20", "data": "digits", "seed": seed, "tricks": list(tricks)}
    directory = create_run(root, name, recipe, parent=parent).rename(root / run_id)
    with RunWriter(directory) as writer:
        writer.begin(epochs=2, steps=20)
        for epoch in (1, 2):
            values = {"val_accuracy": accuracy - 0.1 * (2 - epoch), "val_loss": 1 / epoch}
            writer.metrics("epoch", epoch=epoch, step=10 * epoch, values=values)
            writer.update(epoch=epoch, step=10 * epoch, last=values)
        writer.event("checkpoint", "epoch 2 saved")
        if end:
            writer.end(end)
    return directory


@pytest.fixture
def runs(tmp_path):
    """Two variants with two seeds, and a run that failed."""
    root = tmp_path / "runs"
    mixup = [{"trick": "mixup", "alpha": 0.3}]
    add(root, "20270101T000000Z-plain-aaa0", seed=0, accuracy=0.80)
    add(root, "20270102T000000Z-plain-aaa1", seed=1, accuracy=0.82)
    add(root, "20270103T000000Z-mixed-bbb0", name="mixed", seed=0, tricks=mixup, accuracy=0.83)
    add(root, "20270104T000000Z-mixed-bbb1", name="mixed", seed=1, tricks=mixup, accuracy=0.86)
    add(root, "20270105T000000Z-plain-cccc", seed=7, accuracy=0.5, end="failed", parent="20270101T000000Z-plain-aaa0")
    return root


def ids(out):
    return [row["id"][-4:] for row in csv.DictReader(io.StringIO(out))]


def watch(directory, metric, value):
    """Let a run keep the best value of a metric, which it also ended with."""
    status = json.loads((directory / schema.STATUS_FILE).read_text())
    status["best"] = {"metric": metric, "value": value, "epoch": 2}
    status["last"][metric] = value
    (directory / schema.STATUS_FILE).write_text(json.dumps(status))


def test_lists_show_the_metric_that_the_runs_watch(command, runs):
    def headings(*words):
        return command("runs", "ls", "--csv", *words)[1].splitlines()[0].split(",")

    assert headings()[3:5] == ["val_accuracy", "best"], "No run says what it watches."
    watch(runs / "20270101T000000Z-plain-aaa0", "val_accuracy", 0.8)
    watch(runs / "20270102T000000Z-plain-aaa1", "val_mean_iou", 0.4)
    watch(runs / "20270103T000000Z-mixed-bbb0", "val_loss", 0.4)
    assert headings("--filter", "aaa0 or bbb0")[3:5] == ["val_accuracy", "best"], "The loss is no reason to hide it."
    assert headings("--filter", "aaa1")[3:5] == ["val_mean_iou", "best"]
    assert headings()[3:5] == ["best", "best_epoch"], "What a run is best at depends on its task."


def test_lists_are_filtered_sorted_and_given_columns(command, runs):
    assert ids(command("runs", "ls", "--csv")[1]) == ["cccc", "bbb1", "bbb0", "aaa1", "aaa0"]
    words = ["runs", "ls", "--filter", "state:finished val_accuracy>.81", "--csv"]
    assert ids(command(*words, "--sort", "val_accuracy")[1]) == ["bbb1", "bbb0", "aaa1"]
    assert ids(command(*words, "--sort", "val_accuracy", "--reverse")[1]) == ["aaa1", "bbb0", "bbb1"]
    _, out, _ = command(*words, "--columns", "id, mixup.alpha, delta.val_accuracy", "--baseline", "aaa0")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["mixup.alpha"] for row in rows] == ["0.3", "0.3", ""]
    assert float(rows[0]["delta.val_accuracy"]) == pytest.approx(0.06)
    _, out, _ = command("runs", "ls", "--columns", "name,epoch,val_accuracy,parent", "--filter", "parent:aaa0")
    assert out.split()[-4:] == ["plain", "2/2", ".5000", "20270101T000000Z-plain-aaa0"]
    assert command("runs", "ls", "--markdown", "--filter", "cccc")[1].splitlines()[1].startswith("| --- | --- | ---:")
    [document] = json.loads(command("runs", "ls", "--json", "--filter", "seed:7")[1])
    assert (document["state"], document["last"]["val_accuracy"]) == ("failed", 0.5)
    [row] = json.loads(command("runs", "ls", "--json", "--filter", "seed:7", "--columns", "seed,parent")[1])
    assert row == {"seed": 7, "parent": "20270101T000000Z-plain-aaa0"}
    assert "None of 5 runs matches" in command("runs", "ls", "--filter", "nothing")[1]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["ls", "--filter", "val_acuracy>.9"], "Did you mean val_accuracy?"),
        (["ls", "--columns", "id,sed"], "Did you mean seed?"),
        (["ls", "--sort", "zzz"], "There is no 'zzz'. There are: state, name"),
        (["diff", "aaa0"], "Expected two runs or more"),
        (["diff"], "Expected runs, or --filter EXPRESSION"),
        (["compare", "--filter", "nothing"], "None of 5 runs"),
        (["compare", "aaa0", "--metric", "val_los"], "Did you mean val_loss?"),
        (["compare", "aaa0", "--baseline", "zzz"], "There is no run 'zzz'"),
        (["compare", "aaa"], "means 2 runs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gets_one_line(command, runs, words, reason):
    code, out, err = command("runs", *words)
    assert code == 2
    assert reason in err
    assert len(err.splitlines()) == 1, out


def test_diff_names_what_differs(command, runs):
    _, out, _ = command("runs", "diff", "aaa0", "bbb1")
    assert "A  20270101T000000Z-plain-aaa0" in out
    assert [line.split() for line in out.splitlines() if line.split()[:1] in (["seed"], ["mixup"])] == [
        ["seed", "0", "1"],
        ["mixup", "off", "on"],
    ]
    document = json.loads(command("runs", "diff", "aaa0", "bbb1", "--json")[1])
    assert document["seed"] == {"20270101T000000Z-plain-aaa0": 0, "20270104T000000Z-mixed-bbb1": 1}


def test_compare_pairs_by_seed_and_writes_files(command, runs, tmp_path):
    files = {option: tmp_path / f"out/all.{option}" for option in ("csv", "markdown")}
    png = tmp_path / "all.png"
    words = ["--filter", "state:finished", "--csv", files["csv"], "--markdown", files["markdown"], "--png", png]
    code, out, err = command("runs", "compare", *words)
    assert code == 0, err
    for expected in ("+mixup", "+.0350", "paired by seed", f"wrote {png}"):
        assert expected in out
    assert [row["run"] for row in csv.DictReader(files["csv"].open())] == ["A", "B", "C", "D"]
    assert "## Effects on val_accuracy" in files["markdown"].read_text()
    assert png.read_bytes().startswith(b"\x89PNG")
    document = json.loads(command("runs", "compare", "bbb0", "bbb1", "--baseline", "aaa0", "--json")[1])
    assert [row["id"][-4:] for row in document["values"]] == ["aaa0", "bbb0", "bbb1"]
    assert document["effects"][1]["pairs"] == 1
    assert document["effects"][1]["note"] == "one seed, so no interval; unpaired: seed 1"


def test_unreadable_lines_are_told(command, runs):
    with (runs / "20270101T000000Z-plain-aaa0" / schema.METRICS_FILE).open("a") as file:
        file.write("{torn\n{}\n")
    code, _, err = command("runs", "compare", "aaa0", "bbb1")
    assert code == 0 and "unreadable lines in the metrics of 20270101T000000Z-plain-aaa0: 2" in " ".join(err.split())


def test_runs_that_cannot_be_removed_stay_and_the_others_go(command, runs):
    live = add(runs, "20270102T000001Z-live-dddd", end=None)
    with (live / schema.LOCK_FILE).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, out, err = command("runs", "rm", "--yes", "--filter", "state:finished,running")
    assert code == 2 and out.count("removed") == 4
    assert "dddd is being trained" in err and "1 of 5 runs stay as they are" in err
    assert sorted(path.name[-4:] for path in runs.iterdir()) == ["cccc", "dddd"]


def test_a_comparison_of_many_runs_fits_a_terminal(command, runs, monkeypatch):
    monkeypatch.setattr(options, "console", narrow := lambda: Console(highlight=False, width=80))
    monkeypatch.setattr(compare_command, "console", narrow)
    mixup = [{"trick": "mixup", "alpha": 0.3}]
    for seed in range(20):
        add(runs, f"20270201T0000{seed:02}Z-mixed-dd{seed:02}", name="mixed", seed=seed, tricks=mixup, accuracy=0.98765)
    code, out, err = command("runs", "compare", "--filter", "state:finished", "--baseline", "aaa0")
    assert code == 0, err
    assert "…" not in out
    assert "otherwise than A" in out
    lines = [line.split() for line in out.splitlines()]
    assert ["B", "seed=1"] in lines and ["X", "+mixup", "seed=19"] in lines
    assert ["B", "finished", "1", "2", ".8200", "+.0200", ".8200", "2"] in lines


def test_a_narrow_terminal_cuts_no_name(command, runs, monkeypatch):
    monkeypatch.setattr(options, "console", lambda: Console(highlight=False, width=50))
    code, out, _ = command("runs", "ls", "--columns", "id,state,epoch,val_accuracy,best")
    assert code == 0 and "…" not in out
    first_column = "".join(line[1:].split(" ")[0] for line in out.splitlines())
    assert "20270101T000000Z-plain-aaa0" in first_column


def test_a_plot_makes_its_folder_and_what_cannot_be_written_is_named_once(command, runs, tmp_path):
    png = tmp_path / "new" / "folder" / "all.png"
    assert command("runs", "compare", "aaa0", "bbb0", "--png", png)[0] == 0
    assert png.is_file()
    (tmp_path / "in_the_way").write_text("")
    code, _, err = command("runs", "compare", "aaa0", "--csv", tmp_path / "in_the_way" / "all.csv")
    assert code == 2
    assert err.endswith("all.csv cannot be written. Make it writable again.\n")


def test_runs_without_recipes_are_not_called_equal(command, tmp_path):
    for name in ("one", "two"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "training.log").write_text("epoch,loss\n0,2.0\n")
    assert command("runs", "diff", "one", "two")[1].splitlines()[-1] == "None of the runs has a recipe."


def test_runs_that_match_are_removed_after_a_question(command, runs, monkeypatch):
    questions = []
    monkeypatch.setattr("typer.confirm", lambda question: questions.append(question) or "cccc" in question)
    _, out, _ = command("runs", "rm", "bbb0", "--filter", "state:failed")
    assert [question.split()[1][-4:] for question in questions] == ["bbb0", "cccc"]
    assert out == "removed 20270105T000000Z-plain-cccc\n"
    assert len(list(runs.iterdir())) == 4


def test_a_finished_run_is_watched_in_plain_lines(command, runs):
    _, out, _ = command("runs", "watch", "aaa0", "--plain")
    assert out.splitlines() == [
        "epoch 1/2  val_accuracy 0.7  val_loss 1",
        "epoch 2/2  val_accuracy 0.8  val_loss 0.5",
        "checkpoint: epoch 2 saved",
        "20270101T000000Z-plain-aaa0 is finished",
    ]


def test_a_live_run_is_watched_in_plain_lines_without_control_characters(tmp_path, capsys):
    directory = add(tmp_path, "20270101T000000Z-plain-aaa0", end=None)
    (directory / schema.EVENTS_FILE).write_text(
        schema.encode({"kind": "warning", "t": 0.0, "attempt": 1, "step": 1, "message": "\x1b[31mred\nand more\x07"})
        + "\n"
    )
    status = json.loads((directory / schema.STATUS_FILE).read_text())
    looks = []
    with (directory / schema.LOCK_FILE).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status |= {"state": "running", "epoch": 1, "step": 15, "images_per_second": 812.4, "eta_s": 125.0}
        (directory / schema.STATUS_FILE).write_text(json.dumps(status))

        def sleep(_):
            looks.append(1)
            if len(looks) == 2:
                fcntl.flock(lock, fcntl.LOCK_UN)

        watching.follow_plainly(Run(directory), every=0.0, sleep=sleep)
    out = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in out)
    lines = out.splitlines()
    assert lines[0] == f"{directory.name} is running"
    assert "warning:  [31mred and more " in lines
    progress = "progress: epoch 2 of 2, 75 percent, step 15 of 20, 812 images a second, about 2 minutes 5 seconds left"
    assert lines.count(progress) == 2
    assert lines[-1] == f"{directory.name} is lost"


def test_a_terminal_gets_a_live_line(tmp_path):
    directory = add(tmp_path, "20270101T000000Z-plain-aaa0", end=None)
    out = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    with (directory / schema.LOCK_FILE).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        watching.follow_live(Run(directory), out, sleep=lambda _: fcntl.flock(lock, fcntl.LOCK_UN))
    text = out.file.getvalue()
    assert "● running epoch 2/2 ━━" in text
    assert "100 %" in text
    assert f"{directory.name} is lost" in text
    assert text.index("epoch 1/2  val_accuracy") < text.index("● running")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 seconds"), (1, "1 second"), (125, "2 minutes 5 seconds"), (3600, "1 hour"), (90061, "1 day 1 hour")],
)
def test_times_are_spoken(seconds, words):
    assert watching.spoken_duration(seconds) == words


def test_progress_of_a_run_that_has_just_begun():
    assert watching.progress_words(Status(state="starting")) == "progress: starting"
