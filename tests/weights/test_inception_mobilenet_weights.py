"""Inception-V3 and MobileNet beside those of keras.applications, on the same weights."""

from functools import cache

import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks import models
from keras_tricks.weights import copy_applications_weights, copy_timm_weights, imagenet_preprocessing, load

SIZES = {"InceptionV3": 75, "MobileNet": 64}


@cache
def published(architecture, include_top=True):
    """Return a model of keras.applications with every weight drawn at random."""
    size = SIZES[architecture]
    theirs = getattr(keras.applications, architecture)(
        weights=None, input_shape=(size, size, 3), include_top=include_top, classifier_activation=None
    )
    random = np.random.default_rng(0)
    values = []
    for weight in theirs.weights:
        draw = random.normal(size=weight.shape)
        if weight.name == "kernel":
            fan_in = 9 if weight.shape[-1] == 1 else np.prod(weight.shape[:-1])
            value = draw * np.sqrt(2 / fan_in)
        elif weight.name == "gamma":
            value = 1 + 0.1 * draw
        elif weight.name == "moving_variance":
            value = np.exp(0.3 * draw)
        else:
            value = 0.3 * draw
        values.append(value)
    theirs.set_weights(values)
    return theirs


def without_download(monkeypatch, architecture, theirs):
    """Let `weights="imagenet"` be those of a model; return the calls for them."""
    calls = []
    monkeypatch.setattr(keras.applications, architecture, lambda **arguments: calls.append(arguments) or theirs)
    return calls


def answers(model, images):
    return ops.convert_to_numpy(model(images, training=False))


def assert_same(received, expected):
    scale = np.abs(expected).max()
    assert np.abs(expected[0] - expected[1]).max() > 0.01 * scale
    np.testing.assert_allclose(received, expected, rtol=1e-3, atol=1e-5 * scale)


def pixels(size):
    return np.random.default_rng(size).uniform(0, 255, (2, size, size, 3)).astype("float32")


# One operation at a time, Inception-V3 takes minutes on JAX, and MobileNet takes its time.
@pytest.mark.parametrize(
    "architecture",
    ["InceptionV3", pytest.param("MobileNet", marks=[pytest.mark.backend, pytest.mark.backend_slow])],
)
def test_the_same_weights_give_the_answers_of_keras_applications(architecture, monkeypatch):
    theirs = published(architecture)
    calls = without_download(monkeypatch, architecture, theirs)
    size = SIZES[architecture]
    shape = (size, size, 3)
    ours = getattr(models, architecture)(weights="imagenet", input_shape=shape, classifier_activation=None)
    assert calls == [{"weights": "imagenet", "include_top": True}]
    images = pixels(size)
    expected = answers(theirs, images / 127.5 - 1)
    received = answers(ours, imagenet_preprocessing(images))
    if architecture == "InceptionV3":
        assert_same(received, expected)
        return
    # MobileNet pads its first convolution with what is grey there and the mean color here.
    assert 1e-5 < np.abs(received - expected).max() / np.abs(expected).max() < 0.05
    ours.get_layer("stem_conv1").set_weights(theirs.get_layer("conv1").get_weights())
    ours.get_layer("stem_bn1").set_weights(theirs.get_layer("conv1_bn").get_weights())
    assert_same(answers(ours, images / 127.5 - 1), expected)


@pytest.mark.parametrize("architecture", [pytest.param("InceptionV3", marks=pytest.mark.slow), "MobileNet"])
def test_all_but_the_classifier_for_another_number_of_classes(architecture, monkeypatch):
    theirs = published(architecture, include_top=False)
    calls = without_download(monkeypatch, architecture, theirs)
    size = SIZES[architecture]
    ours = getattr(models, architecture)(input_shape=(size, size, 3), classes=7)
    before = ours.get_layer("predictions").get_weights()
    load(ours, "imagenet", head=False)
    assert calls == [{"weights": "imagenet", "include_top": False}]
    np.testing.assert_array_equal(before[0], ours.get_layer("predictions").get_weights()[0])
    name = {"InceptionV3": "mixed10_branch4_conv1", "MobileNet": "block13_conv2"}[architecture]
    last = [layer for layer in theirs.layers if isinstance(layer, keras.layers.Conv2D)][-1]
    np.testing.assert_array_equal(ours.get_layer(name).kernel, last.kernel)


def test_what_does_not_fit_is_listed_and_nothing_is_changed():
    source = published("MobileNet")
    target = models.MobileNet(input_shape=(32, 32, 3), classes=7)
    before = target.get_weights()
    with pytest.raises(
        ValueError, match=r"predictions: \[\(1024, 1000\), \(1000,\)\] instead of \[\(1024, 7\), \(7,\)"
    ):
        copy_applications_weights(source, target)
    with pytest.raises(ValueError, match=r"missing: stage1_block1_conv1.*left over: block13_bn2"):
        copy_applications_weights(source, models.ResNet20())
    for old, new in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_weights_of_timm_are_refused():
    with pytest.raises(ValueError, match=r"pads evenly.*Received: mobilenet"):
        copy_timm_weights({}, models.MobileNet(input_shape=(32, 32, 3)))
