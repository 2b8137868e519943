"""What NFNets and NF-ResNets have in common."""

import inspect
import math

import keras
import numpy as np
import pytest
from keras import ops
from numpy.lib.stride_tricks import sliding_window_view

from keras_tricks import layers, models
from keras_tricks.layers import ACTIVATION_GAMMAS
from keras_tricks.model_facts import MODELS
from keras_tricks.models import NFNetF0, NFNetTiny, NFResNet20, NFResNet26

ANY_SIZE = (None, None, 3)


def images(size, count=2, seed=0):
    return np.random.default_rng(seed).standard_normal((count, size, size, 3)).astype("float32")


def randomized(model, seed=1):
    """Give every weight that starts at a constant a random value."""
    draw = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.name in ("bias", "gain", "skip_gain"):
            weight.assign(draw.normal(0 if weight.name == "bias" else 1, 0.2, weight.shape))
    return model


def activate(x, activation):
    """Return the activation of the paper, with its gamma."""
    if activation == "relu":
        return np.maximum(x, 0) * 1.7139588594436646
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) * 1.7015043497085571


def convolve(model, name, x, strides=1, groups=1):
    """Convolve with the standardized kernel of the paper, in float64."""
    layer = model.get_layer(name)
    kernel, gain, bias = (
        ops.convert_to_numpy(weight).astype("float64") for weight in (layer.kernel, layer.gain, layer.bias)
    )
    fan_in = np.prod(kernel.shape[:-1])
    kernel = (kernel - kernel.mean((0, 1, 2))) * gain / np.sqrt(np.maximum(kernel.var((0, 1, 2)) * fan_in, 1e-4))
    size = kernel.shape[0]
    padding = max(-(-x.shape[1] // strides) * strides - strides + size - x.shape[1], 0)
    sides = (padding // 2, padding - padding // 2)
    windows = sliding_window_view(np.pad(x, ((0, 0), sides, sides, (0, 0))), (size, size), (1, 2))
    windows = windows[:, ::strides, ::strides]
    parts = [
        np.einsum("bijchw,hwco->bijo", part, columns, optimize=True)
        for part, columns in zip(np.split(windows, groups, 3), np.split(kernel, groups, -1), strict=True)
    ]
    return np.concatenate(parts, -1) + bias


def average_pool(x):
    """Average 2x2 windows; those at the end of an odd side have what is left."""
    odd = x.shape[1] % 2
    x = np.pad(x, ((0, 0), (0, odd), (0, odd), (0, 0)), constant_values=np.nan)
    side = x.shape[1] // 2
    return np.nanmean(x.reshape(len(x), side, 2, side, 2, -1), (2, 4))


def reference(model, x, stages, activation, nfnet, group_width, alpha):
    """Compute the logits as the papers write it: gamma at each activation, beta at each block."""
    for index in range(1, 5 if nfnet else 2):
        x = convolve(model, f"stem_conv{index}", activate(x, activation) if index > 1 else x)
    expected_std = 1.0
    for stage, (depth, stride) in enumerate(stages, start=1):
        for block in range(1, depth + 1):
            name = f"stage{stage}_block{block}"
            stride = stride if block == 1 else 1
            out = activate(x, activation) / expected_std
            shortcut = x
            if block == 1:
                shortcut, shortcut_stride = out, stride
                if nfnet and stride == 2:
                    shortcut = average_pool(out)
                    shortcut_stride = 1
                shortcut = convolve(model, f"{name}_shortcut_conv", shortcut, shortcut_stride)
            out = convolve(model, f"{name}_conv1", out)
            groups = out.shape[-1] // group_width if group_width else 1
            out = convolve(model, f"{name}_conv2", activate(out, activation), stride, groups)
            if nfnet:
                out = convolve(model, f"{name}_conv2b", activate(out, activation), 1, groups)
            out = convolve(model, f"{name}_conv3", activate(out, activation))
            if nfnet:
                weights = [ops.convert_to_numpy(weight) for weight in model.get_layer(f"{name}_se").weights]
                hidden = np.maximum(out.mean((1, 2)) @ weights[0] + weights[1], 0)
                out = out * 2 / (1 + np.exp(-(hidden @ weights[2] + weights[3])))[:, None, None]
            x = shortcut + out * float(model.get_layer(f"{name}_skip").skip_gain) * alpha
            if block == 1:
                expected_std = 1.0
            expected_std = math.sqrt(expected_std**2 + alpha**2)
    if nfnet:
        x = convolve(model, "final_conv", x)
    x = activate(x, activation).mean((1, 2))
    kernel, bias = (ops.convert_to_numpy(weight) for weight in model.get_layer("predictions").weights)
    return x @ kernel + bias


@pytest.mark.parametrize(
    ("builder", "size", "stages", "activation", "nfnet", "group_width", "alpha"),
    [
        pytest.param(NFNetTiny, 17, [(1, 1), (1, 2), (2, 2), (1, 2)], "gelu", True, 32, 0.5, marks=pytest.mark.backend),
        (NFResNet20, 18, [(2, 1), (2, 2), (2, 2)], "relu", False, None, 0.2),
    ],
)
def test_logits_are_those_of_the_papers(builder, size, stages, activation, nfnet, group_width, alpha):
    model = randomized(builder(input_shape=ANY_SIZE, classifier_activation=None, alpha=alpha))
    batch = images(size)
    logits = model.predict_on_batch(batch)
    expected = reference(model, batch.astype("float64"), stages, activation, nfnet, group_width, alpha)
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.backend
@pytest.mark.parametrize("builder", [pytest.param(NFNetTiny, marks=pytest.mark.backend_slow), NFResNet20])
def test_a_new_block_is_its_shortcut(builder):
    model = builder(input_shape=(16, 16, 3))
    sums = {layer.name: (*layer.input, layer.output) for layer in model.layers if layer.name.endswith("_add")}
    assert len(sums) == {"nfnet_tiny": 5, "nf_resnet20": 6}[model.name]
    for shortcut, branch, output in keras.Model(model.input, sums).predict_on_batch(images(16)).values():
        assert not branch.any()
        np.testing.assert_array_equal(output, shortcut)
        assert output.any()


@pytest.mark.parametrize("builder", [NFNetTiny, NFResNet20])
def test_stochastic_depth_grows_with_the_index_of_the_block(builder):
    model = builder(stochastic_depth_rate=0.25)
    blocks = [layer.name.removesuffix("_add") for layer in model.layers if layer.name.endswith("_add")]
    rates = {layer.name: layer.rate for layer in model.layers if isinstance(layer, layers.StochasticDepth)}
    assert rates == {f"{name}_drop": 0.25 * i / len(blocks) for i, name in enumerate(blocks) if i}
    assert not any(layer.rescale for layer in model.layers if isinstance(layer, layers.StochasticDepth))
    plain = {type(layer) for layer in builder().layers}
    assert not plain & {layers.StochasticDepth, layers.Dropout}


def test_stochastic_depth_drops_the_branches_of_single_samples_in_training():
    keras.utils.set_random_seed(3)
    plain = randomized(NFResNet20(input_shape=(8, 8, 3), include_top=False))
    model = NFResNet20(input_shape=(8, 8, 3), include_top=False, stochastic_depth_rate=0.9)
    model.set_weights(plain.get_weights())
    batch = np.repeat(images(8, 1), 64, 0)
    expected = ops.convert_to_numpy(plain(batch))
    np.testing.assert_array_equal(ops.convert_to_numpy(model(batch)), expected)
    outputs = ops.convert_to_numpy(model(batch, training=True))
    different = {sample.tobytes() for sample in outputs.round(4)}
    assert 4 < len(different) <= 2**5


def test_dropout_is_before_the_classifier():
    model = NFResNet20(dropout_rate=0.3)
    dropout = model.get_layer("dropout")
    assert (type(dropout), dropout.rate) == (layers.Dropout, 0.3)
    assert dropout.input is model.get_layer("pool").output
    assert model.get_layer("predictions").input is dropout.output


@pytest.mark.parametrize("builder", [NFNetTiny, NFResNet20])
def test_weights_at_the_start(builder):
    model = builder()
    for weight in model.weights:
        value = ops.convert_to_numpy(weight)
        if weight.path == "predictions/kernel":
            assert value.std() == pytest.approx(0.01, rel=0.1)
        elif weight.name in ("bias", "skip_gain"):
            assert not value.any()
        elif weight.name == "gain":
            assert (value == 1).all()
        elif weight.path.startswith("stage") and "/fc" not in weight.path:
            assert value.std() == pytest.approx(np.prod(weight.shape[:-1]) ** -0.5, rel=0.2)


@pytest.mark.parametrize(("builder", "size"), [(NFNetTiny, 19), (NFResNet20, 32)])
def test_any_image_size_and_pooling(builder, size):
    maps = builder(include_top=False, input_shape=ANY_SIZE)
    batch = images(size)
    features = ops.convert_to_numpy(maps(batch))
    reduction = 8 if builder is NFNetTiny else 4
    assert features.shape[1:3] == (-(-size // reduction),) * 2
    for pooling, pooled in (("avg", features.mean((1, 2))), ("max", features.max((1, 2)))):
        model = builder(include_top=False, input_shape=ANY_SIZE, pooling=pooling)
        model.set_weights(maps.get_weights())
        np.testing.assert_allclose(ops.convert_to_numpy(model(batch)), pooled, rtol=1e-4, atol=1e-5)


def test_save_and_load(tmp_path):
    arguments = {"input_shape": (16, 16, 3), "classes": 4, "dropout_rate": 0.1, "stochastic_depth_rate": 0.1}
    model = randomized(NFNetTiny(**arguments))
    batch = images(16)
    expected = ops.convert_to_numpy(model(batch))
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    copies = [keras.saving.load_model(tmp_path / "model.keras")]
    copies.append(NFNetTiny(weights=tmp_path / "model.weights.h5", **arguments))
    assert [layer.name for layer in copies[0].layers] == [layer.name for layer in model.layers]
    for copy in copies:
        np.testing.assert_array_equal(ops.convert_to_numpy(copy(batch)), expected)


@pytest.mark.backend
def test_the_classifier_and_the_weights_are_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    model = NFNetTiny(input_shape=(16, 16, 3), dropout_rate=0.1)
    assert model.output.dtype == "float32"
    assert model.get_layer("final_act").output.dtype == "float16"
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
    outputs = model.predict_on_batch(images(16))
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs.sum(-1), 1, rtol=1e-5)


@pytest.mark.backend
@pytest.mark.backend_slow
def test_a_step_of_training_lowers_the_loss():
    keras.utils.set_random_seed(4)
    model = NFResNet20(input_shape=(8, 8, 3), stochastic_depth_rate=0.1, dropout_rate=0.1)
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        "sparse_categorical_crossentropy",
        run_eagerly=keras.backend.backend() == "tensorflow",
        jit_compile=keras.backend.backend() == "jax",
    )
    batch, labels = images(8, count=10), np.arange(10)
    before = model.test_on_batch(batch, labels)
    for _ in range(5):
        model.train_on_batch(batch, labels)
    assert model.test_on_batch(batch, labels) < 0.8 * before
    assert all(float(layer.skip_gain) != 0 for layer in model.layers if isinstance(layer, layers.SkipInit))


@pytest.mark.parametrize("activation", ["silu", "leaky_relu", "log_softmax"])
def test_any_activation_but_glu(activation):
    model = NFResNet20(input_shape=(8, 8, 3), activation=activation)
    layer = model.get_layer("stage2_block1_act2")
    assert (layer.activation, layer.gamma) == (activation, 1.0)
    assert model.get_layer("stage2_block1_conv2").scale == ACTIVATION_GAMMAS[activation]
    assert model.get_layer("final_act").gamma == ACTIVATION_GAMMAS[activation]


def test_stem_for_small_images():
    small = NFResNet26(input_shape=(64, 64, 3), include_top=False)
    assert small.output_shape == (None, 8, 8, 2048)
    assert small.get_layer("stem_conv1").kernel_size == (3, 3)
    large = NFResNet26(input_shape=(65, 64, 3), include_top=False)
    assert large.output_shape == (None, 3, 2, 2048)
    assert large.get_layer("stem_conv1").kernel_size == (7, 7)
    chosen = NFResNet26(input_shape=ANY_SIZE, include_top=False, small_images=True)
    assert chosen.get_layer("stem_conv1").kernel_size == (3, 3)


def test_every_network_without_normalization_has_its_facts():
    networks = {name: facts for name, facts in MODELS.items() if "nf" in facts.features}
    assert {facts.builder for facts in networks.values()} == {name for name in models.__all__ if name.startswith("NF")}
    for facts in networks.values():
        assert {"residual", "bottleneck"} < facts.features
        assert "batch_norm" not in facts.features
    for name, facts in MODELS.items():
        if name not in networks:
            assert (facts.stochastic_depth_rate, facts.test_image_size) == (None, None)
        assert facts.dropout_rate is None or "classifier_dropout" in facts.features


@pytest.mark.parametrize("name", [name for name in models.__all__ if name.startswith("NF")])
def test_help_names_what_was_published(name):
    facts = next(facts for facts in MODELS.values() if facts.builder == name)
    documentation = inspect.getdoc(getattr(models, name))
    assert f"{facts.parameters['original'] / 1e6:.2f} M parameters" in documentation
    assert ('`"timm"`' in documentation) == ("timm" in facts.parameters)
    if facts.dropout_rate is not None:
        assert f"published with {facts.dropout_rate:g}." in documentation


@pytest.mark.parametrize(
    ("builder", "arguments", "message"),
    [
        (NFNetTiny, {"activation": "glu"}, "one of identity, .*Received: activation='glu'"),
        (NFNetTiny, {"activation": "swish"}, "Received: activation='swish'"),
        (NFNetTiny, {"alpha": 0}, "above 0. Received: alpha=0"),
        (NFNetTiny, {"dropout_rate": 1}, r"in \[0, 1\). Received: dropout_rate=1"),
        (NFNetTiny, {"stochastic_depth_rate": -0.1}, "Received: stochastic_depth_rate=-0.1"),
        (NFNetTiny, {"variant": "timm"}, "one of original. Received: variant='timm'"),
        (NFNetTiny, {"input_shape": (65, 65, 3)}, "at most 64x64.*Received: input_shape"),
        (NFNetF0, {"variant": "A"}, "one of original, timm. Received: variant='A'"),
        (NFNetF0, {"weights": "imagenet"}, "NFNet-F0. Received: weights='imagenet'"),
        (NFNetF0, {"input_shape": (31, 64, 3)}, "at least 32x32.*NFNet-F0"),
        (NFResNet26, {"classes": 0}, "at least 1. Received: classes=0"),
    ],
)
def test_wrong_arguments_say_what_was_expected(builder, arguments, message):
    with pytest.raises(ValueError, match=message):
        builder(**arguments)
