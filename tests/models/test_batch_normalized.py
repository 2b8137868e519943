"""Inception-V3 and MobileNet; tests/weights/test_inception_mobilenet_weights.py compares them with Keras's."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks.models import InceptionV3, MobileNet, backbone
from keras_tricks.weights import load

ANY_SIZE = (None, None, 3)
SMALL = {"input_shape": (32, 32, 3), "classes": 4}


def norms(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


def convolutions(model):
    kinds = keras.layers.Conv2D | keras.layers.DepthwiseConv2D
    return [layer for layer in model.layers if isinstance(layer, kinds)]


@pytest.fixture(scope="module")
def inception():
    return InceptionV3(include_top=False, synchronized_batch_norm=True)


@pytest.fixture(scope="module")
def mobilenet():
    return MobileNet(input_shape=ANY_SIZE, include_top=False)


@pytest.mark.parametrize(("name", "count", "gamma"), [("inception", 94, False), ("mobilenet", 27, True)])
def test_every_convolution_is_normalized_and_activated(name, count, gamma, request):
    model = request.getfixturevalue(name)
    assert len(convolutions(model)) == len(norms(model)) == count
    assert not any(layer.use_bias for layer in convolutions(model))
    for norm in norms(model):
        assert (norm.momentum, norm.epsilon, norm.scale) == (0.9, 1e-3, gamma)
        assert norm.synchronized == (name == "inception")
    activations = {layer.activation.__name__ for layer in model.layers if isinstance(layer, keras.layers.Activation)}
    assert activations == {"relu6" if name == "mobilenet" else "relu"}


def test_kernels_are_drawn_with_variance_two_over_fan_out(inception, mobilenet):
    for model, name, fan_out in (
        (inception, "mixed4_branch2_conv2", 7 * 128),
        (inception, "mixed10_branch1_conv1", 320),
        (mobilenet, "block13_conv1", 9),
        (mobilenet, "block13_conv2", 1024),
    ):
        kernel = ops.convert_to_numpy(model.get_layer(name).kernel)
        np.testing.assert_allclose(kernel.std(), np.sqrt(2 / fan_out), rtol=0.02)


def test_blocks_of_inception_are_of_the_published_sizes(inception):
    shapes = {
        name: inception.get_layer(name).output.shape[1:] for name in ("stem_pool2", "mixed0", "mixed7", "mixed10")
    }
    assert shapes == {
        "stem_pool2": (35, 35, 192),
        "mixed0": (35, 35, 256),
        "mixed7": (17, 17, 768),
        "mixed10": (8, 8, 2048),
    }


@pytest.mark.parametrize("size", [32, 47])
def test_any_image_size_and_pooling(size, mobilenet):
    images = np.random.default_rng(1).normal(size=(2, size, size, 3)).astype("float32")
    features = ops.convert_to_numpy(mobilenet(images))
    assert features.shape == (2, 1, 1, 1024)
    pooled = MobileNet(include_top=False, input_shape=ANY_SIZE, pooling="max")
    pooled.set_weights(mobilenet.get_weights())
    np.testing.assert_allclose(ops.convert_to_numpy(pooled(images)), features.max((1, 2)), rtol=1e-4)


@pytest.mark.backend
@pytest.mark.backend_slow
def test_save_and_load(tmp_path):
    model = MobileNet(**SMALL, dropout_rate=0.2)
    images = np.random.default_rng(3).normal(size=(2, 32, 32, 3)).astype("float32")
    expected = ops.convert_to_numpy(model(images))
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    copies = [keras.saving.load_model(tmp_path / "model.keras")]
    copies += [MobileNet(**SMALL, weights=tmp_path / file) for file in ("model.keras", "model.weights.h5")]
    for copy in copies:
        np.testing.assert_array_equal(ops.convert_to_numpy(copy(images)), expected)
    other = MobileNet(**{**SMALL, "classes": 7})
    load(other, tmp_path / "model.keras", head=False)
    for name in ("stem_conv1", "block13_conv1", "block13_bn2"):
        np.testing.assert_array_equal(other.get_layer(name).get_weights()[0], model.get_layer(name).get_weights()[0])


@pytest.mark.backend
@pytest.mark.backend_slow
def test_the_features_are_dropped_in_training_only():
    images = np.random.default_rng(4).normal(size=(2, 32, 32, 3)).astype("float32")
    dropped, plain = (MobileNet(**SMALL, dropout_rate=rate, classifier_activation=None) for rate in (0.5, 0.0))
    plain.set_weights([*dropped.get_weights()[: len(plain.weights)]])
    assert "dropout" not in {layer.name for layer in plain.layers}
    ends = [ops.convert_to_numpy(model(images, training=False)) for model in (dropped, plain)]
    np.testing.assert_array_equal(*ends)
    ends = [ops.convert_to_numpy(model(images, training=True)) for model in (dropped, plain)]
    assert np.abs(ends[0] - ends[1]).max() > 0.01


@pytest.mark.backend
@pytest.mark.backend_slow
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_the_classifier_is_float32_under_mixed_precision(precision):
    keras.config.set_dtype_policy(f"mixed_{precision}")
    model = MobileNet(**SMALL, classifier_activation=None)
    outputs = model(np.ones((2, 32, 32, 3), "float32"))
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
    assert model.get_layer("block13_act2").output.dtype == precision
    assert {weight.dtype for weight in model.weights} == {"float32"}


@pytest.mark.parametrize(
    ("builder", "arguments", "message"),
    [
        (InceptionV3, {"input_shape": (74, 75, 3)}, "at least 75x75 pixels for Inception-V3"),
        (MobileNet, {"input_shape": (31, 32, 3)}, "at least 32x32"),
        (MobileNet, {"variant": "D"}, "one of original. Received: variant='D'"),
        (MobileNet, {"dropout_rate": 1.0}, "Received: dropout_rate=1.0"),
        (MobileNet, {"dropout_rate": True}, "Received: dropout_rate=True"),
        (MobileNet, {"weights": "imagenet", "classes": 10}, "Received: classes=10"),
        (InceptionV3, {"weights": "imagenet", "input_shape": (75, 75, 1)}, "three channels"),
        (InceptionV3, {"weights": "missing.weights.h5"}, "Received: weights='missing.weights.h5'"),
    ],
)
def test_wrong_arguments_say_what_was_expected(builder, arguments, message):
    with pytest.raises(ValueError, match=message):
        builder(**arguments)


def test_they_are_no_backbones():
    with pytest.raises(ValueError, match=r"Expected a ResNet.*Received: model='mobilenet'"):
        backbone("mobilenet")
