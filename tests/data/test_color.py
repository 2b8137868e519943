import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.data import ColorJitter, PcaNoise
from keras_tricks.data.color import LUMA, color_map, map_colors

EIGENVALUES = np.array([55.46, 4.794, 1.148])
EIGENVECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


def picture(*shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)


def changed(transforms, images, uniforms):
    return map_colors(tf.constant(images), *color_map(transforms, tf.constant(uniforms, tf.float32))).numpy()


def hue_turned(pixels, angle):
    """MXNet's HueJitterAug, whose YIQ constants have three digits."""
    to_yiq = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.321], [0.211, -0.523, 0.311]])
    from_yiq = np.array([[1.0, 0.956, 0.621], [1.0, -0.272, -0.647], [1.0, -1.107, 1.705]])
    u, w = np.cos(angle), np.sin(angle)
    turn = np.array([[1, 0, 0], [0, u, -w], [0, w, u]])
    return pixels @ (from_yiq @ turn @ to_yiq).T


def saturated(pixels, factor):
    grey = pixels @ [0.299, 0.587, 0.114]
    return factor * pixels + (1 - factor) * grey[..., None]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_jitter_is_mxnets_in_any_order(order):
    image = picture(9, 7)
    uniforms = np.array([0.9, 0.2, 0.7])
    hue, saturation, brightness = (2 * uniforms - 1) * [0.4, 0.3, 0.2]
    steps = (
        lambda pixels: hue_turned(pixels, hue * np.pi),
        lambda pixels: saturated(pixels, 1 + saturation),
        lambda pixels: pixels * (1 + brightness),
    )
    expected = image.astype(float)
    for index in order:
        expected = steps[index](expected)
    got = changed((ColorJitter(0.4, 0.3, 0.2),), image, uniforms)
    assert np.abs(got - expected).max() < 0.7, "the difference between YIQ constants of three and of four digits"


def test_saturation_and_brightness_alone_are_exact():
    image, uniforms = picture(9, 7), [0.5, 0.1, 0.8]
    expected = saturated(image.astype(float), 1 - 0.4 * 0.8) * (1 + 0.4 * 0.6)
    np.testing.assert_allclose(changed((ColorJitter(0.0, 0.4, 0.4),), image, uniforms), expected, atol=1e-3)


def test_hue_and_saturation_keep_grey_and_the_grey_level():
    jitter = ColorJitter(1.0, 1.0, 0.0)
    for seed in range(5):
        uniforms = np.random.default_rng(seed).random(3)
        grey = np.full((4, 4, 3), 99, np.uint8)
        np.testing.assert_allclose(changed((jitter,), grey, uniforms), grey, atol=0.05)
        image = picture(6, 5)
        np.testing.assert_allclose(changed((jitter,), image, uniforms) @ LUMA, image @ LUMA, atol=1e-3)


def test_pca_noise_is_the_published_formula():
    from scipy.stats import norm

    uniforms = np.array([0.1, 0.5, 0.97])
    colour = EIGENVECTORS @ (0.3 * norm.ppf(uniforms) * EIGENVALUES)
    image = picture(5, 4)
    np.testing.assert_allclose(changed((PcaNoise(0.3),), image, uniforms), image + colour, atol=1e-3)


def test_pca_noise_is_normal_and_finite_at_the_ends():
    uniforms = tf.random.stateless_uniform([20_000, 3], (0, 1))
    offsets = PcaNoise(0.1).matrix_and_offset(uniforms)[1].numpy() @ EIGENVECTORS / EIGENVALUES
    np.testing.assert_allclose(offsets.std(0), 0.1, rtol=0.03)
    np.testing.assert_allclose(offsets.mean(0), 0, atol=0.003)
    ends = PcaNoise(0.1).matrix_and_offset(tf.constant([0.0, 1 - 2.0**-23, 0.5]))[1]
    assert np.isfinite(ends).all()


@pytest.mark.parametrize("transform", [ColorJitter(0, 0, 0), PcaNoise(0)])
def test_zero_strength_changes_nothing(transform):
    image = picture(8, 8)
    np.testing.assert_allclose(changed((transform,), image, np.random.default_rng(1).random(3)), image, atol=1e-4)


def test_several_in_turn_and_each_image_of_a_batch_by_itself():
    jitter, noise = ColorJitter(), PcaNoise(0.5)
    images, uniforms = picture(4, 6, 5), np.random.default_rng(2).random((4, 6))
    batch = changed((jitter, noise, jitter), images, np.concatenate([uniforms, uniforms[:, :3]], axis=1))
    for image, numbers, got in zip(images, uniforms, batch, strict=True):
        step = changed((jitter,), image, numbers[:3])
        step = changed((jitter,), changed((noise,), step, numbers[3:]), numbers[:3])
        np.testing.assert_allclose(got, step, atol=1e-2)


@pytest.mark.parametrize(
    "kind, arguments", [(ColorJitter, {"hue": 1.1}), (ColorJitter, {"brightness": -0.1}), (PcaNoise, {"std": -1})]
)
def test_values_out_of_range(kind, arguments):
    name, value = next(iter(arguments.items()))
    with pytest.raises(ValueError, match=f"Received: {name}={value}"):
        kind(**arguments)
