import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks import models
from keras_tricks.layers import ScaledStandardizedConv2D
from keras_tricks.models import AUXILIARY_WEIGHT, FCN, DeepLabV3Plus, backbone, prediction_model

BACKBONES = {"resnet20": {"variant": "D"}, "nf_resnet20": {}}


def pyramid(name="resnet20", **arguments):
    return backbone(name, **{"output_stride": 2, **BACKBONES[name], **arguments})


def images(height, width=None, count=2, seed=0):
    return np.random.default_rng(seed).normal(size=(count, height, width or height, 3)).astype("float32")


def randomize(model):
    draw = np.random.default_rng(1)
    for weight in model.weights:
        value = 0.1 * draw.normal(size=weight.shape)
        if weight.name == "kernel":
            value = ops.convert_to_numpy(weight)
        elif weight.name in ("gamma", "gain", "skip_gain", "moving_variance"):
            value = 1 + value
        weight.assign(value)
    return model


def resized(maps, height, width):
    """Interpolate between the middles of pixels, one axis after the other."""

    def along(array, axis, size):
        places = (np.arange(size) + 0.5) * array.shape[axis] / size - 0.5
        return np.apply_along_axis(lambda row: np.interp(places, np.arange(len(row)), row), axis, array)

    return along(along(maps, 1, height), 2, width)


