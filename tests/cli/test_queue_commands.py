"""`keras-tricks queue`: what each command prints and changes, and one line for each bad input."""

import functools
import json
import time

import pytest
from queued_trainer import COMMAND, SUCCEEDS, WAITS, kill_all_of

from keras_tricks.cli import main, queue_commands
from keras_tricks.queue import RunQueue
from keras_tricks.runs import Run, list_runs


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder for runs, which a stand-in trains."""
    monkeypatch.setenv("KERAS_TRICKS_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(queue_commands, "RunQueue", functools.partial(RunQueue, trainer=COMMAND))
    yield tmp_path / "runs"
    kill_all_of(tmp_path)


@pytest.fixture
def command(root, capsys):
    """Run `keras-tricks queue`; return exit code, standard output and standard error."""

    def run(*words):
        with pytest.raises(SystemExit) as caught:
            main(["queue", *map(str, words)])
        out, err = capsys.readouterr()
        return caught.value.code or 0, out, err

    return run


@pytest.fixture
def add(command):
    """Queue runs without a runner; return their ids."""

    def add_runs(*words):
        code, out, err = command("add", "quickstart", "--no-start", *words)
        assert code == 0, err
        return [line.split()[0] for line in out.splitlines() if "queued in the lane" in line]

    return add_runs


def listed(command):
    """The waiting runs of each lane."""
    document = json.loads(command("ls", "--json")[1])
    return {lane["lane"]: [run["run"] for run in lane["runs"]] for lane in document["lanes"]}


def bad(answer, *reasons):
    """Assert that a command refused its input in one line with these words."""
    code, out, err = answer
    assert code == 2, answer
    assert len(err.splitlines()) == 1, err
    assert not out
    for reason in reasons:
        assert reason in err


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "It did not happen."
        time.sleep(0.02)


def test_adding_starts_the_runner_which_trains_each_seed(command, root):
    words = ["--seeds", f"{SUCCEEDS}, {WAITS}", "--lane", "cpu", "--set", "epochs=7", "--no-trick", "label_smoothing"]
    code, out, _ = command("add", "quickstart", *words)
    assert code == 0
    assert out.count("queued in the lane cpu") == 2
    assert "its runner is process" in out
    second = Run(root / out.splitlines()[1].split()[0])
    assert second.recipe()["epochs"] == 7
    assert second.document()["argv"]
    until(lambda: second.status().state == "running")

    _, out, _ = command("ls")
    assert "epochs=7 seed=1 -label_smoothing" in out
    assert "finished" in out, "What has ended is there too."
    assert "stops now" in command("stop", "--now")[1]
    until(lambda: second.status().state == "stopped")
    until(lambda: "no runner, the last one ended: it was asked to stop; 0 runs waiting" in command("ls")[1])


def test_times_gives_each_run_the_next_seed(add, root):
    runs = add("--times", 3, "--set", "seed=40")
    assert [Run(root / run).recipe()["seed"] for run in runs] == [40, 41, 42]
    assert not (root / ".queue" / "all.lock").exists(), "No runner was started."


def test_moving(command, add):
    first, second, third = add("--times", 3)
    assert command("mv", third, "first")[0] == 0
    assert listed(command) == {"all": [third, first, second]}
    command("mv", first, 3)
    command("mv", second, "up")
    assert listed(command) == {"all": [second, third, first]}
    command("mv", third, "--lane", "gpu1,0")
    assert listed(command) == {"all": [second, first], "gpu0,1": [third]}
    bad(command("mv", third, "up", "--lane", "all"), "Expected a place in the lane all: a number, first or last")
    bad(command("mv", third, 4, "--lane", "all"), "Expected a place from 1 to 3 in the lane all. Received: 4")
    bad(command("mv", third), "Name a place")
    bad(command("mv", third, "top"), "Expected a place counted from 1", "'top'")
    bad(command("mv", "quickstart", 1), "means 3 runs")
    bad(command("mv", "nono", 1), "no run 'nono' in the queue (3 runs)")
    assert listed(command) == {"all": [second, first], "gpu0,1": [third]}


def test_removing_asks_first_and_takes_the_directory_with_it(command, add, root, monkeypatch):
    first, second = add("--times", 2)
    monkeypatch.setattr("typer.confirm", lambda question: first in question)
    command("rm", first, second)
    assert [run.id for run in list_runs(root)] == [second]
    assert listed(command) == {"all": [second]}
    assert command("rm", "--yes", second[-4:])[1] == f"removed {second}\n"
    assert list_runs(root) == []
    assert "Nothing is queued" in command("ls")[1]


def test_start_and_stop(command, add, root):
    bad(command("start"), "Nothing is queued")
    bad(command("stop"), "No lane has a runner")
    first, second = add("--seeds", WAITS), add("--seeds", SUCCEEDS)
    other = add("--seeds", SUCCEEDS, "--lane", "cpu")
    out = command("start")[1]
    assert out.count("its runner started as process") == 2
    until(lambda: Run(root / first[0]).status().state == "running")
    assert "is alive already" in command("start", "--lane", "all")[1]
    assert command("stop", "--lane", "all")[1] == "lane all: stops after the run in progress\n"
    assert "stops after the run in progress; `queue start` undoes that; 1 run waiting" in command("ls")[1]
    assert "its runner goes on" in command("start", "--lane", "all")[1]
    bad(command("rm", "-y", first[0]), "has been taken by the runner of its lane")
    command("stop", "--lane", "all")
    command("stop", "--lane", "all", "--now")
    until(lambda: "no runner, the last one ended: it was asked to stop; 1 run waiting" in command("ls")[1])
    until(lambda: Run(root / other[0]).status().state == "finished")
    assert Run(root / second[0]).status().state == "queued"
    bad(command("stop", "--lane", "all"), "The lane all has no runner")


@pytest.mark.parametrize(
    ("words", "reasons"),
    [
        (["nonesuch"], ["There is no recipe 'nonesuch'"]),
        (["quickstart", "--lane", "tpu"], ["Expected a lane: all, cpu, gpu0", "'tpu'"]),
        (["quickstart", "--data", "folder:/no/such/folder"], ["/no/such/folder"]),
        (["quickstart", "--seeds", "1,x"], ["Expected seeds as 0,1,2 or 0-4", "'1,x'"]),
        (["quickstart", "--seeds", "1,1"], ["Expected each seed once", "1,1"]),
        (["quickstart", "--seeds", "1", "--times", "2"], ["--times and --seeds exclude each other"]),
        (["quickstart", "--trick", "mixpu"], ["Did you mean mixup"]),
    ],
    ids=lambda value: " ".join(value[-1:]),
)
def test_what_cannot_be_trained_is_not_queued(command, root, words, reasons):
    bad(command("add", *words), *reasons)
    assert not root.exists()


def test_a_folder_that_cannot_be_written(command, root):
    root.write_text("")
    bad(command("add", "quickstart"), "Cannot write to")
    bad(command("ls"), "cannot be read")
