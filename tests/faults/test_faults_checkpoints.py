"""Damaged checkpoints are left out and named, the best one stays, and a diverged model is never saved."""

import math

import keras
import numpy as np
import pytest
from faults_trainer import new_run

from keras_tricks.callbacks import Checkpoint, CheckpointError, DivergedError, Position, WeightAveraging
from keras_tricks.runs import Best, Run, RunWriter


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="head")])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse", metrics=["mae"])
    return model


@pytest.fixture
def run(tmp_path):
    with RunWriter(new_run(tmp_path)) as run:
        yield run


def saved(model, directory, epochs, **more):
    """A checkpoint callback that has saved `epochs` epochs, as if there had been a training."""
    averaging = WeightAveraging(0.5)
    averaging.set_state({"steps": np.int32(3), "0": np.ones((4, 3)), "1": np.ones(3)})
    checkpoint = Checkpoint(directory, averaging=averaging, **more)
    checkpoint.set_model(model)
    model.optimizer.build(model.trainable_variables)
    for epoch in range(epochs):
        checkpoint.on_epoch_end(epoch)
    return checkpoint


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


def empty(path):
    path.write_bytes(b"")


def remove(path):
    path.unlink()


@pytest.mark.parametrize(
    ("ending", "damage", "what"),
    [
        ("weights.h5", cut, "is damaged"),
        ("weights.h5", flip_a_bit, "is damaged"),
        ("json", empty, "is damaged"),
        ("json", cut, "is damaged"),
        ("json", remove, "is missing"),
        ("average.npz", flip_a_bit, "is damaged"),
        ("average.npz", remove, "is missing"),
    ],
)
def test_a_damaged_file_is_named_and_the_checkpoint_before_is_taken(model, run, ending, damage, what):
    directory = run.directory / "checkpoints"
    saved(model, directory, 3, run=run)
    file = directory / f"epoch-0003.{ending}"
    damage(file)
    again = Checkpoint(directory, run=run, averaging=WeightAveraging(0.5))
    assert again.restore(model) == Position(2)
    warning = Run(run.directory).events()[-1]
    assert warning.kind == "warning"
    assert f"{file} {what}" in warning.message
    assert "the checkpoint of epoch 3 is left out for the one before" in warning.message


def test_when_all_are_damaged_each_is_named(model, tmp_path):
    checkpoint = saved(model, tmp_path, 2)
    cut(tmp_path / "epoch-0001.weights.h5")
    remove(tmp_path / "epoch-0002.json")
    with pytest.raises(CheckpointError, match="No checkpoint is whole") as error:
        checkpoint.restore(model)
    for part in ("epoch-0001.weights.h5 is damaged", "epoch-0002.json is missing", f"Remove the files of {tmp_path}"):
        assert part in str(error.value)


def test_what_was_damaged_never_takes_the_place_of_what_is_whole(model, tmp_path):
    saved(model, tmp_path, 3, keep=1, monitor="none")
    (tmp_path / "epoch-0003.json").rename(tmp_path / "epoch-0002.json")
    (tmp_path / "epoch-0003.weights.h5").rename(tmp_path / "epoch-0002.weights.h5")
    (tmp_path / "epoch-0003.average.npz").rename(tmp_path / "epoch-0002.average.npz")
    (tmp_path / "epoch-0009.weights.h5").write_bytes(b"damaged")
    averaging = WeightAveraging(0.5)
    checkpoint = Checkpoint(tmp_path, keep=1, averaging=averaging, monitor="none")
    assert checkpoint.restore(model) == Position(2)
    checkpoint.set_model(model)
    checkpoint.on_epoch_end(2)
    assert checkpoint.positions() == [Position(3)]
    assert checkpoint.restore(model) == Position(3)


