import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks.models import ResNet20, ResNet50
from keras_tricks.weights import copy_applications_weights, imagenet_preprocessing, load

OPTIONS = {"input_shape": (None, None, 3), "include_top": False, "pooling": "avg"}


def published(**options):
    """Return the ResNet-50 of keras.applications with every weight drawn at random."""
    model = keras.applications.ResNet50(weights=None, **options)
    random = np.random.default_rng(0)
    values = []
    for weight in model.weights:
        draw = random.normal(size=weight.shape)
        if weight.name == "kernel":
            value = draw * np.sqrt(2 / np.prod(weight.shape[:-1]))
        elif weight.name == "gamma":
            value = 0.5 + 0.1 * draw
        elif weight.name == "moving_variance":
            # Variances near epsilon show whether epsilon is right.
            value = np.exp(2 * draw) * (1e-6 if "block2_3" in weight.path else 1)
        else:
            value = 0.3 * draw
        values.append(value)
    # The published stem sees pixels from -128 to 151.
    values[0] = values[0] / 57
    model.set_weights(values)
    return model


@pytest.fixture(scope="module")
def source():
    return published(input_shape=(64, 64, 3), classifier_activation=None)


@pytest.fixture(scope="module")
def headless_source():
    return published(include_top=False, input_shape=(None, None, 3), pooling="avg")


@pytest.mark.parametrize("include_top", [True, False])
def test_imagenet_models_answer_as_those_of_keras_applications(include_top, source, headless_source, monkeypatch):
    theirs = source if include_top else headless_source
    calls = []

    def published_without_download(**arguments):
        calls.append(arguments)
        return theirs

    monkeypatch.setattr(keras.applications, "ResNet50", published_without_download)
    ours = ResNet50(
        weights="imagenet",
        input_shape=(None, None, 3),
        include_top=include_top,
        pooling="avg",
        classifier_activation=None,
    )
    assert calls == [{"weights": "imagenet", "include_top": include_top}]
    for size in (64,) if include_top else (64, 75):
        images = np.random.default_rng(size).uniform(0, 255, (2, size, size, 3)).astype("float32")
        expected = theirs(keras.applications.resnet.preprocess_input(images.copy()))
        expected = ops.convert_to_numpy(expected)
        received = ops.convert_to_numpy(ours(imagenet_preprocessing(images)))
        scale = np.abs(expected).max()
        assert np.abs(expected[0] - expected[1]).max() > 0.01 * scale
        np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-5 * scale)


def test_everything_that_does_not_fit_is_listed(source):
    target = ResNet50(input_shape=(64, 64, 3), classes=7, variant="D")
    before = target.get_weights()
    with pytest.raises(ValueError, match="fit resnet50") as error:
        copy_applications_weights(source, target)
    message = str(error.value)
    for problem in (
        "missing: stem_conv2",
        "missing: stem_bn3",
        "shapes of stem_conv1: [(7, 7, 3, 64)] instead of [(3, 3, 3, 32)]",
        "shapes of predictions: [(2048, 1000), (1000,)] instead of [(2048, 7), (7,)]",
    ):
        assert problem in message
    for old, new in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(ValueError, match="left over: stage4_block3_conv3"):
        copy_applications_weights(source, ResNet20())


def test_all_but_the_classifier_for_another_number_of_classes(headless_source, monkeypatch):
    calls = []
    monkeypatch.setattr(keras.applications, "ResNet50", lambda **arguments: calls.append(arguments) or headless_source)
    target = ResNet50(input_shape=(64, 64, 3), classes=7)
    head = target.get_layer("predictions").get_weights()
    load(target, "imagenet", head=False)
    assert calls == [{"weights": "imagenet", "include_top": False}]
    np.testing.assert_array_equal(head[0], target.get_layer("predictions").get_weights()[0])
    expected = headless_source.get_layer("conv5_block3_3_conv").kernel
    np.testing.assert_array_equal(target.get_layer("stage4_block3_conv3").kernel, expected)


@pytest.mark.backend
def test_preprocessing_is_the_one_of_bag_of_tricks():
    pixels = np.array([[[[123.68, 116.779, 103.939], [182.073, 173.899, 161.314]]]])
    received = ops.convert_to_numpy(imagenet_preprocessing(pixels))
    np.testing.assert_allclose(received[0, 0], [[0, 0, 0], [1, 1, 1]], atol=1e-5)
    integers = np.full((1, 2, 2, 3), 255, "uint8")
    assert ops.convert_to_numpy(imagenet_preprocessing(integers)).dtype == np.float32
