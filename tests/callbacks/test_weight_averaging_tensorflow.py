import contextlib

import keras
import numpy as np
import pytest

from keras_tricks.callbacks import WeightAveraging
from keras_tricks.optimizers import SGD

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="replicas are TensorFlow's")

rng = np.random.default_rng(0)
images = rng.normal(size=(32, 5)).astype("float32")
targets = rng.normal(size=(32, 3)).astype("float32")


def train(callbacks, strategy=None, synchronized=True, scope_around_fit=False, epochs=2):
    keras.utils.set_random_seed(7)
    scope = contextlib.nullcontext if strategy is None else strategy.scope
    with scope():
        model = keras.Sequential(
            [
                keras.Input((5,)),
                keras.layers.Dense(6),
                keras.layers.BatchNormalization(momentum=0.5, synchronized=synchronized),
                keras.layers.Dense(3),
            ]
        )
        model.compile(SGD(0.02), loss="mse")
    settings = {"batch_size": 8, "epochs": epochs, "shuffle": False, "verbose": 0, "validation_data": (images, targets)}
    with scope() if scope_around_fit else contextlib.nullcontext():
        history = model.fit(images, targets, callbacks=callbacks, **settings).history
    return model, history["val_loss"]


def test_two_replicas_average_like_one_device(two_replicas):
    single, losses = train([WeightAveraging(0.9)])
    mirrored, mirrored_losses = train([WeightAveraging(0.9)], two_replicas)
    np.testing.assert_allclose(mirrored_losses, losses, rtol=1e-5)
    for ours, theirs in zip(single.weights, mirrored.weights, strict=True):
        for replica in two_replicas.experimental_local_results(theirs.value):
            np.testing.assert_allclose(replica.numpy(), ours.numpy(), rtol=0, atol=1e-6)


class Watch(keras.callbacks.Callback):
    """Stand before and after the averaging: note all copies of the weights before and after the validation."""

    notes = {}

    def __init__(self, moment):
        super().__init__()
        self.moment = moment

    def note(self):
        copies = self.model.distribute_strategy.experimental_local_results
        self.notes[self.moment] = [copy.numpy() for weight in self.model.weights for copy in copies(weight.value)]

    def on_test_begin(self, logs=None):
        if self.moment == "before":
            self.note()

    def on_test_end(self, logs=None):
        if self.moment == "after":
            self.note()


def test_statistics_that_differ_between_replicas_come_back(two_replicas):
    callbacks = [Watch("before"), WeightAveraging(0.9), Watch("after")]
    train(callbacks, two_replicas, synchronized=False, scope_around_fit=True, epochs=1)
    before, after = Watch.notes["before"], Watch.notes["after"]
    assert any(np.abs(one - other).max() > 1e-3 for one, other in zip(before[::2], before[1::2], strict=True))
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new, old)