def test_the_best_epoch_of_the_run_stays(model, run):
    checkpoint = Checkpoint(run.directory / "checkpoints", keep=2, run=run)
    checkpoint.set_model(model)
    stayed = []
    for epoch, best in enumerate((1, 2, 2, 2, 2, 6, 6), 1):
        run.update(epoch=epoch, best=Best(metric="val_accuracy", value=0.5, epoch=best))
        if epoch == 4:
            checkpoint.save(Position(3, step=7))
        checkpoint.save(Position(epoch))
        stayed.append([tuple(position) for position in checkpoint.positions()])
    assert stayed == [
        [(1, 0)],
        [(1, 0), (2, 0)],
        [(2, 0), (3, 0)],
        [(2, 0), (3, 7), (4, 0)],
        [(2, 0), (4, 0), (5, 0)],
        [(5, 0), (6, 0)],
        [(6, 0), (7, 0)],
    ]
    assert checkpoint.best_weights == run.directory / "checkpoints" / "epoch-0006.weights.h5"
    said = [event.message for event in Run(run.directory).events() if event.kind == "checkpoint"]
    assert said[1] == "epoch 2 saved, the best val_accuracy so far"
    assert said[2] == "epoch 3 saved"


def test_the_best_epoch_stays_in_a_plain_fit(model, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 4))
    y = x @ rng.normal(size=(4, 3))
    checkpoint = Checkpoint(tmp_path, monitor="val_loss")
    # Each epoch unlearns for the validation data what it learns of the training data, so the first is the best.
    history = model.fit(
        x, y, validation_data=(x, -y), epochs=4, callbacks=[checkpoint], shuffle=False, verbose=0
    ).history
    assert np.argmin(history["val_loss"]) == 0
    assert checkpoint.best == Best(metric="val_loss", value=history["val_loss"][0], epoch=1)
    assert checkpoint.positions() == [Position(1), Position(3), Position(4)]
    again = Checkpoint(tmp_path, monitor="val_loss")
    again.restore(model)
    assert (again.best, again.best_weights) == (checkpoint.best, tmp_path / "epoch-0001.weights.h5")


@pytest.mark.parametrize(
    ("monitor", "values", "best"),
    [
        ("val_accuracy", [0.1, 0.5, 0.3, 0.3], 2),
        ("val_accuracy", [0.1, math.nan, 0.1, 0.05], 1),
        ("error_rate", [0.1, 0.5, 0.3, 0.3], 1),
        ("absent", [0.1, 0.5, 0.3, 0.3], None),
    ],
)
def test_what_is_best(model, tmp_path, monitor, values, best):
    checkpoint = Checkpoint(tmp_path, keep=1, monitor=monitor)
    checkpoint.set_model(model)
    for epoch, value in enumerate(values):
        checkpoint.on_epoch_end(epoch, {"val_accuracy": value, "error_rate": value})
    assert (checkpoint.best and checkpoint.best.epoch) == best
    assert [position.epoch for position in checkpoint.positions()] == ([4] if best is None else [best, 4])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_diverged_model_is_not_saved(model, tmp_path, value):
    checkpoint = saved(model, tmp_path, 2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kernel = model.get_layer("head").kernel
    damaged = keras.ops.convert_to_numpy(kernel).copy()
    damaged[1, 2] = value
    kernel.assign(damaged)
    checkpoint.averaging = None
    with pytest.raises(DivergedError, match=r"At epoch 3, 1 of 2 tensors .* finite, \w+/head/kernel first"):
        checkpoint.save(Position(3))
    model.get_layer("head").bias.assign(np.full(3, value))
    with pytest.raises(DivergedError, match="2 of 2 tensors"):
        checkpoint.save(Position(3))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_diverged_average_is_not_saved(model, tmp_path, monkeypatch):
    checkpoint = saved(model, tmp_path, 1)
    state = checkpoint.averaging.state()
    monkeypatch.setattr(WeightAveraging, "state", lambda _: state | {"1": np.full(3, np.nan)})
    with pytest.raises(DivergedError, match="the average of weight 1"):
        checkpoint.save(Position(2))
    assert checkpoint.positions() == [Position(1)]