def convolved(model, name, maps, rate=1):
    """Convolve and normalize in inference with the weights of a model, in float64."""
    convolution = model.get_layer(f"{name}_conv")
    normalizer_free = isinstance(convolution, ScaledStandardizedConv2D)
    kernel = convolution.standardized_kernel() if normalizer_free else convolution.kernel
    kernel = np.asarray(ops.convert_to_numpy(kernel), "float64")
    size, (height, width) = kernel.shape[0], maps.shape[1:3]
    pad = rate * (size // 2)
    padded = np.pad(maps, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    sums = sum(
        padded[:, rate * i : rate * i + height, rate * j : rate * j + width] @ kernel[i, j]
        for i in range(size)
        for j in range(size)
    )
    if normalizer_free:
        return 1.7139588594436646 * np.maximum(sums + ops.convert_to_numpy(convolution.bias), 0)
    norm = model.get_layer(f"{name}_bn")
    gamma, beta, mean, variance = (ops.convert_to_numpy(weight) for weight in norm.weights)
    return np.maximum((sums - mean) / np.sqrt(variance + 1e-5) * gamma + beta, 0)


def classified(model, name, maps, size):
    kernel, bias = (ops.convert_to_numpy(weight) for weight in model.get_layer(name).weights)
    return resized(maps @ kernel[0, 0] + bias, *size)


def features(model, base, batch):
    maps = keras.Model(model.input, base.output)(batch, training=False)
    return {stage: ops.convert_to_numpy(each).astype("float64") for stage, each in maps.items()}


@pytest.mark.backend
@pytest.mark.parametrize("name", ["resnet20", pytest.param("nf_resnet20", marks=pytest.mark.backend_slow)])
def test_fcn_is_the_published_head_on_the_last_two_stages(name):
    base = pyramid(name)
    model = randomize(FCN(base, classes=5))
    batch = images(13, 18)
    outputs = model(batch, training=False)
    maps = features(model, base, batch)
    for output, stage, prefix in (("predictions", "stage3", ""), ("auxiliary", "stage2", "auxiliary_")):
        channels = maps[stage].shape[-1]
        assert model.get_layer(f"{prefix}head_conv").kernel.shape == (3, 3, channels, channels // 4)
        hidden = convolved(model, f"{prefix}head", maps[stage])
        expected = classified(model, f"{prefix}predictions", hidden, (13, 18))
        found = ops.convert_to_numpy(outputs[output])
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.backend
@pytest.mark.backend_slow
@pytest.mark.parametrize("name", ["resnet20", "nf_resnet20"])
def test_deeplab_is_the_published_head_and_decoder(name):
    base = pyramid(name, output_stride=4)
    model = randomize(DeepLabV3Plus(base, 5, filters=8, low_level_filters=4, dilation_rates=(1, 2, 3)))
    batch = images(13, 18)
    maps = features(model, base, batch)
    last, low = maps["stage3"], maps["stage1"]
    assert last.shape[1:3] == (4, 5)
    mean = convolved(model, "parallel_mean", last.mean((1, 2), keepdims=True))
    branches = [
        convolved(model, "parallel_point", last),
        *(convolved(model, f"parallel{rate}", last, rate) for rate in (1, 2, 3)),
        np.broadcast_to(mean, (2, 4, 5, 8)),
    ]
    x = resized(convolved(model, "parallel_together", np.concatenate(branches, -1)), 13, 18)
    x = np.concatenate([x, convolved(model, "decoder_low", low)], -1)
    x = convolved(model, "decoder2", convolved(model, "decoder1", x))
    expected = classified(model, "predictions", x, (13, 18))
    found = ops.convert_to_numpy(model(batch, training=False))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(("output_stride", "rates"), [(8, (12, 24, 36)), (16, (6, 12, 18)), (32, (3, 6, 9))])
def test_dilations_of_deeplab_follow_the_output_stride(output_stride, rates):
    with keras.StatelessScope(initialize_variables=False):
        model = DeepLabV3Plus(backbone("resnet18", output_stride=output_stride), 3, auxiliary=True)
    found = tuple(model.get_layer(f"parallel{index}_conv").dilation_rate[0] for index in (1, 2, 3))
    assert found == rates
    assert model.get_layer("decoder1_conv").kernel.shape == (3, 3, 256 + 48, 256)
    assert list(model.output) == ["predictions", "auxiliary"]
    assert model.get_layer("auxiliary_head_conv").kernel.shape == (3, 3, 256, 64)


@pytest.mark.backend
def test_the_backbone_keeps_names_and_weights_and_what_is_frozen(tmp_path):
    base = randomize(pyramid(frozen_stages=1, batch_norm="frozen"))
    model = FCN(base, classes=5)
    assert model.weights[: len(base.weights)] == base.weights
    assert [layer.name for layer in model.layers if layer.name in {each.name for each in base.layers}] == [
        layer.name for layer in base.layers
    ]
    heads = {"head_bn", "auxiliary_head_bn"}
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {norm.name for norm in norms if norm.trainable} == heads
    assert not model.get_layer("stage1_block1_conv1").trainable
    model.save(tmp_path / "model.keras")
    loaded, batch = keras.models.load_model(tmp_path / "model.keras"), images(9)
    assert len(loaded.trainable_weights) == len(model.trainable_weights)
    for name, output in model(batch, training=False).items():
        np.testing.assert_array_equal(
            ops.convert_to_numpy(loaded(batch, training=False)[name]), ops.convert_to_numpy(output)
        )


def test_predictions_have_no_auxiliary_head():
    model = FCN(pyramid(), classes=4)
    small, batch = prediction_model(model), images(8)
    assert not any("auxiliary" in layer.name for layer in small.layers)
    expected = model(batch, training=False)["predictions"]
    np.testing.assert_array_equal(ops.convert_to_numpy(small(batch, training=False)), ops.convert_to_numpy(expected))
    alone = FCN(pyramid(), classes=4, auxiliary=False)
    assert alone.output_shape == (None, None, None, 4)
    assert prediction_model(alone) is alone


@pytest.mark.parametrize(
    ("name", "arguments", "normalization", "expected"),
    [
        ("resnet20", {}, None, "batch"),
        ("resnet20", {"batch_norm": "frozen"}, None, "batch"),
        ("resnet20", {"batch_norm": "synchronized"}, None, "synchronized"),
        ("resnet20", {}, "none", "none"),
        ("nf_resnet20", {}, None, "none"),
        ("nf_resnet20", {}, "synchronized", "synchronized"),
    ],
)
def test_heads_normalize_as_their_backbone_or_as_asked(name, arguments, normalization, expected):
    model = FCN(pyramid(name, **arguments), 3, normalization=normalization)
    if expected == "none":
        assert isinstance(model.get_layer("head_conv"), ScaledStandardizedConv2D)
        assert model.get_layer("head_act").activation == "relu"
    else:
        norm = model.get_layer("head_bn")
        assert norm.trainable
        assert norm.synchronized == (expected == "synchronized")


@pytest.mark.parametrize(
    ("build", "arguments", "layers"),
    [
        (FCN, {}, ("stage3_output", "head_act", "auxiliary_head_act")),
        (DeepLabV3Plus, {"dilation_rates": (1, 2, 3)}, ("parallel_point_act", "parallel1_act", "decoder_low_act")),
    ],
)
def test_signals_keep_their_variance_where_nothing_normalizes(build, arguments, layers):
    model = build(pyramid("nf_resnet20", activation="silu"), 5, **arguments)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
    outputs = {layer: model.get_layer(layer).output for layer in layers}
    for layer, signal in keras.Model(model.input, outputs)(images(32, count=4), training=False).items():
        assert 0.5 < np.square(ops.convert_to_numpy(signal)).mean() < 1.5, layer


@pytest.mark.backend
@pytest.mark.parametrize(
    ("build", "name"), [pytest.param(FCN, "resnet20", marks=pytest.mark.backend_slow), (DeepLabV3Plus, "nf_resnet20")]
)
def test_fitting_learns_and_ignores_a_class(build, name):
    arguments = {} if build is FCN else {"filters": 16, "dilation_rates": (1, 2, 3)}
    model = build(pyramid(name), 3, auxiliary=True, **arguments)
    batch = images(8, count=4)
    masks = (batch[..., 0] > 0).astype("int32") + (batch[..., 1] > 1)
    masks[:, :3] = 255
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
    model.compile(
        keras.optimizers.Adam(1e-2),
        loss={"predictions": loss, "auxiliary": loss},
        loss_weights={"predictions": 1.0, "auxiliary": AUXILIARY_WEIGHT},
        # Tracing takes longer than these few steps.
        run_eagerly=keras.backend.backend() == "tensorflow",
    )
    targets = {"predictions": masks, "auxiliary": masks}
    history = model.fit(batch, targets, batch_size=4, epochs=6, verbose=0).history
    parts = np.array(history["predictions_loss"]) + 0.5 * np.array(history["auxiliary_loss"])
    np.testing.assert_allclose(history["loss"], parts, rtol=1e-4)
    assert history["predictions_loss"][-1] < 0.9 * history["predictions_loss"][0]
    assert history["auxiliary_loss"][-1] < 0.95 * history["auxiliary_loss"][0]


@pytest.mark.parametrize("build", [FCN, DeepLabV3Plus])
def test_logits_are_float32_under_mixed_precision(build):
    keras.config.set_dtype_policy("mixed_float16")
    model = build(pyramid(), 3, auxiliary=True)
    for output in model(images(8), training=True).values():
        assert keras.backend.standardize_dtype(output.dtype) == "float32"
    assert model.get_layer("auxiliary_head_conv").output.dtype == "float16"


@pytest.mark.parametrize("build", [FCN, DeepLabV3Plus])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 0}, "at least 1. Received: classes=0"),
        ({"dropout_rate": 1.0}, r"in \[0, 1\). Received: dropout_rate=1.0"),
        ({"normalization": "group"}, "batch, synchronized, none. Received: normalization='group'"),
    ],
)
def test_wrong_arguments_say_what_was_expected(build, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(pyramid(), **{"classes": 3, **arguments})


def test_other_models_and_wrong_dilations_are_refused():
    with pytest.raises(ValueError, match=r"models.backbone returned. Received: backbone="):
        FCN(models.ResNet20(), 3)
    for arguments in ({"dilation_rates": (0, 2)}, {"dilation_rates": ()}, {"filters": 0}):
        with pytest.raises(ValueError, match=r"at least 1. Received: "):
            DeepLabV3Plus(pyramid(), 3, **arguments)
