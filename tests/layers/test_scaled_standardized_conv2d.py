import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks.layers import ScaledStandardizedConv2D

pytestmark = pytest.mark.backend


def standardized(kernel, gain, epsilon=1e-4, mode="floor"):
    """Return the formula of the paper, or timm's, in float64."""
    kernel = np.asarray(kernel, "float64")
    fan_in = np.prod(kernel.shape[:-1])
    centred = kernel - kernel.mean((0, 1, 2))
    variance = kernel.var((0, 1, 2))
    if mode == "floor":
        return centred * gain / np.sqrt(np.maximum(variance * fan_in, epsilon))
    return centred * gain / np.sqrt(variance + epsilon) * fan_in**-0.5


def built(layer, channels=6, kernel=None):
    layer.build((None, 9, 9, channels))
    draw = np.random.default_rng(1).standard_normal
    layer.kernel.assign(draw(layer.kernel.shape) * 0.3 + 0.1 if kernel is None else kernel)
    layer.gain.assign(1 + 0.2 * draw(layer.gain.shape))
    layer.bias.assign(draw(layer.bias.shape))
    return layer


def kernel_of(layer):
    return ops.convert_to_numpy(layer.standardized_kernel())


@pytest.mark.parametrize("mode", ["floor", "add"])
@pytest.mark.parametrize(("size", "groups"), [(1, 1), ((1, 5), 3)])
def test_kernel_is_the_formula(size, groups, mode):
    layer = built(ScaledStandardizedConv2D(12, size, groups=groups, epsilon=0.01, epsilon_mode=mode))
    assert layer.kernel.shape[2] == 6 // groups
    expected = standardized(layer.kernel, ops.convert_to_numpy(layer.gain), 0.01, mode)
    np.testing.assert_allclose(kernel_of(layer), expected, rtol=1e-5, atol=1e-6)


def test_epsilon_is_a_floor_under_variance_times_fan_in():
    draw = np.random.default_rng(2).standard_normal((3, 3, 6, 4))
    tiny = draw / draw.std((0, 1, 2)) * 1e-4
    layer = built(ScaledStandardizedConv2D(4, 3), kernel=tiny)
    gain = ops.convert_to_numpy(layer.gain)
    # var * fan_in is 5.4e-7 here: the floor of 1e-4 is all that counts.
    np.testing.assert_allclose(kernel_of(layer), (tiny - tiny.mean((0, 1, 2))) * gain / 1e-2, rtol=1e-4, atol=1e-7)
    large = built(ScaledStandardizedConv2D(4, 3), kernel=draw)
    without = built(ScaledStandardizedConv2D(4, 3, epsilon=1e-30), kernel=draw)
    np.testing.assert_array_equal(kernel_of(large), kernel_of(without))


@pytest.mark.parametrize("mode", ["floor", "add"])
def test_constant_kernel_is_zero(mode):
    layer = built(ScaledStandardizedConv2D(4, 3, epsilon_mode=mode), kernel=np.full((3, 3, 6, 4), 0.25))
    np.testing.assert_array_equal(kernel_of(layer), 0)


