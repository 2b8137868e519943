from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_tricks import data
from keras_tricks.data.segmentation import (
    IGNORED,
    SegmentationPreprocessing,
    segmentation_evaluation_batches,
    segmentation_training_batches,
)

COLORS = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250]], np.uint8)
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
PREPROCESSING = SegmentationPreprocessing(image_size=24, output_stride=16, **PLAIN)


def write_drawn_masks(root, sizes):
    """Write images that show the class of each pixel as a colour, in parts of 8 x 8 pixels, and their masks."""
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for index, (width, height) in enumerate(sizes):
        parts = np.random.default_rng(index).integers(0, 3, (-(-height // 8), -(-width // 8)))
        mask = np.kron(parts, np.ones((8, 8), int))[:height, :width].astype(np.uint8)
        Image.fromarray(mask).save(root / "masks" / f"{index}.png")
        Image.fromarray(COLORS[mask]).save(root / "images" / f"{index}.png")
    return data.load(f"masks:{root}", validation_fraction=0.25)


@pytest.fixture
def drawn(tmp_path):
    return write_drawn_masks(tmp_path, [(40, 32), (24, 20), (17, 33), (32, 32)] * 3)


def arrays(batches):
    return [(images.numpy(), masks.numpy()) for images, masks in batches]


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_image_and_mask_stay_aligned(drawn):
    batches = segmentation_training_batches(drawn, PREPROCESSING, 3, seed=1, epochs=4)
    seen = set()
    for images, masks in arrays(batches):
        assert images.shape == (3, 24, 24, 3) and masks.shape == (3, 24, 24)
        assert images.dtype == np.float32 and masks.dtype == np.int32
        # Where two classes meet the colours are mixed, and the stronger one is that of the mask.
        clear = images.max(-1) > 0.75 * 250
        np.testing.assert_array_equal(images[clear].argmax(-1), masks[clear])
        np.testing.assert_array_equal(images[masks == IGNORED], 0)
        seen |= set(np.unique(masks))
    assert seen == {0, 1, 2, IGNORED}


def test_a_stream_that_starts_later_is_the_rest(drawn):
    whole = arrays(segmentation_training_batches(drawn, PREPROCESSING, 2, seed=5, epochs=3))
    assert len(whole) == 3 * 4
    later = arrays(
        segmentation_training_batches(drawn, PREPROCESSING, 2, seed=5, first_epoch=1, epochs=3, first_step=2)
    )
    assert_same(later, whole[6:])
    other = arrays(segmentation_training_batches(drawn, PREPROCESSING, 2, seed=6))
    assert not np.array_equal(other[0][0], whole[0][0])
    assert not np.array_equal(whole[0][0], whole[4][0])


def test_parts_are_the_whole_batch(drawn):
    whole = arrays(segmentation_training_batches(drawn, PREPROCESSING, 8, seed=2))
    for index in range(2):
        part = data.Part(index, 2)
        got = arrays(segmentation_training_batches(drawn, PREPROCESSING, 8, seed=2, part=part))
        assert_same(got, [(images[part.places(8)], masks[part.places(8)]) for images, masks in whole])
    with pytest.raises(ValueError, match="multiple of 6 images"):
        segmentation_training_batches(drawn, PREPROCESSING, 8, seed=2, part=data.Part(0, 3))


def test_evaluation_shows_whole_images_padded_to_the_stride(tmp_path):
    drawn = write_drawn_masks(tmp_path, [(40, 30)] * 4 + [(20, 50)] * 4)
    batches = arrays(segmentation_evaluation_batches(drawn, PREPROCESSING, 4, "train"))
    sizes = [(len(images), *masks.shape[1:]) for images, masks in batches]
    assert sum(size[0] for size in sizes) == drawn.train.size == 6
    number = 0
    for images, masks in batches:
        assert masks.shape[1] % 16 == 0 and masks.shape[2] % 16 == 0
        for image, mask in zip(images, masks, strict=True):
            (encoded, own), _ = drawn.train.read(number)
            pixels, own = tf.io.decode_image(encoded).numpy(), own.numpy()
            height, width = own.shape
            np.testing.assert_array_equal(image[:height, :width], pixels)
            np.testing.assert_array_equal(mask[:height, :width], own)
            assert (mask[height:] == IGNORED).all() and (mask[:, width:] == IGNORED).all()
            assert not image[height:].any() and not image[:, width:].any()
            number += 1


def test_added_pixels_are_of_the_mean_colour_and_others_normalised(tmp_path):
    drawn = write_drawn_masks(tmp_path, [(20, 20)] * 2)
    preprocessing = SegmentationPreprocessing(image_size=8, mean=(10, 20, 30), std=(2, 4, 5))
    ((images, masks),) = arrays(segmentation_evaluation_batches(drawn, preprocessing, 1))
    assert images.shape == (1, 32, 32, 3) and not images[masks == IGNORED].any()
    levels = COLORS[masks[masks != IGNORED]].astype(float)
    np.testing.assert_allclose(images[masks != IGNORED], (levels - [10, 20, 30]) / [2, 4, 5], rtol=1e-6)


def test_the_short_side_takes_the_base_size(tmp_path):
    drawn = write_drawn_masks(tmp_path, [(40, 20)] * 2)
    preprocessing = SegmentationPreprocessing(image_size=8, base_size=10, output_stride=10)
    ((images, masks),) = arrays(segmentation_evaluation_batches(drawn, preprocessing, 1))
    assert images.shape == (1, 10, 20, 3) and (masks != IGNORED).all()


def test_a_file_that_is_gone_is_ignored_and_noted(drawn, tmp_path):
    path = Path(drawn.train.mask_paths[3].numpy().decode())
    before = arrays(segmentation_evaluation_batches(drawn, PREPROCESSING, 1, "train"))
    path.write_bytes(b"")
    after = arrays(segmentation_evaluation_batches(drawn, PREPROCESSING, 1, "train"))
    assert (after[3][1] == IGNORED).all() and not after[3][0].any()
    assert_same(after[:3] + after[4:], before[:3] + before[4:])
    assert len(drawn.train.unreadable) == 1
    training = arrays(segmentation_training_batches(drawn, PREPROCESSING, 9, seed=0))
    assert [(mask == IGNORED).all() for mask in training[0][1]].count(True) == 1


@pytest.mark.parametrize(
    ("argument", "value"),
    [("image_size", 0), ("scales", (2.0, 1.0)), ("base_size", 0), ("output_stride", 0), ("std", (1, 1, 0))],
)
def test_arguments_out_of_range_are_named(argument, value):
    with pytest.raises(ValueError, match=f"Received: .*{argument}="):
        SegmentationPreprocessing(**{"image_size": 8, argument: value})


def test_colours_change_and_nothing_else_does(drawn):
    def batches(*transforms, **stream):
        stream = {"seed": 5, "epochs": 2} | stream
        return arrays(segmentation_training_batches(drawn, PREPROCESSING, 4, image_transforms=transforms, **stream))

    plain, noisy = batches(), batches(data.PcaNoise(2.0))
    for (images, masks), (others, their_masks) in zip(plain, noisy, strict=True):
        np.testing.assert_array_equal(masks, their_masks)
        np.testing.assert_array_equal(others[masks == IGNORED], 0)
        for image, changed, mask in zip(images, others, masks, strict=True):
            added = (changed - image)[mask != IGNORED]
            np.testing.assert_allclose(added, added[:1].repeat(len(added), 0), atol=1e-3)
            assert np.abs(added).max() > 1
    part = data.Part(1, 2)
    places = part.places(4)
    later = batches(data.PcaNoise(2.0), first_epoch=1, first_step=1, part=part)
    assert_same(later, [(images[places], masks[places]) for images, masks in noisy[3:]])
    for (images, _), (others, _) in zip(batches(data.ColorJitter(0, 0, 0), data.PcaNoise(0)), plain, strict=True):
        np.testing.assert_allclose(images, others, atol=1e-3)


def test_a_transform_that_moves_pixels_is_refused(drawn):
    with pytest.raises(ValueError, match=r"leave pixels in place\. Received: RandAugment"):
        segmentation_training_batches(drawn, PREPROCESSING, 4, seed=0, image_transforms=(data.RandAugment(),))
