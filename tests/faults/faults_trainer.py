"""The trainers of the tests of faults: real processes, a model that is small and quick, and real ways to die."""

import os
import signal
import time
from pathlib import Path

from keras_tricks import Recipe, tricks
from keras_tricks.runs import JsonLines, Run, create_run, schema

STEPS_PER_EPOCH = 11
RECIPE = Recipe(
    name="faults",
    model="resnet20",
    data="digits",
    image_size=8,
    epochs=4,
    batch_size=128,
    tricks=(
        tricks.LinearScaling(),
        tricks.CosineDecay(),
        tricks.Warmup(epochs=1),
        tricks.LabelSmoothing(),
        tricks.Mixup(),
        tricks.WeightAveraging(decay=0.9),
    ),
)


def small_model(input_shape, classes, **_):
    """Stand in for a published model: with moving statistics and a random layer, and traced in a second."""
    import keras

    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(8, 3, strides=2, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.2, seed=3),
            keras.layers.Dense(classes),
        ]
    )


def new_run(root, recipe=RECIPE):
    return create_run(root, recipe.name, recipe.model_dump(mode="json"))


def train(directory, terminal, seconds_a_step=0.0, fault=None):
    """Be `keras-tricks train-run DIRECTORY`, with the small model and with `fault` built in."""
    written = os.open(terminal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(written, 1)
    os.dup2(written, 2)
    from keras_tricks import cli, models
    from keras_tricks.callbacks import RunLogger

    models.ResNet20 = small_model
    end_of_step = RunLogger.on_train_batch_end

    def slow_end_of_step(self, batch, logs=None):
        end_of_step(self, batch, logs)
        time.sleep(seconds_a_step)

    RunLogger.on_train_batch_end = slow_end_of_step
    if fault is not None:
        fault()
    cli.main(["train-run", str(directory)])


def killed_while_it_writes_the_weights_of_epoch_2():
    _killed_in("write", lambda path, *_: path.name == "epoch-0002.weights.h5", after_a_part=True)


def killed_before_the_facts_of_epoch_3():
    _killed_in("write_facts", lambda position, _: position.epoch == 3)


def _killed_in(method, is_the_one, after_a_part=False):
    from keras_tricks.callbacks.checkpoint_files import CheckpointFiles

    whole = getattr(CheckpointFiles, method)

    def killed(self, *arguments):
        if not is_the_one(*arguments):
            return whole(self, *arguments)
        if after_a_part:
            path, size, write = arguments

            def write_a_part(temporary):
                write(temporary)
                os.truncate(temporary, temporary.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)

            return whole(self, path, size, write_a_part)
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    setattr(CheckpointFiles, method, killed)


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def steps_done(directory):
    rows = Run(directory).metrics().rows
    return rows[-1].step if rows else 0


def starts_of_attempts(directory):
    """The step at which each attempt went on."""
    return [row["step"] for row in JsonLines(Path(directory) / schema.METRICS_FILE) if row["kind"] == "attempt"]


def left_over(directory):
    """Files that have no place in a run that has ended."""
    return [path for path in Path(directory).rglob(".*") if path.is_file()]


def weights(directory):
    from keras_tricks import saved_model

    return saved_model.load(directory / schema.MODEL_FILE).model.get_weights()


def assert_same_end(directory, other):
    """The same weights, and the same rows of metrics, but for times."""
    import numpy as np

    for ours, theirs in zip(weights(directory), weights(other), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    ours, theirs = (Run(path).metrics().rows for path in (directory, other))
    assert [(row.kind, row.epoch, row.step) for row in ours] == [(row.kind, row.epoch, row.step) for row in theirs]
    for one, other_one in zip(ours, theirs, strict=True):
        for name in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
            assert abs(one.values.get(name, 0) - other_one.values.get(name, 0)) < 1e-5, (one.step, name)
