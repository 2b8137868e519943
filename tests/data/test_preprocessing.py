import io
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_tricks import data
from keras_tricks.data.random_area import random_area_box
from keras_tricks.data_facts import data_facts

RANDOM = np.random.default_rng(0)


def picture(height, width):
    return RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth_picture(height, width):
    small = Image.fromarray(picture(5, 5))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def encoded(pixels, file_format, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, **options)
    return tf.constant(buffer.getvalue())


def bilinear(pixels, height, width):
    """Half-pixel centres, two neighbours in each direction, no antialiasing."""
    out = pixels.astype(np.float64)
    for axis, size in enumerate((height, width)):
        old = out.shape[axis]
        centre = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
        low = np.floor(centre).astype(int)
        share = (centre - low).reshape([-1, 1, 1] if axis == 0 else [1, -1, 1])
        high = np.minimum(low + 1, old - 1)
        out = np.take(out, low, axis) * (1 - share) + np.take(out, high, axis) * share
    return out


def normalised(pixels, preprocessing):
    return (pixels - np.array(preprocessing.mean)) / np.array(preprocessing.std)


def box_in_numpy(height, width, uniforms, area, aspect):
    for index in range(10):
        target = height * width * (area[0] + uniforms[index] * (area[1] - area[0]))
        ratio = math.exp(math.log(aspect[0]) + uniforms[10 + index] * math.log(aspect[1] / aspect[0]))
        w, h = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if 1 <= w <= width and 1 <= h <= height:
            top = math.floor(uniforms[20] * (height - h + 1))
            return [top, math.floor(uniforms[21] * (width - w + 1)), h, w]
    if width / height < aspect[0]:
        h, w = max(1, round(width / aspect[0])), width
    elif width / height > aspect[1]:
        h, w = height, max(1, round(height * aspect[1]))
    else:
        h, w = height, width
    return [(height - h) // 2, (width - w) // 2, h, w]


class TestSmallImages:
    preprocessing = data.SmallImagePreprocessing(image_size=8, pad=2, mean=(1, 2, 3), std=(4, 5, 6))

    @pytest.mark.parametrize("row", [0, 2, 4])
    @pytest.mark.parametrize("column", [0, 1, 4])
    @pytest.mark.parametrize("mirror", [True, False])
    def test_crop_of_the_padded_image(self, row, column, mirror):
        image = picture(8, 8)
        uniforms = np.array([(row + 0.5) / 5, (column + 0.5) / 5, 0.2 if mirror else 0.7], np.float32)
        padded = np.pad(image, [(2, 2), (2, 2), (0, 0)])
        expected = padded[row : row + 8, column : column + 8]
        expected = expected[:, ::-1] if mirror else expected
        got = self.preprocessing.augment(tf.constant(image), tf.constant(uniforms))
        np.testing.assert_allclose(got, normalised(expected, self.preprocessing), rtol=1e-5, atol=1e-5)

    def test_a_batch_is_its_images(self):
        images = np.stack([picture(8, 8) for _ in range(16)])
        uniforms = tf.constant(RANDOM.random((16, 3)), tf.float32)
        pixels = self.preprocessing.augment_batch_pixels(tf.constant(images), uniforms)
        batch = self.preprocessing.normalise(pixels)
        one_by_one = [self.preprocessing.augment(image, u) for image, u in zip(images, uniforms, strict=True)]
        np.testing.assert_array_equal(batch, one_by_one)

    def test_published_border_is_four_of_32(self):
        assert data.SmallImagePreprocessing(image_size=32).border == 4
        assert data.SmallImagePreprocessing(image_size=16).border == 2

    def test_without_border_and_mirror_training_is_evaluation(self):
        plain = data.SmallImagePreprocessing(image_size=8, pad=0, flip=False)
        image = tf.constant(picture(8, 8))
        np.testing.assert_array_equal(plain.augment(image, tf.zeros(3)), plain.prepare(image))

    def test_other_sizes_are_resized(self):
        preprocessing = data.SmallImagePreprocessing(image_size=16)
        image = picture(8, 8)
        expected = normalised(bilinear(image, 16, 16), preprocessing)
        np.testing.assert_allclose(preprocessing.prepare(tf.constant(image)), expected, atol=1e-4)

    def test_shrinking_averages(self):
        stripes = np.zeros((64, 64, 3), np.uint8)
        stripes[:, ::2] = 255
        preprocessing = data.SmallImagePreprocessing(image_size=8, mean=(127.5,) * 3, std=(1, 1, 1))
        assert np.abs(preprocessing.prepare(tf.constant(stripes))).max() < 10

    def test_files_and_pixels_agree(self):
        image = picture(8, 8)
        uniforms = tf.constant([0.1, 0.9, 0.3])
        np.testing.assert_array_equal(
            self.preprocessing.augment(encoded(image, "PNG"), uniforms),
            self.preprocessing.augment(tf.constant(image), uniforms),
        )


class TestRandomArea:
    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(
        height=st.integers(1, 700),
        width=st.integers(1, 700),
        seed=st.integers(0, 10_000),
        area=st.sampled_from([(0.08, 1.0), (0.5, 0.5), (1.0, 1.0)]),
    )
    def test_as_written_out_in_numpy(self, height, width, seed, area):
        uniforms = np.random.default_rng(seed).random(22).astype(np.float32)
        box = random_area_box(height, width, tf.constant(uniforms), area, (3 / 4, 4 / 3)).numpy()
        top, left, h, w = box
        assert min(top, left) >= 0 and min(h, w) >= 1
        assert top + h <= height and left + w <= width
        expected = box_in_numpy(height, width, uniforms.astype(np.float64), area, (3 / 4, 4 / 3))
        # A value within float32's rounding of .5 may go to the other side.
        assert np.abs(box - expected).max() <= 1

    def test_most_boxes_are_exactly_those_of_numpy(self):
        exact = 0
        for seed in range(200):
            uniforms = np.random.default_rng(seed).random(22).astype(np.float32)
            box = random_area_box(375, 500, tf.constant(uniforms), (0.08, 1.0), (3 / 4, 4 / 3)).numpy()
            exact += box.tolist() == box_in_numpy(375, 500, uniforms.astype(float), (0.08, 1.0), (3 / 4, 4 / 3))
        assert exact >= 199

    @pytest.mark.parametrize(
        "size, expected", [((100, 900), [0, 383, 100, 133]), ((900, 100), [383, 0, 133, 100]), ((1, 1), [0, 0, 1, 1])]
    )
    def test_centre_where_nothing_fits(self, size, expected):
        box = random_area_box(*size, tf.fill([22], 0.99), (1.0, 1.0), (3 / 4, 4 / 3))
        assert box.numpy().tolist() == expected

    def test_area_and_aspect_are_spread_as_published(self):
        uniforms = tf.data.Dataset.from_tensor_slices(tf.random.stateless_uniform([4000, 22], (0, 1)))
        boxes = uniforms.map(lambda u: random_area_box(1000, 1000, u, (0.08, 0.5), (3 / 4, 4 / 3))).batch(4000)
        boxes = next(boxes.as_numpy_iterator())
        areas = boxes[:, 2] * boxes[:, 3] / 1e6
        log_aspects = np.log(boxes[:, 3] / boxes[:, 2])
        assert abs(areas.mean() - 0.29) < 0.01
        assert abs(areas.min() - 0.08) < 0.005 and abs(areas.max() - 0.5) < 0.005
        assert abs(log_aspects.mean()) < 0.02
        assert abs(log_aspects.std() - math.log(16 / 9) / math.sqrt(12)) < 0.01


class TestImageNet:
    preprocessing = data.ImageNetPreprocessing(image_size=24)

    def uniforms(self, seed, mirror=False):
        numbers = np.random.default_rng(seed).random(23).astype(np.float32)
        numbers[-1] = 0.1 if mirror else 0.9
        return numbers

    @pytest.mark.parametrize("mirror", [True, False])
    @pytest.mark.parametrize("seed", range(4))
    def test_training_image_as_written_out_in_numpy(self, seed, mirror):
        image, numbers = picture(60, 80), self.uniforms(seed, mirror)
        top, left, h, w = box_in_numpy(60, 80, numbers.astype(float), (0.08, 1), (3 / 4, 4 / 3))
        expected = bilinear(image[top : top + h, left : left + w], 24, 24)
        expected = normalised(expected[:, ::-1] if mirror else expected, self.preprocessing)
        for source in (tf.constant(image), encoded(image, "PNG")):
            got = self.preprocessing.augment(source, tf.constant(numbers))
            np.testing.assert_allclose(got, expected, atol=1e-3)

    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    @pytest.mark.parametrize("progressive", [False, True])
    def test_fused_decoding_is_decoding_and_cropping(self, mode, progressive):
        buffer = io.BytesIO()
        original = Image.fromarray(smooth_picture(90, 120)).convert(mode)
        original.save(buffer, "JPEG", quality=95, subsampling=0, progressive=progressive)
        file = tf.constant(buffer.getvalue())
        whole = tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_FAST")
        for seed in range(5):
            numbers = tf.constant(self.uniforms(seed, mirror=seed % 2 == 0))
            fused = self.preprocessing.augment(file, numbers)
            np.testing.assert_allclose(fused, self.preprocessing.augment(whole, numbers), atol=1e-5)

    def test_fused_decoding_of_subsampled_colour_differs_at_the_edges_only_a_little(self):
        file = encoded(smooth_picture(90, 120), "JPEG", quality=95, subsampling=2)
        whole = tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_FAST")
        for seed in range(5):
            numbers = tf.constant(self.uniforms(seed))
            difference = self.preprocessing.augment(file, numbers) - self.preprocessing.augment(whole, numbers)
            assert np.abs(difference).mean() < 0.01

    @pytest.mark.parametrize("height, width", [(60, 80), (80, 60), (27, 27), (10, 300), (33, 34)])
    def test_evaluation_resizes_the_short_side_and_takes_the_centre(self, height, width):
        image = picture(height, width)
        short = self.preprocessing.short_side
        h, w = (round(side * short / min(height, width)) for side in (height, width))
        resized = bilinear(image, h, w)
        top, left = (h - 24) // 2, (w - 24) // 2
        expected = normalised(resized[top : top + 24, left : left + 24], self.preprocessing)
        np.testing.assert_allclose(self.preprocessing.prepare(tf.constant(image)), expected, atol=1e-3)

    def test_published_sizes(self):
        assert data.ImageNetPreprocessing(image_size=224).short_side == 256
        assert data.ImageNetPreprocessing(image_size=224, resize_short=224).short_side == 224


def test_the_choice_follows_the_facts():
    small = data.preprocessing_for(data_facts("cifar10"))
    assert isinstance(small, data.SmallImagePreprocessing)
    assert (small.image_size, small.border, small.flip) == (32, 4, True)
    assert small.mean == data_facts("cifar10").mean
    assert not data.preprocessing_for(data_facts("digits")).flip
    large = data.preprocessing_for(data_facts("imagenette"), 160)
    assert isinstance(large, data.ImageNetPreprocessing)
    assert (large.image_size, large.short_side) == (160, 183)


@pytest.mark.parametrize(
    "preprocessing",
    [
        data.SmallImagePreprocessing(image_size=32, pad=3, flip=False),
        data.ImageNetPreprocessing(image_size=64, area=(0.2, 1.0), resize_short=70),
    ],
)
def test_configuration_round_trip(preprocessing):
    import json

    config = json.loads(json.dumps(data.preprocessing_config(preprocessing)))
    assert data.preprocessing_from_config(config) == preprocessing


@pytest.mark.parametrize("config", [{}, {"kind": "Sharpen"}, {"kind": "ImageNetPreprocessing", "size": 3}])
def test_unknown_configurations(config):
    with pytest.raises(ValueError, match="Received: config="):
        data.preprocessing_from_config(config)


@pytest.mark.parametrize(
    "kind, arguments, named",
    [
        (data.SmallImagePreprocessing, {"image_size": 0}, "image_size=0"),
        (data.SmallImagePreprocessing, {"image_size": 32, "pad": -1}, "pad=-1"),
        (data.SmallImagePreprocessing, {"image_size": 32, "std": (1, 0, 1)}, "std="),
        (data.ImageNetPreprocessing, {"image_size": 32, "area": (0, 1)}, "area="),
        (data.ImageNetPreprocessing, {"image_size": 32, "aspect": (2, 1)}, "aspect="),
        (data.ImageNetPreprocessing, {"image_size": 32, "resize_short": 31}, "resize_short=31"),
    ],
)
def test_values_out_of_range(kind, arguments, named):
    with pytest.raises(ValueError, match=f"Received: .*{named}"):
        kind(**arguments)
