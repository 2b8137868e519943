"""Runs of MobileNet and Inception-V3: trained with the tricks that apply, evaluated, exported, taught from."""

import dataclasses
import json

import numpy as np
import pytest

from keras_tricks import Recipe, tricks
from keras_tricks.cli import main
from keras_tricks.data.image_data_set import ArraySplit
from keras_tricks.runs import Run, create_run, schema

TRICKS = (
    tricks.LinearScaling(),
    tricks.CosineDecay(),
    tricks.NoBiasDecay(),
    tricks.MixedPrecision(dtype="bfloat16"),
    tricks.AdaptiveGradientClipping(),
    tricks.HeadDropout(),
    tricks.LabelSmoothing(),
    tricks.Mixup(),
)


def train(root, model, image_size, *more):
    """Train two steps on real digits and return the directory of the run."""
    from keras_tricks import data
    from keras_tricks.train import run

    recipe = Recipe(
        name=model, model=model, data="digits", image_size=image_size, epochs=1, batch_size=16, tricks=(*TRICKS, *more)
    )
    whole = data.load("digits")
    parts = {}
    for name, count in (("train", 32), ("validation", 16)):
        split = getattr(whole, name)
        parts[name] = ArraySplit(split.images[:count].numpy(), split.labels[:count].numpy())
    directory = create_run(root, model, recipe.model_dump(mode="json"))
    run(recipe, directory, data_set=dataclasses.replace(whole, **parts))
    return directory


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory):
    return train(tmp_path_factory.mktemp("mobilenet"), "mobilenet", 32)


def assert_trained(directory, layers):
    """Assert that a run has finished with finite numbers, and with every weight away from its start."""
    from keras_tricks import saved_model

    run = Run(directory)
    assert run.status().state == "finished"
    for name in ("loss", "val_loss"):
        assert np.isfinite(run.metrics().series(name)[1]).all()
    model = saved_model.load(directory / schema.MODEL_FILE).model
    norms = [layer for layer in model.layers if type(layer).__name__ == "BatchNormalization"]
    assert len(norms) == layers
    for norm in norms:
        for weight, start in ((norm.beta, 0), (norm.moving_mean, 0), (norm.moving_variance, 1)):
            assert (np.asarray(weight) != start).any(), weight.path


def export(directory, format):
    """Export a run, which compares the file with the model, and return what is said of the file."""
    with pytest.raises(SystemExit) as caught:
        main(["export", str(directory), "--format", format, "--check-images", "8"])
    assert caught.value.code == 0
    (description,) = (directory / "export").glob(f"*{format}*.json")
    return json.loads(description.read_text())


@pytest.mark.slow
def test_mobilenet_trains_with_the_tricks_that_apply(mobilenet):
    assert_trained(mobilenet, 27)


@pytest.mark.slow
def test_mobilenet_is_exported(mobilenet):
    pytest.importorskip("tf2onnx")
    check = export(mobilenet, "onnx")["check"]
    assert check["largest_difference"] < check["tolerance"]


@pytest.mark.slow
def test_inception_learns_from_mobilenet_and_is_exported(tmp_path, mobilenet):
    directory = train(tmp_path, "inception_v3", 75, tricks.Distillation(teacher=str(mobilenet)))
    assert_trained(directory, 94)
    check = export(directory, "keras")["check"]
    assert check["largest_difference"] < check["tolerance"]
