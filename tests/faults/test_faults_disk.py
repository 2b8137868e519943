"""A full disk: the last good checkpoint survives, the run says why it ended, and goes on once there is room."""

import contextlib
import json
import resource
import subprocess
import sys
import textwrap
import threading
import time
import zlib

import pytest
from faults_trainer import RECIPE, STEPS_PER_EPOCH, assert_same_end, left_over, new_run, steps_done, wait_for

from keras_tricks import runs
from keras_tricks.runs import Run, RunError, RunWriter, StorageError, schema, writer


def fill(disk, leave=0):
    """Be somebody else who fills the disk, but for `leave` bytes; the file can be removed again."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, file.tell() - leave))
    return filler


def fill_up(path):
    """Append empty lines until the last block of a file on a full disk is full too."""
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\n")


def whole_checkpoints(directory):
    """The epochs of the checkpoints whose files are what their facts say."""
    epochs = []
    for path in sorted((directory / schema.CHECKPOINTS).glob("*.json")):
        facts = json.loads(path.read_text())
        files = {"weights.h5": facts["crc32"], "average.npz": facts["average_crc32"]}
        assert all(zlib.crc32(path.with_name(f"{path.stem}.{end}").read_bytes()) == crc for end, crc in files.items())
        epochs.append(facts["epoch"])
    return epochs


def assert_failed(directory, terminal, reason, file):
    run = Run(directory)
    status = run.status()
    assert status.state == "failed"
    assert status.error.startswith(f"StorageError: {reason}, so {directory}")
    assert f"{file} cannot be written. " in status.error
    assert "then go on from the last checkpoint." in status.error
    assert f"the run failed: {status.error}" in terminal.read_text()
    assert "StorageError" in (directory / schema.LOG_FILE).read_text()
    assert left_over(directory) == []
    text = (directory / schema.METRICS_FILE).read_text()
    assert text.endswith("\n")
    assert run.metrics().broken_lines == 0


@pytest.mark.parametrize(
    ("leave", "file"), [(0, schema.METRICS_FILE), (36 * 1024, "epoch-0002.weights.h5")], ids=["metrics", "checkpoint"]
)
def test_the_disk_fills_up(tmp_path, small_disk, start_trainer, small_model, unbroken, leave, file):
    from keras_tricks import train

    directory = new_run(small_disk)
    trainer = start_trainer(directory, seconds_a_step=0.1)
    wait_for(lambda: steps_done(directory) > STEPS_PER_EPOCH + 1)
    filler = fill(small_disk, leave)
    if file == schema.METRICS_FILE:
        fill_up(directory / file)
    trainer.join(30)
    assert trainer.exitcode == 1
    assert_failed(directory, tmp_path / "terminal", "No space left on device", file)
    assert whole_checkpoints(directory) == [1]
    if file == schema.METRICS_FILE:
        return
    with pytest.raises(RunError, match="No space left on device"):
        fill(small_disk)
        train.run(RECIPE, directory)
    assert Run(directory).status().state == "failed"
    filler.unlink()
    train.run(RECIPE, directory)
    assert_same_end(directory, unbroken)


def test_a_file_may_not_grow_so_large(tmp_path, start_trainer):
    directory = new_run(tmp_path)
    trainer = start_trainer(directory, seconds_a_step=0.1)
    wait_for(lambda: steps_done(directory) > STEPS_PER_EPOCH)
    wait_for((directory / schema.CHECKPOINTS / "epoch-0001.json").exists)
    limit = (directory / schema.CHECKPOINTS / "epoch-0001.weights.h5").stat().st_size - 1
    resource.prlimit(trainer.pid, resource.RLIMIT_FSIZE, (limit, limit))
    trainer.join(30)
    assert trainer.exitcode == 1
    assert_failed(directory, tmp_path / "terminal", "File too large", "epoch-0002.weights.h5")
    assert "(ulimit -f)" in Run(directory).status().error
    assert whole_checkpoints(directory) == [1]


def test_a_row_of_metrics_is_written_whole_or_not_at_all(tmp_path):
    directory = runs.create_run(tmp_path, "x", None)
    script = """
        import os, resource, sys
        from keras_tricks.runs import RunWriter, schema

        with RunWriter(sys.argv[1]) as run:
            run.begin(epochs=1, steps=1)
            size = os.path.getsize(f"{sys.argv[1]}/{schema.METRICS_FILE}")
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, resource.RLIM_INFINITY))
            try:
                run.metrics("step", epoch=0, step=1, values={"loss": 1.0})
            except OSError as error:
                print(error)
    """
    arguments = [sys.executable, "-c", textwrap.dedent(script), str(directory)]
    said = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"File too large, so {directory / schema.METRICS_FILE} cannot be written.")
    assert (directory / schema.METRICS_FILE).read_bytes().endswith(b"\n")
    assert Run(directory).metrics().broken_lines == 0


class TestTheLastWord:
    @pytest.fixture
    def full(self, small_disk):
        """A writer of a run on a full disk."""
        with RunWriter(runs.create_run(small_disk, "x", None)) as run:
            run.begin(epochs=1, steps=10)
            fill(small_disk)
            yield run

    def test_has_its_room(self, full):
        with pytest.raises(StorageError, match=r"No space left on device, so .*events\.jsonl cannot be written"):
            full.event("note", "x" * 100_000)
        full.end("failed", "why it ended, at length: " + "x" * 2000)
        full.log("how it came to that: " + "x" * 10_000)
        status = Run(full.directory).status()
        assert (status.state, status.error[:16]) == ("failed", "why it ended, at")
        assert left_over(full.directory) == []

    def test_is_said_once_there_is_room(self, full, small_disk):
        (full.directory / schema.RESERVE_FILE).unlink()
        filler = fill(small_disk)
        threading.Timer(1.0, filler.unlink).start()
        full.end("stopped")
        assert Run(full.directory).status().state == "stopped"

    def test_where_there_is_none_readers_say_that_the_run_is_lost(self, full, small_disk, monkeypatch):
        monkeypatch.setattr(writer, "_END_PATIENCE_S", 0.5)
        (full.directory / schema.RESERVE_FILE).unlink()
        fill(small_disk)
        with pytest.raises(StorageError, match=r"No space left on device, so .*status\.json cannot be written"):
            full.end("failed", "why")
        full.close()
        assert Run(full.directory).status().state == "lost"

    def test_the_heart_beats_again_once_there_is_room(self, full, small_disk):
        (small_disk / "filler").unlink()
        before = Run(full.directory).status().heartbeat
        time.sleep(1.5)
        assert Run(full.directory).status().heartbeat > before


def test_a_model_is_replaced_whole_or_not_at_all(small_disk):
    import keras

    from keras_tricks.callbacks import Checkpoint, Position

    model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(1000)])
    model.compile(keras.optimizers.SGD(momentum=0.9), "mse")
    checkpoint = Checkpoint(small_disk)
    checkpoint.set_model(model)
    model.optimizer.build(model.trainable_variables)
    checkpoint.save(Position(1))
    for leave in (0, 100_000, 700_000):
        filler = fill(small_disk, leave)
        with pytest.raises(StorageError, match=r"No space left on device, so .*epoch-0002\.weights\.h5"):
            checkpoint.save(Position(2))
        assert sorted(path.name for path in small_disk.iterdir()) == [
            "epoch-0001.json",
            "epoch-0001.weights.h5",
            "filler",
        ]
        filler.unlink()
    assert checkpoint.restore(model) == Position(1)
    checkpoint.save(Position(2))
    assert checkpoint.positions() == [Position(1), Position(2)]
