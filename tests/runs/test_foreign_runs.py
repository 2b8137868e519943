"""Directories of CSVLogger and TensorBoard, read like runs."""

import json
import math
import os
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

from keras_tricks import cli
from keras_tricks.runs import ForeignRun, Run, RunError, create_run, find_run, list_runs, open_run, run_directories
from keras_tricks.runs import event_file as event_files
from keras_tricks.runs import foreign as foreign_runs
from keras_tricks.runs.csv_log import CsvLog
from keras_tricks.runs.event_file import EventFile, Scalar

EPOCHS = 3
STEPS = 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of logs by Keras's own callbacks, and what `fit` returned."""
    import keras
    import numpy as np

    root = tmp_path_factory.mktemp("logs")
    images = np.random.default_rng(0).normal(size=(8 * STEPS, 4)).astype("float32")
    labels = (images.sum(axis=1) > 0).astype("int32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss=loss, metrics=["accuracy"])
    (root / "comma").mkdir()
    (root / "semicolon").mkdir()
    history = model.fit(
        images,
        labels,
        batch_size=8,
        epochs=EPOCHS,
        validation_data=(images, labels),
        callbacks=[
            keras.callbacks.CSVLogger(root / "comma" / "training.csv"),
            keras.callbacks.CSVLogger(root / "semicolon" / "training.log", separator=";"),
            keras.callbacks.TensorBoard(root / "board", update_freq=1, histogram_freq=1),
        ],
        verbose=0,
    )
    return root, history.history


@pytest.mark.parametrize("folder", ["comma", "semicolon", "board"])
def test_the_values_are_those_of_fit(trained, folder):
    root, expected = trained
    run = open_run(root / folder)
    assert isinstance(run, ForeignRun) and run.is_read_only
    history = run.metrics()
    for name, values in expected.items():
        steps, read = history.series(name)
        assert read == pytest.approx(values, rel=1e-6)
        assert steps == ([STEPS * epoch for epoch in (1, 2, 3)] if folder == "board" else [1, 2, 3])
    rows = [row for row in history.rows if row.kind == "epoch"]
    assert [row.epoch for row in rows] == [1, 2, 3]
    assert history.broken_lines == 0 and history.update() == [] and not history.restarted

    status = run.status()
    assert (status.state, status.epoch, status.epochs, status.pid, status.error) == ("running", EPOCHS, 0, None, None)
    best = max(expected["val_accuracy"])
    assert status.best.value == pytest.approx(best)
    assert status.best.epoch == expected["val_accuracy"].index(best) + 1
    assert status.last["val_loss"] == pytest.approx(expected["val_loss"][-1])
    assert run.document()["recipe"] is None and run.document()["name"] == folder
    assert (run.result(), run.events(), run.log_tail()) == (None, [], [])


def test_batches_stand_between_the_epochs(trained):
    root, _ = trained
    history = open_run(root / "board").metrics()
    steps, losses = history.series("loss", kind="step")
    assert steps == list(range(1, EPOCHS * STEPS + 1)) and all(map(math.isfinite, losses))
    assert [row.epoch for row in history.rows if row.kind == "step"] == [0] * 4 + [1] * 4 + [2] * 4
    assert [row.step for row in history.rows] == sorted(row.step for row in history.rows)
    assert "learning_rate" in history.names("epoch")
    times = [row.t for row in history.rows if row.kind == "epoch"]
    assert times == sorted(times) and abs(times[-1] - time.time()) < 600


def write_events(path, events):
    """Append events as TensorBoard's own writer does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        for event in events:
            RecordWriter(file).write(event.SerializeToString())


def scalar(tag, step, value, t=1_800_000_000.0):
    event = Event(wall_time=t, step=step)
    event.summary.value.add(tag=tag, simple_value=value)
    return event


def epochs(history, name):
    return dict(zip(*history.series(name), strict=True))


@settings(max_examples=40, deadline=None)
@given(
    lines=st.lists(st.tuples(st.integers(0, 99), st.floats(width=32)), max_size=8),
    cuts=st.lists(st.floats(0, 1), max_size=4),
)
def test_a_csv_file_that_grows_by_any_pieces_reads_the_same(tmp_path_factory, lines, cuts):
    text = "epoch,accuracy,loss\r\n" + "".join(f"{epoch},0.5,{loss}\r\n" for epoch, loss in lines)
    path = tmp_path_factory.mktemp("csv") / "log.csv"
    log, read, data = CsvLog(path), [], text.encode()
    for end in sorted({*(int(cut * len(data)) for cut in cuts), len(data)}):
        path.write_bytes(data[:end])
        read += log.read()
        assert not log.restarted
    assert [(epoch - 1, values["accuracy"]) for epoch, values in read] == [(epoch, 0.5) for epoch, _ in lines]
    assert [repr(values["loss"]) for _, values in read] == [repr(loss) for _, loss in lines]
    assert log.broken == 0


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.floats(width=32), max_size=6), cuts=st.lists(st.floats(0, 1), max_size=4))
def test_an_event_file_that_grows_by_any_pieces_reads_the_same(tmp_path_factory, values, cuts):
    path = tmp_path_factory.mktemp("events") / "events.out.tfevents.1800000000.host"
    write_events(path, [scalar("loss", step, value) for step, value in enumerate(values)])
    file, read, data = EventFile(path), [], path.read_bytes()
    for end in sorted({*(int(cut * len(data)) for cut in cuts), len(data)}):
        path.write_bytes(data[:end])
        read += file.read()
        assert not file.restarted and file.broken == 0
    assert [record.step for record in read] == list(range(len(values)))
    assert [repr(record.value) for record in read] == [repr(value) for value in values]


def test_records_that_are_damaged_are_counted_and_passed_over(tmp_path):
    path = tmp_path / "events.out.tfevents.1800000000.host"
    write_events(path, [scalar("loss", step, step / 2) for step in range(4)])
    data = bytearray(path.read_bytes())
    size = len(data) // 4
    data[size + 20] ^= 1
    path.write_bytes(data)
    file = EventFile(path)
    assert [record.step for record in file.read()] == [0, 2, 3]
    assert file.broken == 1 and list(file.read()) == [] and file.broken == 1

    data[2 * size] ^= 1
    path.write_bytes(data)
    file = EventFile(path)
    assert [record.step for record in file.read()] == [0]
    assert file.broken == 2, "A wrong length hides what comes after it."
    data[2 * size] ^= 1
    path.write_bytes(data)
    assert [record.step for record in file.read()] == [2, 3] and file.broken == 1


def test_graphs_and_tensors_with_dimensions_are_no_scalars(tmp_path):
    path = tmp_path / "events.out.tfevents.1800000000.host"
    vector, number = Event(step=1), Event(step=1, wall_time=5)
    vector.summary.value.add(tag="weights").tensor.dtype = 1
    vector.summary.value[0].tensor.tensor_shape.dim.add(size=2)
    vector.summary.value[0].tensor.float_val.extend([1, 2])
    number.summary.value.add(tag="n").tensor.dtype = 9
    number.summary.value[0].tensor.int64_val.append(7)
    write_events(path, [Event(graph_def=bytes(300_000)), vector, number])
    file = EventFile(path)
    assert list(file.read()) == [Scalar("n", 1, 5, 7.0)] and file.broken == 0


def test_csv_lines_that_do_not_fit_and_values_that_are_none(tmp_path):
    (tmp_path / "log.csv").write_text(
        'epoch,acc,loss,lr,val_loss\n0,0.5,2.0,0.1,NA\n1,0.5\nsecond,1,1,1,1\n1,"[0.1, 0.2]",nan,0.1,1.5\n'
    )
    history = open_run(tmp_path).metrics()
    assert history.broken_lines == 2
    assert [row.values for row in history.rows[:1]] == [{"accuracy": 0.5, "loss": 2.0, "learning_rate": 0.1}]
    assert history.rows[1].values.keys() == {"loss", "learning_rate", "val_loss"}
    assert math.isnan(history.rows[1].values["loss"])


def test_a_csv_file_that_goes_on_and_one_that_is_written_anew(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("epoch,loss\n0,3\n1,2\n2,1\n")
    history = open_run(tmp_path).metrics()
    with log.open("a") as file:
        file.write("1,2.5\n")
    assert [row.values["loss"] for row in history.update()] == [3, 2.5]
    assert history.restarted, "What an attempt before did beyond its start does not count."
    assert epochs(history, "loss") == {1: 3, 2: 2.5}
    with log.open("a") as file:
        file.write("2,1.5\n")
    assert [row.values["loss"] for row in history.update()] == [1.5] and not history.restarted
    log.write_text("epoch,loss\n" + "".join(f"{epoch},9\n" for epoch in range(20)))
    history.update()
    assert history.restarted and epochs(history, "loss") == dict.fromkeys(range(1, 21), 9)


def test_validation_that_comes_later_joins_its_epoch(tmp_path):
    train = tmp_path / "train" / "events.out.tfevents.1800000000.host.1.0.v2"
    validation = tmp_path / "validation" / "events.out.tfevents.1800000001.host.1.1.v2"
    write_events(train, [scalar("epoch_loss", 0, 2.0), scalar("epoch_loss", 1, 1.0)])
    history = open_run(tmp_path).metrics()
    assert [(row.step, row.values) for row in history.rows] == [(1, {"loss": 2.0}), (2, {"loss": 1.0})]
    write_events(validation, [scalar("evaluation_loss_vs_iterations", 50, 2.5), scalar("epoch_loss", 0, 2.5)])
    history.update()
    assert history.restarted
    assert [(row.step, row.values) for row in history.rows] == [
        (50, {"loss": 2.0, "val_loss": 2.5}),
        (100, {"loss": 1.0}),
    ]
    write_events(train, [scalar("epoch_loss", 2, 0.5)])
    assert [(row.epoch, row.step) for row in history.update()] == [(3, 150)] and not history.restarted


def test_a_later_file_that_goes_back_makes_what_was_beyond_obsolete(tmp_path):
    first = tmp_path / "train" / "events.out.tfevents.1800000000.host.1.0.v2"
    write_events(first, [scalar(f"epoch_{name}", epoch, epoch) for epoch in range(5) for name in ("loss", "accuracy")])
    history = open_run(tmp_path).metrics()
    write_events(first.with_name("events.out.tfevents.1800009999.host.2.0.v2"), [scalar("epoch_loss", 2, 9)])
    history.update()
    assert epochs(history, "loss") == {1: 0, 2: 1, 3: 9}
    first.unlink()
    history.update()
    assert epochs(history, "loss") == {3: 9}


def test_csv_values_stay_beside_event_files_that_lag_behind(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,loss\n0,3\n1,2\n2,1\n")
    write_events(
        tmp_path / "train" / "events.out.tfevents.1800000000.host",
        [scalar("epoch_loss", 0, 3), scalar("epoch_learning_rate", 0, 0.1)],
    )
    run = open_run(tmp_path)
    assert run.document()["written_by"] == "CSVLogger and TensorBoard"
    assert epochs(run.metrics(), "loss") == {1: 3, 2: 2, 3: 1}
    assert epochs(run.metrics(), "learning_rate") == {1: pytest.approx(0.1)}


def test_a_run_is_quiet_once_nothing_is_written(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("epoch,loss\n0,3\n")
    run = open_run(tmp_path)
    assert run.status().state == "running"
    long_ago = time.time() - 2 * foreign_runs.RUNNING_S
    os.utime(log, (long_ago, long_ago))
    status = run.status()
    assert (status.state, status.ended) == ("quiet", pytest.approx(long_ago, abs=1))
    log.unlink()
    with pytest.raises(RunError, match="any more"):
        run.status()


def test_without_tensorboard_the_run_says_how_to_get_it(tmp_path, monkeypatch):
    write_events(tmp_path / "events.out.tfevents.1800000000.host", [scalar("loss", 1, 2)])
    find_spec = event_files.importlib.util.find_spec
    monkeypatch.setattr(
        event_files.importlib.util, "find_spec", lambda name: None if name == "tensorboard" else find_spec(name)
    )
    run = open_run(tmp_path)
    assert "pip install 'keras-tricks[tensorboard]'" in run.status().error
    assert run.metrics().rows == []


def test_lists_hold_both_kinds_newest_first(tmp_path):
    old = create_run(tmp_path, "old", None).rename(tmp_path / "20020101T000000Z-old-aaaa")
    ours = create_run(tmp_path, "mine", None)
    write_events(ours / "tensorboard" / "train" / "events.out.tfevents.1000000000.host", [scalar("loss", 1, 2)])
    write_events(tmp_path / "board" / "train" / "events.out.tfevents.1000000000.host", [scalar("loss", 1, 2)])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "labels.csv").write_text("file,label\n")
    runs = list_runs(tmp_path)
    assert [run.id for run in runs] == [ours.name, old.name, "board"]
    assert [run.is_read_only for run in runs] == [False, False, True]
    assert find_run(tmp_path, "last").id == ours.name


def test_a_folder_that_is_a_run_itself_is_listed(tmp_path, monkeypatch):
    fit = tmp_path / "logs" / "fit1"
    write_events(fit / "train" / "events.out.tfevents.1800000000.host", [scalar("epoch_loss", 0, 2)])
    write_events(fit / "validation" / "events.out.tfevents.1800000000.host", [scalar("epoch_loss", 0, 3)])
    assert run_directories(fit) == [fit]
    assert [run.id for run in list_runs(fit)] == ["fit1"]
    assert [run.id for run in list_runs(tmp_path / "logs")] == ["fit1"]
    assert find_run(tmp_path / "nowhere", str(fit)).id == "fit1"
    assert find_run(fit, "last").id == find_run(tmp_path / "logs", "fit").id == "fit1"
    monkeypatch.chdir(fit)
    assert [run.id for run in list_runs(".")] == ["fit1"]
    ours = create_run(tmp_path / "runs", "mine", None)
    assert run_directories(ours) == [ours] and type(list_runs(ours)[0]) is Run


@pytest.mark.parametrize("command", ["stop", "resume", "rm"])
def test_commands_that_change_a_run_refuse(trained, command, capsys):
    root, _ = trained
    with pytest.raises(SystemExit) as ended:
        cli.main(["runs", command, "comma", "--runs-dir", str(root), *(["--yes"] if command == "rm" else [])])
    assert ended.value.code == 2
    assert "comma can only be looked at: CSVLogger wrote it." in capsys.readouterr().err
    assert (root / "comma" / "training.csv").exists()


def test_commands_that_look_at_a_run(trained, monkeypatch, capsys):
    root, expected = trained

    def answer(*words):
        with pytest.raises(SystemExit) as ended:
            cli.main(["runs", *words, "--runs-dir", str(root)])
        assert ended.value.code == 0
        return capsys.readouterr().out

    listed = {document["id"]: document for document in json.loads(answer("ls", "--json"))}
    assert listed.keys() == {"comma", "semicolon", "board"}
    assert listed["board"]["last"]["val_loss"] == pytest.approx(expected["val_loss"][-1])
    shown = answer("show", "semicolon")
    assert f"val_loss     {expected['val_loss'][-1]:.5g}" in shown and "written_by   CSVLogger" in shown
    assert "epoch        3" in shown and "epochs" not in shown and "host" not in shown
    monkeypatch.setattr(foreign_runs, "RUNNING_S", 0)
    lines = answer("watch", "board").splitlines()
    assert [line.split()[:2] for line in lines] == [["epoch", "1"], ["epoch", "2"], ["epoch", "3"], ["board", "is"]]
    assert lines[-1] == "board is quiet"


def test_reading_imports_no_tensorflow(trained):
    root, _ = trained
    code = (
        "import sys; from keras_tricks.runs import list_runs; "
        f"print(len([row for run in list_runs({str(root)!r}) for row in run.metrics().rows])); "
        "print([name for name in sys.modules if name.partition('.')[0] in ('tensorflow', 'keras', 'jax', 'torch')])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == [str(3 * EPOCHS + EPOCHS * STEPS), "[]"]
