"""Parts of batches, which workers decode by themselves, are together the whole batches."""

import numpy as np
import pytest

from keras_tricks import data
from keras_tricks.data.pipeline import Part

PER_IMAGE = data.MixUp(0.3, per_image=True)


def batches(part=None, transforms=(), image_size=8, batch_size=24, preprocessing=None, name="digits"):
    digits = data.load(name)
    preprocessing = preprocessing or data.preprocessing_for(digits.facts, image_size)
    made = data.training_batches(
        digits, preprocessing, batch_size, seed=3, batch_transforms=transforms, first_step=5, part=part
    )
    return [(images.numpy(), labels.numpy()) for images, labels in made.take(4)]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(
    "transforms",
    [(), (data.MixUp(0.3),), (data.CutMix(1.0),), (data.MixUp(0.3), data.CutMix(1.0))],
    ids=["plain", "mixup", "cutmix", "one_of"],
)
def test_parts_are_the_whole(count, transforms):
    assert data.can_be_shared(24, count, transforms)
    whole = batches(transforms=transforms)
    for index in range(count):
        part = Part(index, count)
        places = part.places(24)
        for (images, labels), (all_images, all_labels) in zip(batches(part, transforms), whole, strict=True):
            np.testing.assert_allclose(images, all_images[places], rtol=1e-6, atol=1e-6)
            np.testing.assert_allclose(labels, all_labels[places], rtol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_places_are_each_in_one_part_and_partners_in_the_same(count):
    places = [Part(index, count).places(24) for index in range(count)]
    assert sorted(place for part in places for place in part) == list(range(24))
    for part in places:
        assert [23 - place for place in part] == part[::-1]


@pytest.mark.parametrize(("batch_size", "count", "transforms"), [(24, 5, ()), (26, 2, ()), (24, 2, (PER_IMAGE,))])
def test_what_cannot_be_shared_out_is_refused(batch_size, count, transforms):
    assert not data.can_be_shared(batch_size, count, transforms)
    with pytest.raises(ValueError, match=f"Received: batch_size={batch_size}"):
        batches(Part(0, count), transforms, batch_size=batch_size)


def test_images_of_files_are_shared_out_too(tmp_path):
    import tensorflow as tf

    generator = np.random.default_rng(0)
    for number in range(24):
        folder = tmp_path / f"class{number % 2}"
        folder.mkdir(exist_ok=True)
        pixels = generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        (folder / f"{number}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    folders = data.load(f"folder:{tmp_path}")
    preprocessing = data.preprocessing_for(folders.facts, 32)

    def made(part=None):
        batches = data.training_batches(folders, preprocessing, 8, seed=0, part=part)
        return [(images.numpy(), labels.numpy()) for images, labels in batches]

    whole = made()
    for index in (0, 1):
        places = Part(index, 2).places(8)
        for (images, labels), (all_images, all_labels) in zip(made(Part(index, 2)), whole, strict=True):
            np.testing.assert_allclose(images, all_images[places], rtol=1e-5, atol=1e-5)
            np.testing.assert_array_equal(labels, all_labels[places])
