"""Streams of training batches whose images grow: the same images and numbers, another size."""

import dataclasses

import numpy as np
import pytest

from keras_tricks import data
from keras_tricks.data.image_data_set import ArraySplit

BATCH, STEPS, EPOCHS = 6, 3, 5
SIZES = (4, 4, 6, 8, 8)


@pytest.fixture(scope="module")
def digits():
    whole = data.load("digits")
    split = ArraySplit(whole.train.images[:20].numpy(), whole.train.labels[:20].numpy())
    return dataclasses.replace(whole, train=split)


SMALL = data.SmallImagePreprocessing(image_size=8, pad=2)
LARGE = data.ImageNetPreprocessing(image_size=8)
kinds = pytest.mark.parametrize("preprocessing", [SMALL, LARGE], ids=["batch at once", "image by image"])
MIXED = {"batch_transforms": (data.MixUp(1.0), data.CutMix(1.0)), "image_transforms": (data.ColorJitter(0.4),)}


def growing(digits, preprocessing, first_epoch=0, epochs=EPOCHS, sizes=SIZES, **more):
    stream = data.growing_batches(
        digits, preprocessing, BATCH, 3, sizes, first_epoch=first_epoch, epochs=epochs, **more
    )
    batches = list(stream.as_numpy_iterator())
    assert int(stream.cardinality()) == len(batches)
    return batches


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        for array, expected in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, expected)


@kinds
def test_each_epoch_is_that_of_a_stream_of_its_size(digits, preprocessing):
    batches = growing(digits, preprocessing)
    for epoch, size in enumerate(SIZES):
        alone = data.training_batches(
            digits, data.at_size(preprocessing, size), BATCH, 3, first_epoch=epoch, epochs=epoch + 1
        )
        assert {images.shape for images, _ in batches[epoch * STEPS :][:STEPS]} == {(BATCH, size, size, 3)}
        assert_same(batches[epoch * STEPS :][:STEPS], list(alone.as_numpy_iterator()))


@kinds
def test_one_size_changes_nothing(digits, preprocessing):
    plain = data.training_batches(digits, preprocessing, BATCH, 3, epochs=EPOCHS, **MIXED)
    assert_same(growing(digits, preprocessing, sizes=(8,) * EPOCHS, **MIXED), list(plain.as_numpy_iterator()))


@kinds
def test_a_later_start_is_the_rest_of_the_unbroken_stream(digits, preprocessing):
    whole = growing(digits, preprocessing, **MIXED)
    for epoch, step in ((1, 2), (3, 0), (4, 1)):
        rest = growing(digits, preprocessing, first_epoch=epoch, first_step=step, **MIXED)
        assert_same(rest, whole[epoch * STEPS + step :])


def test_images_and_labels_are_those_of_the_full_size(digits):
    grey = np.broadcast_to(np.arange(20, dtype=np.uint8)[:, None, None, None], (20, 8, 8, 3))
    numbered = dataclasses.replace(digits, train=ArraySplit(np.array(grey), np.arange(20) % 10))
    bare = data.SmallImagePreprocessing(image_size=8, pad=0)
    full = data.training_batches(numbered, bare, BATCH, 3, epochs=EPOCHS, batch_transforms=(data.MixUp(1.0),))
    ours = growing(numbered, bare, batch_transforms=(data.MixUp(1.0),))
    for (small, labels), (large, expected) in zip(ours, full.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(labels, expected)
        np.testing.assert_allclose(small.mean(axis=(1, 2)), large.mean(axis=(1, 2)), rtol=1e-5)


def test_what_is_given_in_pixels_shrinks_with_the_images(digits):
    assert data.at_size(SMALL, 4).pad == 1
    assert data.at_size(data.SmallImagePreprocessing(image_size=32), 16).border == 2
    operations = data.RandAugment(2, 10, translate_pixels=4, cutout_pixels=2)
    ours = growing(digits, SMALL, sizes=(4,), epochs=1, image_transforms=(operations,))
    half = data.RandAugment(2, 10, translate_pixels=2, cutout_pixels=1)
    theirs = data.training_batches(digits, data.at_size(SMALL, 4), BATCH, 3, image_transforms=(half,))
    assert_same(ours, list(theirs.as_numpy_iterator()))


def test_the_parts_of_several_workers_are_the_whole_batches(digits):
    # Twelve images, a multiple of two pairs of two workers.
    def stream(**part):
        return data.growing_batches(digits, SMALL, 12, 3, (4, 8), epochs=2, batch_transforms=(data.MixUp(1.0),), **part)

    parts = [[*stream(part=data.Part(index, 2)).rebatch(3).as_numpy_iterator()] for index in range(2)]
    for epoch, (images, labels) in enumerate(stream().as_numpy_iterator()):
        for index in range(2):
            places = data.Part(index, 2).places(12)
            halves = parts[index][2 * epoch : 2 * epoch + 2]
            for whole, column in ((images, 0), (labels, 1)):
                np.testing.assert_array_equal(np.concatenate([half[column] for half in halves]), whole[places])


@pytest.mark.parametrize(("first_epoch", "epochs"), [(0, 6), (2, 2), (-1, 2)])
def test_epochs_without_a_size_are_refused(digits, first_epoch, epochs):
    with pytest.raises(ValueError, match=f"Received: first_epoch={first_epoch}, epochs={epochs}"):
        growing(digits, SMALL, first_epoch, epochs)