def test_output_has_the_inputs_variance():
    layer = ScaledStandardizedConv2D(64, 3, groups=2)
    inputs = np.random.default_rng(3).standard_normal((4, 24, 24, 64)).astype("float32")
    assert ops.convert_to_numpy(layer(inputs)).var() == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize(
    ("size", "padding", "strides", "groups"),
    [
        (8, "valid", 1, 1),
        (8, "same", 1, 3),
        (8, "same", 2, 3),
        (9, "same", 2, 1),
        (8, "symmetric", 2, 1),
        (9, "symmetric", 2, 3),
    ],
)
def test_convolves_with_the_standardized_kernel(size, padding, strides, groups):
    layer = built(ScaledStandardizedConv2D(12, 3, strides=strides, padding=padding, groups=groups))
    images = np.random.default_rng(4).standard_normal((2, size, size, 6)).astype("float32")
    outputs = ops.convert_to_numpy(layer(images))
    assert outputs.shape == layer.compute_output_shape((2, size, size, 6))
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0))) if padding == "symmetric" else images
    kernel = kernel_of(layer)
    expected = []
    for group in range(groups):
        part, columns = padded[..., group * 6 // groups : (group + 1) * 6 // groups], slice(group * 12 // groups, None)
        part_kernel = kernel[..., columns][..., : 12 // groups]
        expected.append(
            ops.convert_to_numpy(
                ops.conv(part, part_kernel, strides=strides, padding="same" if padding == "same" else "valid")
            )
        )
    expected = np.concatenate(expected, -1) + ops.convert_to_numpy(layer.bias)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


def test_same_padding_of_a_strided_kernel_is_at_the_end():
    same = built(ScaledStandardizedConv2D(4, 3, strides=2, padding="same"))
    valid = built(ScaledStandardizedConv2D(4, 3, strides=2))
    images = np.random.default_rng(5).standard_normal((1, 8, 8, 6)).astype("float32")
    at_the_end = np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)))
    np.testing.assert_allclose(
        ops.convert_to_numpy(same(images)), ops.convert_to_numpy(valid(at_the_end)), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("padding", ["same", "symmetric"])
def test_split_and_built_in_groups_are_equal(padding):
    images = np.random.default_rng(6).standard_normal((2, 8, 8, 6)).astype("float32")
    split, whole, default = (
        built(ScaledStandardizedConv2D(12, 3, strides=2, padding=padding, groups=3, split_groups=choice))
        for choice in (True, False, None)
    )
    expected = ops.convert_to_numpy(split(images))
    for layer in (whole, default):
        np.testing.assert_allclose(ops.convert_to_numpy(layer(images)), expected, rtol=1e-4, atol=1e-5)


def test_scale_multiplies_the_kernel_and_not_the_bias():
    images = np.random.default_rng(7).standard_normal((2, 8, 8, 6)).astype("float32")
    plain, scaled = built(ScaledStandardizedConv2D(4, 3)), built(ScaledStandardizedConv2D(4, 3, scale=1.7))
    bias = ops.convert_to_numpy(plain.bias)
    expected = (ops.convert_to_numpy(plain(images)) - bias) * 1.7 + bias
    np.testing.assert_allclose(ops.convert_to_numpy(scaled(images)), expected, rtol=1e-4, atol=1e-5)


def test_the_stored_kernel_is_left_alone():
    layer = built(ScaledStandardizedConv2D(4, 3, groups=2))
    before = ops.convert_to_numpy(layer.kernel).copy()
    inputs = keras.Input((8, 8, 6))
    model = keras.Model(inputs, layer(inputs))
    images = np.random.default_rng(8).standard_normal((4, 8, 8, 6)).astype("float32")
    for training in (False, True):
        model(images, training=training)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.kernel), before)
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=keras.backend.backend() == "jax")
    model.train_on_batch(images, np.zeros((4, 6, 6, 4), "float32"))
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.kernel), before)


