"""Transforms of images in the stream of batches: their order, their draws, resume, parts and repeats."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_tricks import data
from keras_tricks.data.augmentation import Augmentation

SIZE, BATCH = 40, 8
COLORS = (data.ColorJitter(), data.PcaNoise())
OPERATIONS = (data.RandAugment(1, 5, translate_pixels=8, cutout_pixels=4),)
ALL = COLORS + OPERATIONS
MIXINGS = (data.MixUp(0.4),)
HALVES = (data.MixUp(0.4, per_image=True), data.CutMix(1.0, per_image=True, beside_mixup="halves"))
ONE_BY_ONE = data.ImageNetPreprocessing(image_size=12)
AT_ONCE = data.SmallImagePreprocessing(image_size=12, pad=2)
both = pytest.mark.parametrize("preprocessing", [AT_ONCE, ONE_BY_ONE], ids=["batch at once", "image by image"])


@pytest.fixture(scope="module")
def data_set():
    from keras_tricks.data.image_data_set import ArraySplit, ImageDataSet
    from keras_tricks.data_facts import DataFacts

    random = np.random.default_rng(0)
    splits = [ArraySplit(random.integers(0, 256, (n, 12, 12, 3)), random.integers(0, 3, n)) for n in (SIZE, 8)]
    return ImageDataSet("noise", ("a", "b", "c"), *splits, DataFacts(name="noise", title="Noise"))


def batches(data_set, preprocessing, transforms=(), mixings=(), **more):
    made = data.training_batches(
        data_set, preprocessing, BATCH, 3, image_transforms=transforms, batch_transforms=mixings, **more
    )
    return list(made.as_numpy_iterator())


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for left, right in zip(one, other, strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-5)


def pixels(images, preprocessing):
    return images * np.array(preprocessing.std) + np.array(preprocessing.mean)


@both
def test_colours_change_images_and_not_labels_or_crops(data_set, preprocessing):
    plain, colored = batches(data_set, preprocessing), batches(data_set, preprocessing, (data.PcaNoise(0.5),))
    for (before, labels), (after, same_labels) in zip(plain, colored, strict=True):
        np.testing.assert_array_equal(labels, same_labels)
        added = pixels(after, preprocessing) - pixels(before, preprocessing)
        np.testing.assert_allclose(added, np.broadcast_to(added[:, :1, :1], added.shape), atol=1e-2)
        assert len({tuple(colour) for colour in np.round(added[:, 0, 0], 2).tolist()}) == BATCH


@both
def test_a_transform_more_leaves_the_draws_of_the_others(data_set, preprocessing):
    noise, jitter_of_nothing = data.PcaNoise(0.5), data.ColorJitter(0, 0, 0)
    assert_same(
        batches(data_set, preprocessing, (noise,)), batches(data_set, preprocessing, (jitter_of_nothing, noise))
    )


@pytest.mark.parametrize(
    ("preprocessing", "colors", "mixings"),
    [
        (AT_ONCE, (), ()),
        (AT_ONCE, (), MIXINGS),
        (AT_ONCE, COLORS, HALVES),
        (ONE_BY_ONE, COLORS, ()),
        (ONE_BY_ONE, (), MIXINGS),
    ],
)
def test_operations_come_last_and_on_whole_pixel_values(data_set, preprocessing, colors, mixings):
    without = batches(data_set, preprocessing, colors, mixings)
    augmentation = Augmentation(preprocessing, colors + OPERATIONS)
    for step, ((mixed, labels), (got, same_labels)) in enumerate(
        zip(without, batches(data_set, preprocessing, colors + OPERATIONS, mixings), strict=True)
    ):
        np.testing.assert_allclose(labels, same_labels, atol=1e-6)
        seed = data.image_data_set.stream_seed(3, data.image_data_set.IMAGE_STREAM, step)
        numbers = augmentation.numbers_after_mixing(seed, BATCH)
        whole = np.clip(np.round(pixels(mixed, preprocessing)), 0, 255).astype(np.uint8)
        expected = [OPERATIONS[0](tf.constant(image), row) for image, row in zip(whole, numbers, strict=True)]
        close = np.isclose(pixels(got, preprocessing), expected, atol=0.01)
        # Values within float32's rounding of .5 may become the next whole number, which the operations spread.
        assert close.mean() > 0.98


@both
@pytest.mark.parametrize("mixings", [(), HALVES], ids=["plain", "halves"])
def test_a_later_start_is_the_rest_of_the_unbroken_stream(data_set, preprocessing, mixings):
    whole = batches(data_set, preprocessing, ALL, mixings, epochs=2)
    rest = batches(data_set, preprocessing, ALL, mixings, first_epoch=1, first_step=2, epochs=2)
    assert_same(whole[7:], rest)


@pytest.mark.parametrize(
    ("preprocessing", "mixings", "repeats"),
    [(AT_ONCE, MIXINGS, 1), (AT_ONCE, (), 2), (ONE_BY_ONE, (), 1), (ONE_BY_ONE, MIXINGS, 2)],
)
def test_parts_are_the_whole(data_set, preprocessing, mixings, repeats):
    whole = batches(data_set, preprocessing, ALL, mixings, repeats=repeats)
    for index in range(2):
        part = data.Part(index, 2)
        places = part.places(BATCH)
        of_part = [(images[places], labels[places]) for images, labels in whole]
        got = batches(data_set, preprocessing, ALL, mixings, repeats=repeats, part=part)
        for (images, labels), (expected, expected_labels) in zip(got, of_part, strict=True):
            np.testing.assert_allclose(labels, expected_labels, atol=1e-5)
            assert np.isclose(images, expected, atol=1e-3).mean() > 0.98


@both
def test_repeats_are_neighbours_of_one_image_and_differ(data_set, preprocessing):
    import dataclasses

    fixed = dataclasses.replace(preprocessing, flip=False)
    plain = {"pad": 0} if preprocessing is AT_ONCE else {"area": (1.0, 1.0), "aspect": (1.0, 1.0)}
    made = batches(data_set, dataclasses.replace(fixed, **plain), repeats=4, epochs=2)
    assert len(made) == 2 * SIZE // BATCH
    images = np.concatenate([images for images, _ in made]).reshape(-1, 4, 12, 12, 3)
    np.testing.assert_allclose(images, np.broadcast_to(images[:, :1], images.shape), atol=1e-4)
    assert len({image.tobytes() for image in images[:10, 0]}) == 10, "an epoch has each image once"
    labels = np.concatenate([labels for _, labels in made]).reshape(-1, 4, 3)
    np.testing.assert_array_equal(labels, np.broadcast_to(labels[:, :1], labels.shape))
    augmented = np.concatenate([images for images, _ in batches(data_set, preprocessing, repeats=4)])
    assert len({image.tobytes() for image in augmented}) > 0.8 * SIZE


def test_an_image_of_a_file_is_decoded_once_for_its_repeats(tmp_path):
    for number in range(16):
        folder = tmp_path / f"class{number % 2}"
        folder.mkdir(exist_ok=True)
        image = np.full((30, 20, 3), 10 * number, np.uint8)
        (folder / f"{number}.png").write_bytes(tf.io.encode_png(image).numpy())
    files = data.load(f"folder:{tmp_path}")
    first = files.train.paths.numpy()[0].decode()
    preprocessing = data.preprocessing_for(files.facts, 16)
    Path(first).write_bytes(b"no image")
    for transforms, blank in (((), 0.0), (OPERATIONS, None)):
        made = list(
            data.training_batches(
                files, preprocessing, 4, 0, repeats=2, epochs=2, image_transforms=transforms, batch_transforms=MIXINGS
            )
        )
        assert len(made) == 2 * (files.train.size // 4)
        assert all(np.isfinite(images).all() for images, _ in made)
        if blank is not None:
            assert any((np.abs(images.numpy()).max(axis=(1, 2, 3)) < 1e-4).any() for images, _ in made)
    assert files.train.unreadable.paths() == [first]


@pytest.mark.parametrize("repeats", [0, 3])
def test_repeats_that_do_not_divide_the_batch(data_set, repeats):
    with pytest.raises(ValueError, match=f"batch_size=8. Received: repeats={repeats}"):
        batches(data_set, AT_ONCE, repeats=repeats)
