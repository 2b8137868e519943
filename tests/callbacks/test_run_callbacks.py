"""RunLogger and Checkpoint in a plain `fit`."""

import json
import math

import keras
import numpy as np
import pytest

from keras_tricks import optimizers
from keras_tricks.callbacks import Checkpoint, CheckpointError, DivergedError, RunLogger, StopRequested
from keras_tricks.runs import list_runs, request_stop

pytestmark = pytest.mark.backend

rng = np.random.default_rng(0)
images = rng.normal(size=(48, 6)).astype("float32")
labels = keras.utils.to_categorical(np.arange(48) % 3, 3)


def classifier(learning_rate=0.1, dropout=0.0):
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dropout(dropout, seed=7),
            keras.layers.Dense(3),
        ]
    )
    model.compile(
        optimizers.SGD(learning_rate),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def fit(model, epochs, callbacks, initial_epoch=0):
    return model.fit(
        images,
        labels,
        batch_size=8,
        epochs=epochs,
        initial_epoch=initial_epoch,
        shuffle=False,
        validation_data=(images, labels),
        callbacks=callbacks,
        verbose=0,
    )


class Crash(keras.callbacks.Callback):
    def __init__(self, epoch, action):
        super().__init__()
        self.epoch, self.action = epoch, action

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.action()


def test_a_plain_fit_becomes_a_run(tmp_path):
    model = classifier(keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5))
    history = fit(model, 3, [RunLogger(tmp_path, name="mine", batch_size=8)]).history
    (run,) = list_runs(tmp_path)
    status = run.status()
    assert (status.state, status.epoch, status.step, status.steps) == ("finished", 3, 18, 18)
    assert status.best.value == max(history["val_accuracy"])
    metrics = run.metrics()
    steps, losses = metrics.series("val_loss")
    assert steps == [6, 12, 18]
    np.testing.assert_allclose(losses, history["val_loss"], rtol=1e-6)
    steps, rates = metrics.series("learning_rate", "step")
    np.testing.assert_allclose(rates, [0.1 * 0.5**step for step in steps], rtol=1e-5)
    assert metrics.series("images_per_second")[1][0] > 0
    assert [row.epoch for row in metrics.rows if row.kind == "epoch"] == [1, 2, 3]
    assert "epoch 3/3" in run.log_tail()[-1]


class Clock:
    """A clock that only goes on where it is told to."""

    now = 0.0

    def perf_counter(self):
        return self.now


@pytest.mark.parametrize("costs", [None, (1, 4, 9, 9)])
def test_the_time_that_is_left_knows_what_the_epochs_to_come_cost(tmp_path, monkeypatch, costs):
    clock, left = Clock(), []
    monkeypatch.setattr("keras_tricks.callbacks.run_logger.time", clock)
    seconds = costs or (2, 2, 2, 2)

    class Takes(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.seconds = seconds[epoch]

        def on_train_batch_end(self, batch, logs=None):
            clock.now += self.seconds

    logger = RunLogger(tmp_path, epochs=4, steps_per_epoch=6, epoch_costs=costs)
    note = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: left.append(logger.run.status.eta_s))
    fit(classifier(), 4, [Takes(), logger, note])
    steps = [each for each in seconds for _ in range(6)]
    expected = [sum(steps[place:]) for place in range(1, 25)]
    # Before the second step nothing is known.
    assert left[0] is None
    np.testing.assert_allclose(left[1:], expected[1:], rtol=1e-6)


def test_costs_of_epochs_are_positive_and_enough(tmp_path):
    for costs in ((), (1, 0), (1,)):
        with pytest.raises(ValueError, match="Expected epoch_costs to be positive, one for each epoch"):
            RunLogger(tmp_path, epochs=2, epoch_costs=costs)


def test_a_request_to_stop_ends_fit_like_ctrl_c(tmp_path):
    logger = RunLogger(tmp_path)
    with pytest.raises(StopRequested):
        fit(classifier(), 1000, [logger, Crash(2, lambda: request_stop(list_runs(tmp_path)[0]))])
    assert issubclass(StopRequested, KeyboardInterrupt)
    (run,) = list_runs(tmp_path)
    assert run.status().state == "stopped"
    assert not run.is_locked()


def test_a_loss_that_is_not_a_number_ends_fit_and_is_on_record(tmp_path):
    logger = RunLogger(tmp_path)
    checkpoint = Checkpoint(tmp_path / "checkpoints")
    model = classifier()
    poison = Crash(1, lambda: model.layers[-1].kernel.assign(np.full((8, 3), np.nan)))
    with pytest.raises(DivergedError, match="At step 7 the loss is nan, and 4 of 4 weights are not finite"):
        fit(model, 5, [logger, poison, checkpoint])
    assert list_runs(tmp_path)[0].status().state == "failed"
    assert checkpoint.positions() == [(1, 0)]
    last = list_runs(tmp_path)[0].metrics().rows[-1]
    assert math.isnan(last.values["loss"])


def test_a_resumed_fit_ends_with_the_same_weights_seeds_included(tmp_path):
    keras.utils.set_random_seed(1)
    start = classifier(dropout=0.5).get_weights()
    unbroken = classifier(dropout=0.5)
    unbroken.set_weights(start)
    fit(unbroken, 5, [])

    broken = classifier(dropout=0.5)
    broken.set_weights(start)
    with pytest.raises(KeyboardInterrupt):
        fit(broken, 5, [Checkpoint(tmp_path), Crash(3, lambda: (_ for _ in ()).throw(KeyboardInterrupt()))])

    resumed = classifier(dropout=0.5)
    checkpoint = Checkpoint(tmp_path)
    first_epoch, _ = checkpoint.restore(resumed)
    assert first_epoch == 3
    fit(resumed, 5, [checkpoint], initial_epoch=first_epoch)
    for ours, theirs in zip(resumed.get_weights(), unbroken.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    assert checkpoint.positions() == [(4, 0), (5, 0)]


def damage_end(path):
    path.write_bytes(path.read_bytes()[:-100])


def damage_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def damage_facts(path):
    path.with_name(path.name.replace(".weights.h5", ".json")).unlink()


@pytest.mark.parametrize("damage", [damage_end, damage_byte, damage_facts])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path, damage):
    model = classifier()
    checkpoint = Checkpoint(tmp_path)
    fit(model, 3, [checkpoint])
    damage(tmp_path / "epoch-0003.weights.h5")
    assert Checkpoint(tmp_path).restore(classifier()) == (2, 0)
    damage(tmp_path / "epoch-0002.weights.h5")
    with pytest.raises(CheckpointError, match="whole"):
        Checkpoint(tmp_path).restore(classifier())


def test_restore_without_any_checkpoint_begins_at_the_start(tmp_path):
    assert Checkpoint(tmp_path / "none").restore(classifier()) == (0, 0)


def test_the_facts_say_what_is_in_a_checkpoint(tmp_path):
    fit(classifier(dropout=0.5), 1, [Checkpoint(tmp_path)])
    facts = json.loads((tmp_path / "epoch-0001.json").read_text())
    assert facts["size"] == (tmp_path / "epoch-0001.weights.h5").stat().st_size
    assert len(facts["seeds"]) == 1


def test_keep_below_one_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Received: keep=0"):
        Checkpoint(tmp_path, keep=0)
