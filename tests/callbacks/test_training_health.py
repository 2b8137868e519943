"""A run notices what is wrong with its numbers before a checkpoint keeps it."""

import keras
import numpy as np
import pytest

from keras_tricks.callbacks import Checkpoint, DivergedError, RunLogger
from keras_tricks.optimizers import SGD, LossScaleOptimizer
from keras_tricks.runs import list_runs

pytestmark = pytest.mark.backend

BATCHES = 4


class At(keras.callbacks.Callback):
    """Do something before one batch."""

    def __init__(self, epoch, batch, what):
        super().__init__()
        self.at, self.what = (epoch, batch), what

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            self.what(self.model)


def classifier(policy="float32"):
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    x = keras.layers.Dense(6, name="first")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU()(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="last", dtype="float32")(x))


def data(scale=1.0):
    x = np.random.default_rng(0).normal(size=(8 * BATCHES, 4)).astype("float32") * scale
    return x, np.eye(3, dtype="float32")[np.arange(8 * BATCHES) % 3]


def fit(model, folder, *callbacks, optimizer=None, loss=None, epochs=3, x=None, **options):
    model.compile(optimizer or SGD(0.01), loss or keras.losses.CategoricalCrossentropy(from_logits=True))
    logger = RunLogger(folder, **options)
    images, labels = data()
    model.fit(
        images if x is None else x,
        labels,
        batch_size=8,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[*callbacks, logger, Checkpoint(folder / "checkpoints", run=logger.run)],
    )
    return logger


def test_weights_that_are_not_finite_end_the_run_though_the_loss_is_fine(tmp_path):
    def poison(model):
        # In training each batch is normalized with its own statistics.
        model.get_layer("norm").moving_mean.assign(np.full(6, np.nan))

    with pytest.raises(DivergedError, match="At step 6 1 of 8 weights are not finite, the first of them norm/moving_m"):
        fit(classifier(), tmp_path, At(1, 1, poison))
    (run,) = list_runs(tmp_path)
    assert run.status().state == "failed"
    assert "norm/moving_mean" in run.status().error
    assert sorted(path.name for path in (tmp_path / "checkpoints").glob("*.h5")) == ["epoch-0001.weights.h5"]


def test_the_first_bad_tensor_is_where_the_forward_pass_went_wrong(tmp_path):
    x, _ = data()
    x[10, 2] = np.inf
    with pytest.raises(DivergedError, match=r"At step 2 the loss is nan, and .* the first of them norm/moving_mean"):
        fit(classifier(), tmp_path, x=x)
    assert not list((tmp_path / "checkpoints").glob("*.h5"))


def test_skipped_steps_and_changes_of_the_scale_are_events(tmp_path):
    optimizer = LossScaleOptimizer(SGD(0.01), initial_scale=2.0**24, dynamic_growth_steps=4)
    fit(classifier("mixed_float16"), tmp_path, optimizer=optimizer, epochs=6)
    (run,) = list_runs(tmp_path)
    events = [event for event in run.events() if event.kind in ("skipped_step", "loss_scale")]
    skipped, grown = ([each for each in events if each.kind == kind] for kind in ("skipped_step", "loss_scale"))
    assert skipped
    assert "skipped, as the gradient of first/kernel was not finite; loss scale 1.67772e+07 -> " in skipped[0].message
    assert grown
    assert " -> " in grown[0].message
    assert run.status().state == "finished"
    assert int(optimizer.skipped_steps) + int(optimizer.iterations) == 6 * BATCHES


def test_too_many_skipped_steps_in_a_row_end_the_run(tmp_path):
    # Five halvings do not bring it down to what float16 can hold.
    optimizer = LossScaleOptimizer(SGD(0.01), initial_scale=2.0**40)
    with pytest.raises(
        DivergedError, match=r"5 steps in a row were skipped up to step 5: the gradient of first/kernel"
    ):
        fit(classifier("mixed_float16"), tmp_path, optimizer=optimizer, most_skips_in_a_row=5)
    (run,) = list_runs(tmp_path)
    assert run.status().state == "failed"
    assert "even with a loss scale of" in run.status().error


def test_skips_at_the_smallest_scale_are_counted_too(tmp_path):
    def no_gradient(y_true, y_pred):
        """Be zero, with the gradient infinity times zero."""
        return keras.ops.mean(keras.ops.sqrt(0.0 * keras.ops.square(y_pred)), axis=-1)

    optimizer = LossScaleOptimizer(SGD(0.01), initial_scale=2.0**-24)
    with pytest.raises(DivergedError, match="3 steps in a row were skipped up to step 3"):
        fit(classifier(), tmp_path, optimizer=optimizer, loss=no_gradient, most_skips_in_a_row=3)


def test_a_logger_is_for_one_fit(tmp_path):
    model = classifier()
    logger = fit(model, tmp_path, epochs=1)
    with pytest.raises(ValueError, match="Make a new one"):
        model.fit(*data(), epochs=1, verbose=0, callbacks=[logger])


def test_a_bad_limit_is_named(tmp_path):
    with pytest.raises(ValueError, match="most_skips_in_a_row=0"):
        RunLogger(tmp_path, most_skips_in_a_row=0)
