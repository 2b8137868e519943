"""Each operation against Pillow, on photographs and on images at the edges; the draw of operations."""

import collections

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from keras_tricks.data import RandAugment
from keras_tricks.data.rand_augment import OPERATIONS

GREY = (128, 128, 128)
RANDOM = np.random.default_rng(0)
EDGE_CASES = {
    "noise": RANDOM.integers(0, 256, (61, 84, 3)),
    "one colour": np.full((20, 31, 3), (77, 0, 255)),
    "few levels": RANDOM.integers(90, 97, (50, 50, 3)),
    "two levels": RANDOM.integers(0, 2, (33, 20, 3)) * 255,
    "tiny": RANDOM.integers(0, 256, (3, 3, 3)),
}
MAGNITUDES = (0, 1, 5, 9, 10, 15, 30)
UNIFORMS = ((0.3, 0.7), (0.9, 0.1))
ROTATED_OTHERWISE = 0.01
"""Share of pixels on the border between two, which Pillow's fixed-point coordinates may round to the other."""


def affine(image, *matrix):
    return image.transform(image.size, Image.Transform.AFFINE, matrix, fillcolor=GREY)


def pillow(name, image, magnitude, first, second):
    """The operation in Pillow, with the published meaning of the magnitude."""
    level, sign = magnitude / 10, 1 if first < 0.5 else -1
    width, height = image.size
    if name in ("Color", "Contrast", "Brightness", "Sharpness"):
        return getattr(ImageEnhance, name)(image).enhance(level * 1.8 + 0.1)
    if name == "Cutout":
        row, column, half = int(first * height), int(second * width), int(level * 40)
        image = image.copy()
        if half:
            box = (column - half, row - half, column + half - 1, row + half - 1)
            ImageDraw.Draw(image).rectangle(box, fill=GREY)
        return image
    return {
        "AutoContrast": lambda: ImageOps.autocontrast(image),
        "Equalize": lambda: ImageOps.equalize(image),
        "Invert": lambda: ImageOps.invert(image),
        "Rotate": lambda: image.rotate(sign * 30 * level, fillcolor=GREY),
        "Posterize": lambda: ImageOps.posterize(image, min(max(int(level * 4), 1), 8)),
        "Solarize": lambda: ImageOps.solarize(image, int(level * 256)),
        "SolarizeAdd": lambda: image.point([min(v + int(level * 110), 255) if v < 128 else v for v in range(256)] * 3),
        "ShearX": lambda: affine(image, 1, sign * 0.3 * level, 0, 0, 1, 0),
        "ShearY": lambda: affine(image, 1, 0, 0, sign * 0.3 * level, 1, 0),
        "TranslateX": lambda: affine(image, 1, 0, sign * 100 * level, 0, 1, 0),
        "TranslateY": lambda: affine(image, 1, 0, 0, 0, 1, sign * 100 * level),
    }[name]()


def check(name, pixels, magnitudes=MAGNITUDES):
    pixels = np.asarray(pixels, np.uint8)
    for magnitude in magnitudes:
        for first, second in UNIFORMS:
            operation = RandAugment(1, magnitude).operation
            got = operation(name, tf.constant(pixels), tf.constant(first), tf.constant(second)).numpy()
            expected = np.asarray(pillow(name, Image.fromarray(pixels), magnitude, first, second))
            assert got.dtype == np.uint8
            if name == "Rotate" and magnitude == 30:
                continue  # A quarter turn about the border between two pixels takes all pixels from borders.
            if name == "Rotate":
                assert (got != expected).any(-1).mean() <= ROTATED_OTHERWISE
            else:
                np.testing.assert_array_equal(got, expected, err_msg=f"magnitude {magnitude}")


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("case", EDGE_CASES)
def test_an_operation_is_pillows_on_images_at_the_edges(name, case):
    if name == "Rotate" and case == "tiny":
        pytest.skip("a single pixel that rounds otherwise is more than the share")
    check(name, EDGE_CASES[case])


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_pillows_on_photographs(name, data_root):
    paths = sorted((data_root / "imagenet-samples").iterdir())[::40]
    assert len(paths) == 5
    for path in paths:
        check(name, Image.open(path).convert("RGB").resize((224, 192)), magnitudes=(5, 9))


def test_there_are_sixteen_and_each_image_draws_among_all():
    image = tf.constant(RANDOM.integers(20, 230, (40, 48, 3)), tf.uint8)
    augment = tf.function(RandAugment(1, 9, translate_pixels=10, cutout_pixels=5))
    by_index = [augment(image, tf.constant([(index + 0.5) / 16, 0.3, 0.6])).numpy() for index in range(16)]
    assert len(OPERATIONS) == 16
    assert len({result.tobytes() for result in by_index}) == 16
    for name, result in zip(OPERATIONS, by_index, strict=True):
        alone = RandAugment(1, 9, translate_pixels=10, cutout_pixels=5).operation(
            name, image, tf.constant(0.3), tf.constant(0.6)
        )
        np.testing.assert_array_equal(result, alone)
    drawn = collections.Counter(
        int(number * 16) for number in tf.random.stateless_uniform([16_000, 3], (0, 1)).numpy()[:, 0]
    )
    assert len(drawn) == 16 and min(drawn.values()) > 850 and max(drawn.values()) < 1150


def test_operations_come_in_turn():
    image = tf.constant(RANDOM.integers(0, 256, (30, 30, 3)), tf.uint8)
    uniforms = np.array([2.5 / 16, 0.1, 0.1, 5.5 / 16, 0.9, 0.2, 14.5 / 16, 0.4, 0.6], np.float32)
    step = image
    for start in (0, 3, 6):
        step = RandAugment(1, 4)(step, uniforms[start : start + 3])
    np.testing.assert_array_equal(RandAugment(3, 4)(image, uniforms), step)


@pytest.mark.parametrize("uniform", [0.0, 1 - 2.0**-23])
def test_the_largest_and_the_smallest_number_are_of_an_operation(uniform):
    image = tf.constant(RANDOM.integers(0, 256, (30, 30, 3)), tf.uint8)
    name = OPERATIONS[0 if uniform == 0 else -1]
    expected = RandAugment(1, 4).operation(name, image, tf.constant(uniform), tf.constant(uniform))
    np.testing.assert_array_equal(RandAugment(1, 4)(image, tf.fill([3], uniform)), expected)


def test_no_layers_change_nothing():
    image = tf.constant(RANDOM.integers(0, 256, (5, 5, 3)), tf.uint8)
    np.testing.assert_array_equal(RandAugment(0, 9)(image, tf.zeros([0])), image)


@pytest.mark.parametrize("arguments", [{"layers": -1}, {"magnitude": 31}, {"magnitude": -1}, {"cutout_pixels": -2}])
def test_values_out_of_range(arguments):
    name, value = next(iter(arguments.items()))
    with pytest.raises(ValueError, match=f"Received: {name}={value}"):
        RandAugment(**arguments)