@pytest.mark.parametrize("mode", ["floor", "add"])
def test_gradients_are_those_of_the_formula(mode):
    layer = built(ScaledStandardizedConv2D(3, 2, epsilon=0.4, epsilon_mode=mode), channels=2)
    kernel = np.random.default_rng(9).standard_normal((2, 2, 2, 3)) * [0.05, 0.5, 1]
    layer.kernel.assign(kernel)
    # The floor holds for the first column only.
    assert list(kernel.var((0, 1, 2)) * 8 > 0.4) == [False, True, True]
    gain = ops.convert_to_numpy(layer.gain).astype("float64")
    images = np.random.default_rng(10).standard_normal((1, 2, 2, 2)).astype("float32")
    target = np.array([[[[1.0, -2.0, 0.5]]]], "float32")
    inputs = keras.Input((2, 2, 2))
    model = keras.Model(inputs, layer(inputs))
    bias = ops.convert_to_numpy(layer.bias)

    def loss(kernel, gain):
        output = np.einsum("hwc,hwcf->f", images[0], standardized(kernel, gain, 0.4, mode)) + bias
        return np.mean((output - target[0, 0, 0]) ** 2)

    def slopes(function, value, step=1e-5):
        result = np.zeros_like(value)
        for place in np.ndindex(value.shape):
            nudge = np.zeros_like(value)
            nudge[place] = step
            result[place] = (function(value + nudge) - function(value - nudge)) / (2 * step)
        return result

    rate = 1e-2
    model.compile(keras.optimizers.SGD(rate), "mse", jit_compile=keras.backend.backend() == "jax")
    model.train_on_batch(images, target)
    moved = (kernel - ops.convert_to_numpy(layer.kernel)) / rate
    np.testing.assert_allclose(moved, slopes(lambda value: loss(value, gain), kernel), rtol=2e-3, atol=2e-4)
    moved = (gain - ops.convert_to_numpy(layer.gain)) / rate
    np.testing.assert_allclose(moved, slopes(lambda value: loss(kernel, value), gain), rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_statistics_are_float32_in_half_precision(dtype):
    precise = built(ScaledStandardizedConv2D(4, 3))
    # In float16 the mean of the squares would overflow and the spread be rounded away.
    kernel = 300 + np.random.default_rng(11).standard_normal((3, 3, 6, 4))
    half = built(ScaledStandardizedConv2D(4, 3, dtype=dtype), kernel=kernel)
    stored = ops.convert_to_numpy(ops.cast(half.kernel, "float32"))
    precise.kernel.assign(stored)
    precise.gain.assign(ops.convert_to_numpy(ops.cast(half.gain, "float32")))
    assert keras.backend.standardize_dtype(half.standardized_kernel().dtype) == "float32"
    np.testing.assert_allclose(kernel_of(half), kernel_of(precise), rtol=1e-5, atol=1e-6)
    outputs = half(np.ones((1, 8, 8, 6), "float32"))
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype.removeprefix("mixed_")
    assert np.isfinite(ops.convert_to_numpy(ops.cast(outputs, "float32"))).all()


def test_weights():
    layer = ScaledStandardizedConv2D(512, 3, groups=2)
    layer.build((None, 8, 8, 64))
    shapes = {weight.name: tuple(weight.shape) for weight in layer.trainable_weights}
    assert shapes == {"kernel": (3, 3, 32, 512), "bias": (512,), "gain": (512,)}
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.gain), 1)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.bias), 0)
    assert ops.convert_to_numpy(layer.kernel).std() == pytest.approx((9 * 32) ** -0.5, rel=0.02)


def test_channels_first():
    if keras.backend.backend() == "tensorflow":
        pytest.skip("TensorFlow convolves channels first on a GPU only")
    images = np.random.default_rng(12).standard_normal((2, 9, 9, 6)).astype("float32")
    arguments = {"strides": 2, "padding": "symmetric", "groups": 2}
    last = built(ScaledStandardizedConv2D(4, 3, **arguments))
    expected = ops.convert_to_numpy(last(images))
    for split in (True, False):
        first = ScaledStandardizedConv2D(4, 3, data_format="channels_first", split_groups=split, **arguments)
        first.build((None, 6, 9, 9))
        first.set_weights(last.get_weights())
        outputs = ops.convert_to_numpy(first(images.transpose(0, 3, 1, 2)))
        assert outputs.shape == first.compute_output_shape((2, 6, 9, 9))
        np.testing.assert_allclose(outputs.transpose(0, 2, 3, 1), expected, rtol=1e-4, atol=1e-5)


def test_config_round_trip():
    layer = ScaledStandardizedConv2D(
        8,
        3,
        strides=2,
        padding="symmetric",
        groups=2,
        epsilon=1e-5,
        epsilon_mode="add",
        scale=1.5,
        split_groups=True,
        gain_initializer="zeros",
        activation="relu",
        name="conv",
    )
    copy = ScaledStandardizedConv2D.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert layer.get_config()["padding"] == "symmetric"
    assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer)).scale == 1.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epsilon": 0}, "above 0. Received: epsilon=0"),
        ({"scale": float("nan")}, "finite.*Received: scale=nan"),
        ({"epsilon_mode": "max"}, "'floor' or 'add'. Received: epsilon_mode='max'"),
        ({"split_groups": "yes"}, "Received: split_groups='yes'"),
        ({"use_bias": False}, "there always is one. Received: use_bias=False"),
        ({"padding": "full"}, "full"),
        ({"groups": 3}, "groups=3"),
    ],
)
def test_wrong_arguments_say_what_was_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        ScaledStandardizedConv2D(8, 3, **arguments)
