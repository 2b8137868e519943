"""A small network with what is averaged and what is not, and its training, for the tests of the averages."""

import keras
import numpy as np

from keras_tricks.optimizers import SGD

rng = np.random.default_rng(0)
images = rng.normal(size=(32, 5)).astype("float32")
targets = rng.normal(size=(32, 3)).astype("float32")


def classifier(optimizer=None, dtype=None, compiled=False, **arguments):
    """A model with batch normalization and dropout; `arguments` are those of its `compile`."""
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(6, dtype=dtype),
            keras.layers.BatchNormalization(momentum=0.5, dtype=dtype),
            keras.layers.Dropout(0.5, seed=3),
            keras.layers.Dense(3, dtype=dtype),
        ]
    )
    compile_model(model, SGD(0.02) if optimizer is None else optimizer, compiled or bool(arguments), **arguments)
    return model


def compile_model(model, optimizer, compiled=False, **arguments):
    """On TensorFlow a few eager steps take less time than to trace a graph of them."""
    eager = keras.backend.backend() == "tensorflow" and not compiled
    model.compile(optimizer, loss="mse", run_eagerly=eager, **arguments)


def twins(count=2, **arguments):
    """Models with equal weights."""
    models = [classifier(**arguments) for _ in range(count)]
    for model in models[1:]:
        model.set_weights(models[0].get_weights())
    return models


def fit(model, callbacks=(), epochs=2, initial_epoch=0, validation=False):
    """Train in four steps an epoch."""
    return model.fit(
        images,
        targets,
        batch_size=8,
        epochs=epochs,
        initial_epoch=initial_epoch,
        shuffle=False,
        validation_data=(images, targets) if validation else None,
        callbacks=list(callbacks),
        verbose=0,
    ).history


class Trace(keras.callbacks.Callback):
    """The weights after every step, and at the end of every epoch."""

    def __init__(self):
        super().__init__()
        self.steps, self.epochs = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(self.model.get_weights())

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(self.model.get_weights())


def assert_close(ours, theirs, atol=1e-6):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)


def differ(ours, theirs):
    return any(np.abs(one - other).max() > 1e-3 for one, other in zip(ours, theirs, strict=True))
