"""Folding: the same outputs from plain convolutions, and the model as it was."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_tricks import models
from keras_tricks.folding import fold_standardization
from keras_tricks.layers import Dropout, ScaledActivation, ScaledStandardizedConv2D, SkipInit, StochasticDepth

INFERENCE_KEEPS_NONE = (ScaledStandardizedConv2D, SkipInit, StochasticDepth, Dropout, layers.BatchNormalization)


def shake(model):
    """Give every weight that starts at a constant another value, as training would."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name in ("gain", "gamma", "moving_variance", "skip_gain"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("bias", "beta", "moving_mean"):
            weight.assign(rng.normal(0, 0.1, weight.shape))
    return model


def outputs(model, size=None, channels=3):
    shape = (2, size or model.input_shape[1], size or model.input_shape[2], channels)
    images = np.random.default_rng(1).normal(size=shape).astype("float32")
    return keras.ops.convert_to_numpy(model(images, training=False)).astype("float32")


def assert_same(folded, model, tolerance=1e-5, **shape):
    expected = outputs(model, **shape)
    assert np.abs(outputs(folded, **shape) - expected).max() <= tolerance * np.abs(expected).max()


def all_layers(model):
    return [layer for layer in model._flatten_layers() if layer is not model]


def small(*args, **kwargs):
    inputs = keras.Input((9, 10, 8))
    return shake(keras.Model(inputs, ScaledStandardizedConv2D(*args, name="conv", **kwargs)(inputs)))


@pytest.mark.parametrize(
    "build",
    [
        lambda: models.NFNetTiny(input_shape=(32, 32, 3), dropout_rate=0.2, stochastic_depth_rate=0.2),
        lambda: models.NFResNet20(input_shape=(16, 16, 3), stochastic_depth_rate=0.2),
        lambda: models.NFResNet26(input_shape=(33, 33, 3), small_images=False, classes=10, variant="timm"),
        lambda: models.ResNet20(input_shape=(17, 17, 3), variant="D"),
    ],
    ids=["nfnet", "nf_resnet", "timm_nf_resnet", "resnet"],
)
def test_models_are_folded_to_the_same_function(build):
    model = shake(build())
    before, expected = model.get_weights(), outputs(model)
    folded = fold_standardization(model)
    assert_same(folded, model)
    assert not [layer for layer in all_layers(folded) if isinstance(layer, INFERENCE_KEEPS_NONE)]
    assert folded.name == model.name
    for now, weight in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, weight)
    np.testing.assert_array_equal(outputs(model), expected)


@pytest.mark.parametrize("split_groups", [True, False])
@pytest.mark.parametrize(
    "arguments",
    [
        {"groups": 2, "padding": "same", "strides": 2},
        pytest.param({"groups": 4, "padding": "symmetric", "strides": 2}, marks=pytest.mark.backend),
        {"groups": 4, "padding": "symmetric", "strides": 2, "epsilon_mode": "add"},
        {"groups": 8, "padding": "symmetric"},
        {"groups": 8, "padding": "valid", "activation": "relu"},
        {"padding": "symmetric", "strides": 2, "scale": 1.7},
        {"padding": "symmetric", "dilation_rate": 2},
        {"padding": "valid", "dilation_rate": (1, 2)},
    ],
    ids=str,
)
def test_every_kind_of_convolution(arguments, split_groups):
    model = small(16, 3, **arguments)
    folded = fold_standardization(model, split_groups)
    assert_same(folded, model, channels=8)
    kinds = {type(layer) for layer in folded.layers}
    assert kinds <= {
        layers.InputLayer, layers.ZeroPadding2D, layers.Conv2D, layers.DepthwiseConv2D, layers.Concatenate
    }  # fmt: skip
    if arguments.get("groups") == 8:
        assert layers.DepthwiseConv2D in kinds
    elif "groups" in arguments:
        assert (layers.Concatenate in kinds) == split_groups


@pytest.mark.parametrize(("kernel_size", "strides", "pads"), [(1, 2, False), (3, 1, False), (4, 1, True), (3, 2, True)])
def test_symmetric_padding_is_a_layer_only_where_it_must_be(kernel_size, strides, pads):
    model = small(4, kernel_size, strides=strides, padding="symmetric")
    folded = fold_standardization(model)
    assert_same(folded, model, channels=8)
    assert any(isinstance(layer, layers.ZeroPadding2D) for layer in folded.layers) == pads


@pytest.mark.backend
def test_the_kernel_is_the_standardized_one_in_float32_also_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    model = small(6, 3)
    convolution = model.get_layer("conv")
    convolution.kernel.assign(convolution.kernel * 1e-3 + 1)
    folded = fold_standardization(model).get_layer("conv")
    assert folded.dtype_policy.name == "mixed_float16"
    kernel = keras.ops.convert_to_numpy(folded.kernel)
    assert kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel, keras.ops.convert_to_numpy(convolution.standardized_kernel()))
    np.testing.assert_allclose(kernel.mean((0, 1, 2)), 0, atol=1e-4)


