"""The trick progressive_resizing: the published sizes, in a training that is stopped and goes on, with other tricks."""

import dataclasses

import numpy as np
import pytest

from keras_tricks import Recipe, data, saved_model, train, tricks
from keras_tricks.data.image_data_set import ArraySplit
from keras_tricks.runs import Run, RunWriter, create_run, schema

STEPS, BATCH = 2, 8


@pytest.fixture(scope="module")
def digits():
    """Some images of the real data set, enough for two small batches."""
    whole = data.load("digits")
    few = {
        name: ArraySplit(split.images[::20][: STEPS * BATCH].numpy(), split.labels[::20][: STEPS * BATCH].numpy())
        for name, split in (("train", whole.train), ("validation", whole.validation))
    }
    return dataclasses.replace(whole, **few)


def test_the_sizes_are_those_of_the_paper():
    trick = tricks.ProgressiveResizing(initial_size=128)
    sizes = trick.size_of_each_epoch(300, 350)
    exact = [128 + (300 - 128) * stage / 3 for stage in range(4)]
    found, epochs = np.unique(sizes, return_counts=True)
    assert np.abs(found - exact).max() <= 2
    assert np.abs(epochs - 350 / 4).max() <= 1
    assert list(sizes) == sorted(sizes)


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5, 17, 90])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.75, 0.999])
@pytest.mark.parametrize("count", [2, 3, 4, 16])
def test_sizes_grow_to_the_full_one_which_the_last_epoch_has(epochs, share, count):
    sizes = tricks.ProgressiveResizing(growing_share=share, sizes=count).size_of_each_epoch(96, epochs)
    assert len(sizes) == epochs
    assert list(sizes) == sorted(sizes)
    assert sizes[-1] == 96
    assert len(set(sizes)) <= count
    assert sizes[0] == (48 if round(share * epochs) >= 1 and epochs > 1 else 96)


def test_the_full_size_from_the_start_changes_nothing():
    assert set(tricks.ProgressiveResizing(initial_size=32).size_of_each_epoch(32, 10)) == {32}


def recipe(*others, **fields):
    growing = tricks.ProgressiveResizing(sizes=2, growing_share=0.5)
    known = {
        "learning_rate": 0.01,
        "name": "growing",
        "model": "resnet20",
        "image_size": 16,
        "batch_size": BATCH,
        "epochs": 4,
    }
    return Recipe(**{**known, "tricks": (growing, *others), **fields})


def test_validation_and_the_saved_preprocessing_have_the_full_size_or_that_of_the_test(digits):
    for others, size in (((), 16), ((tricks.TestResolution(image_size=20),), 20)):
        training = train.build(recipe(*others), digits)
        shapes = [images.shape[1] for images, _ in training.training_batches()]
        assert shapes == [8] * 2 * STEPS + [16] * 2 * STEPS
        assert {images.shape[1] for images, _ in training.validation_batches()} == {size}
        assert training.plan.evaluation.image_size == size


@pytest.mark.slow
def test_two_replicas_train_like_one_device(two_replicas, digits):
    ends = []
    for replicas in (1, 2):
        training = train.build(recipe(epochs=2, learning_rate=1e-3, replicas=replicas), digits)
        training.model.fit(
            training.training_batches(),
            validation_data=training.validation_batches(),
            steps_per_epoch=STEPS,
            epochs=2,
            shuffle=False,
            verbose=0,
        )
        ends.append(training.model.get_weights())
    for ours, theirs in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def saved_weights(directory):
    return saved_model.load(directory / schema.MODEL_FILE).model.get_weights()


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(digits, tmp_path, monkeypatch):
    """With all three: growing images, the mean of the last epochs, and an ascent with a part of each batch."""
    from keras_tricks.callbacks import StopRequested

    whole = recipe(tricks.CheckpointAveraging(epochs=3), tricks.SharpnessAware(ascent_share=0.5), tricks.Mixup())
    directories = [create_run(tmp_path, name, whole.model_dump(mode="json")) for name in ("unbroken", "broken")]
    train.run(whole, directories[0], data_set=digits)
    for step in (3, 7):
        with monkeypatch.context() as patched:
            patched.setattr(RunWriter, "stop_requested", lambda writer, step=step: writer.status.step == step)
            with pytest.raises(StopRequested):
                train.run(whole, directories[1], data_set=digits)
        reached = train.trained(directories[1])
        assert int(reached.averaging.state()["epochs"]) == max(0, step // STEPS - 1)
    train.run(whole, directories[1], data_set=digits)
    for ours, theirs in zip(*map(saved_weights, directories), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    for name in ("loss", "val_loss"):
        ours, theirs = (Run(path).metrics().series(name)[1] for path in directories)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    batches = data.evaluation_batches(digits, data.preprocessing_for(digits.facts, 16), BATCH)
    values = train.trained(directories[1]).model.evaluate(batches, verbose=0, return_dict=True)
    assert values["loss"] == pytest.approx(Run(directories[1]).result()["metrics"]["val_loss"], rel=1e-4)


def test_a_teacher_of_one_size_sees_the_images_at_that_size(digits, tmp_path):
    from keras_tricks import models

    path = tmp_path / "teacher.keras"
    network = models.ResNet20(input_shape=(16, 16, 3), classifier_activation=None)
    saved_model.save(
        saved_model.SavedModel(network, tuple("0123456789"), data.SmallImagePreprocessing(image_size=16)), path
    )
    training = train.build(recipe(tricks.Distillation(teacher=str(path))), digits)
    training.model.run_eagerly = True
    losses = training.model.fit(training.training_batches(), steps_per_epoch=STEPS, epochs=4, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
