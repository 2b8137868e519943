"""Runs of a network without normalization, with averaged weights: broken off, resumed, evaluated."""

import dataclasses

import numpy as np
import pytest

from keras_tricks import Recipe, RecipeError, tricks
from keras_tricks.data.image_data_set import ArraySplit
from keras_tricks.runs import Run, RunWriter, create_run, schema

RECIPE = Recipe(
    name="normalizer_free",
    model="nf_resnet20",
    data="digits",
    image_size=8,
    epochs=3,
    batch_size=64,
    tricks=(
        tricks.NoBiasDecay(),
        tricks.AdaptiveGradientClipping(clipping=0.08),
        tricks.StochasticDepth(rate=0.2),
        tricks.HeadDropout(rate=0.2),
        tricks.WeightAveraging(decay=0.9),
        tricks.TestResolution(image_size=12),
    ),
)


@pytest.fixture(scope="module")
def digits():
    """The first images of the real data set, four steps an epoch."""
    from keras_tricks import data

    whole = data.load("digits")
    split = ArraySplit(whole.train.images[:256].numpy(), whole.train.labels[:256].numpy())
    return dataclasses.replace(whole, train=split)


def new_run(tmp_path, recipe=RECIPE):
    return create_run(tmp_path, recipe.name, recipe.model_dump(mode="json"))


def saved_weights(directory):
    from keras_tricks import saved_model

    return saved_model.load(directory / schema.MODEL_FILE).model.get_weights()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, digits):
    from keras_tricks import train

    directory = new_run(tmp_path_factory.mktemp("unbroken"))
    train.run(RECIPE, directory, data_set=digits)
    return directory


def test_the_model_holds_the_average_and_the_checkpoint_the_raw_weights(unbroken, digits):
    from keras_tricks.callbacks import Checkpoint
    from keras_tricks.training import build

    training = build(RECIPE, digits)
    Checkpoint(unbroken / schema.CHECKPOINTS, averaging=training.averaging).restore(training.model)
    raw = training.model.get_weights()
    training.averaging.apply_to(training.model)
    average = training.model.get_weights()
    assert any(not np.allclose(one, other, atol=1e-4) for one, other in zip(raw, average, strict=True))
    for ours, theirs in zip(saved_weights(unbroken), average, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_stopped_within_an_epoch_it_ends_the_same(tmp_path, unbroken, digits, monkeypatch):
    from keras_tricks import train
    from keras_tricks.callbacks import StopRequested

    directory = new_run(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(RunWriter, "stop_requested", lambda writer: writer.status.step == 6)
        with pytest.raises(StopRequested):
            train.run(RECIPE, directory, data_set=digits)
    train.run(RECIPE, directory, data_set=digits)
    for ours, theirs in zip(saved_weights(directory), saved_weights(unbroken), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    for name in ("loss", "val_loss", "val_accuracy"):
        ours, theirs = (Run(path).metrics().series(name)[1] for path in (directory, unbroken))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_evaluation_uses_the_average_at_the_test_size_with_and_without_the_model_file(unbroken, digits, tmp_path):
    from keras_tricks import train

    recorded = Run(unbroken).result()["metrics"]
    whole = train.trained(unbroken)
    [(images, _)] = whole.validation_batches().take(1)
    assert images.shape[1:3] == (12, 12)
    values = whole.model.evaluate(whole.validation_batches(), verbose=0, return_dict=True)
    assert values["loss"] == pytest.approx(recorded["val_loss"], abs=1e-5)
    (unbroken / schema.MODEL_FILE).rename(tmp_path / "elsewhere.keras")
    try:
        from_checkpoint = train.trained(unbroken)
    finally:
        (tmp_path / "elsewhere.keras").rename(unbroken / schema.MODEL_FILE)
    for ours, theirs in zip(from_checkpoint.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-7)


def test_a_damaged_average_makes_the_checkpoint_damaged(unbroken, digits, tmp_path):
    import shutil

    from keras_tricks.callbacks import Checkpoint, Position
    from keras_tricks.training import build

    folder = tmp_path / "checkpoints"
    shutil.copytree(unbroken / schema.CHECKPOINTS, folder)
    (folder / "epoch-0003.average.npz").write_bytes(b"broken")
    training = build(RECIPE, digits)
    assert Checkpoint(folder, averaging=training.averaging).restore(training.model) == Position(2)


def test_a_run_begins_with_given_weights_and_resumes_without_them(unbroken, digits, tmp_path):
    from keras_tricks.training import build

    file = tmp_path / "begin.keras"
    file.write_bytes((unbroken / schema.MODEL_FILE).read_bytes())
    recipe = RECIPE.changed(weights=str(file))
    for ours, theirs in zip(build(recipe, digits).model.get_weights(), saved_weights(unbroken), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    headless = build(recipe.changed(weights_head=False), digits).model
    assert not np.array_equal(headless.get_layer("predictions").kernel, saved_weights(unbroken)[-2])
    np.testing.assert_array_equal(headless.layers[1].get_weights()[0], saved_weights(unbroken)[0])
    file.unlink()
    with pytest.raises(RecipeError, match="existing file"):
        build(recipe, digits)
    build(recipe, digits, load_initial_weights=False)