def test_half_precision_rounds_where_it_did():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = shake(models.ResNet20(input_shape=(16, 16, 3)))
    folded = fold_standardization(model)
    kept = [layer.name for layer in folded.layers if isinstance(layer, layers.BatchNormalization)]
    assert kept == [layer.name for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    assert_same(folded, model, tolerance=1e-2)


@pytest.mark.backend
def test_scales_behind_a_convolution_go_into_its_weights():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, use_bias=False)(inputs)
    x = layers.BatchNormalization(scale=False)(x)
    x = Dropout(0.5)(x)
    x = layers.Rescaling(2.0, offset=0.5)(x)
    model = shake(keras.Model(inputs, SkipInit(0.2)(x)))
    folded = fold_standardization(model)
    assert [type(layer) for layer in folded.layers] == [layers.InputLayer, layers.Conv2D]
    assert_same(folded, model)


def _two_consumers(inputs):
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    return layers.Add()([x, layers.BatchNormalization()(x)])


def _also_an_output(inputs):
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    return [layers.BatchNormalization()(x), x]


def _activation_between(inputs):
    return layers.BatchNormalization()(layers.Conv2D(4, 3, activation="tanh")(inputs))


def _other_axis(inputs):
    return layers.BatchNormalization(axis=1)(layers.Conv2D(4, 3)(inputs))


def _shared(inputs):
    convolution, norm = ScaledStandardizedConv2D(3, 3, padding="same"), layers.BatchNormalization()
    return norm(convolution(norm(convolution(inputs))))


@pytest.mark.parametrize("build", [_two_consumers, _also_an_output, _activation_between, _other_axis, _shared])
def test_a_scale_stays_where_it_is_not_the_convolutions_alone(build):
    inputs = keras.Input((8, 8, 3))
    model = shake(keras.Model(inputs, build(inputs)))
    folded = fold_standardization(model)
    assert any(isinstance(layer, layers.BatchNormalization) for layer in folded.layers)
    images = np.random.default_rng(1).normal(size=(2, 8, 8, 3)).astype("float32")
    for value, expected in zip(keras.tree.flatten(folded(images)), keras.tree.flatten(model(images)), strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(value), keras.ops.convert_to_numpy(expected), rtol=1e-5, atol=1e-5
        )


def test_layers_that_were_asked_to_train_stay():
    inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3)(inputs), training=True)
    folded = fold_standardization(keras.Model(inputs, layers.Dropout(0.5)(x, training=True)))
    assert [type(layer) for layer in folded.layers][2:] == [layers.BatchNormalization, layers.Dropout]


@pytest.mark.backend
def test_models_in_a_model_and_operations_are_folded_too():
    inner = keras.Sequential([keras.Input((8, 8, 3)), ScaledStandardizedConv2D(4, 3), ScaledActivation("gelu")])
    inputs = keras.Input((8, 8, 3))
    x = keras.ops.relu(inner(inputs))
    model = shake(keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x))))
    folded = fold_standardization(model)
    assert not [layer for layer in all_layers(folded) if isinstance(layer, ScaledStandardizedConv2D)]
    assert_same(folded, model)


@pytest.mark.backend
def test_grouped_convolutions_without_standardization_are_split_on_request():
    inputs = keras.Input((8, 8, 4))
    model = shake(keras.Model(inputs, layers.Conv2D(6, 3, groups=2, name="conv")(inputs)))
    folded = fold_standardization(model, split_groups=True)
    assert type(folded.get_layer("conv")) is layers.Concatenate
    assert_same(folded, model, channels=4)
    assert fold_standardization(model, split_groups=False).get_layer("conv").groups == 2


@pytest.mark.backend
def test_a_model_with_nothing_to_fold_comes_back_as_a_copy_that_is_not_compiled():
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten()])
    model.compile("sgd", "mse")
    folded = fold_standardization(model)
    assert not folded.compiled
    assert_same(folded, model, tolerance=0)
    folded.layers[1].kernel.assign(folded.layers[1].kernel * 2)
    assert np.abs(outputs(folded) - outputs(model)).max() > 0


def test_a_folded_model_is_saved_and_loaded(tmp_path):
    folded = fold_standardization(shake(models.NFResNet20(input_shape=(16, 16, 3))))
    folded.save(tmp_path / "folded.keras")
    assert_same(keras.models.load_model(tmp_path / "folded.keras"), folded, tolerance=0)


class _Subclass(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize("model", [_Subclass, lambda: keras.Sequential([layers.Conv2D(4, 3)])])
def test_models_with_unknown_layers_are_refused(model):
    with pytest.raises(ValueError, match=r"Expected a built functional or sequential model.*Received: model="):
        fold_standardization(model())
