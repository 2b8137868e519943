"""One set of statistics for replicas that normalize their parts of a batch each by itself."""

import keras
import numpy as np
import pytest

from keras_tricks.callbacks import StatisticsAveraging

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="replicas are TensorFlow's")


def statistics(strategy, callbacks):
    """Return each replica's moving mean after an epoch, and what the model then says of its images."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        norm = keras.layers.BatchNormalization(momentum=0.5)
        model = keras.Sequential([keras.Input((3,)), norm, keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(32, 3)).astype("float32") + np.arange(32)[:, None] % 8
    x = x.astype("float32")
    logs = model.fit(
        x, x[:, :1], batch_size=8, shuffle=False, verbose=0, validation_data=(x, x[:, :1]), callbacks=callbacks
    ).history
    return [each.numpy() for each in strategy.experimental_local_results(norm.moving_mean.value)], model, logs, x


def test_the_mean_of_the_replicas_is_evaluated_and_kept(two_replicas):
    (first, second), _, _, _ = statistics(two_replicas, [])
    assert np.abs(first - second).max() > 1
    (ours, theirs), model, logs, x = statistics(two_replicas, [StatisticsAveraging()])
    np.testing.assert_allclose(ours, (first + second) / 2, rtol=1e-5)
    np.testing.assert_array_equal(ours, theirs)
    alone = keras.models.clone_model(model)
    alone.set_weights(model.get_weights())
    alone.compile(loss="mse")
    assert logs["val_loss"][0] == pytest.approx(alone.evaluate(x, x[:, :1], verbose=0), rel=1e-4)


def test_one_device_is_left_alone():
    model = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((8, 3), "float32")
    model.fit(x, x[:, :1], verbose=0, callbacks=[StatisticsAveraging()])
    assert np.isfinite(model.get_weights()[2]).all()
