import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from voc_files import write_voc

from keras_tricks import data
from keras_tricks.data.detection import (
    DetectionMixUp,
    DetectionPreprocessing,
    detection_evaluation_batches,
    detection_training_batches,
    pad_targets,
)

COLORS = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
PREPROCESSING = DetectionPreprocessing(image_size=64, **PLAIN)


def drawn_objects(seed, size, count):
    """Draw rectangles of a colour for each class, none of which covers another."""
    random = np.random.default_rng(seed)
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    objects = []
    for kind in range(count):
        left = kind * size[0] // 3 + random.integers(1, 5)
        top = random.integers(1, size[1] // 2)
        right, bottom = left + random.integers(6, size[0] // 3 - 5), top + random.integers(6, size[1] // 2)
        pixels[top:bottom, left:right] = COLORS[kind]
        objects.append(("abc"[kind], (left + 1, top + 1, right, bottom)))
    return Image.fromarray(pixels), objects


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    sizes = [(60, 40), (50, 70), (64, 64), (48, 56)]
    images = {f"{number:02}": drawn_objects(number, sizes[number % 4], number % 4) for number in range(14)}
    return data.load(f"voc:{write_voc(tmp_path_factory.mktemp('voc'), images)}")


def arrays(batches):
    return [(images.numpy(), {name: value.numpy() for name, value in targets.items()}) for images, targets in batches]


def assert_same(first, second):
    assert len(first) == len(second)
    for (images, targets), (others, their_targets) in zip(first, second, strict=True):
        np.testing.assert_array_equal(images, others)
        assert targets.keys() == their_targets.keys()
        for name in targets:
            np.testing.assert_array_equal(targets[name], their_targets[name])


def assert_drawn_where_the_boxes_are(image, boxes, labels):
    for box, label in zip(boxes[labels >= 0], labels[labels >= 0], strict=True):
        assert (box >= 0).all() and (box <= 64).all() and (box[2:] - box[:2] >= 1).all()
        strong = image[..., label] > 125
        rows, columns = np.flatnonzero(strong.any(1)), np.flatnonzero(strong.any(0))
        extent = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        np.testing.assert_allclose(box, extent, atol=1.01)


def test_drawn_rectangles_stay_in_their_boxes(drawn):
    batches = arrays(detection_training_batches(drawn, PREPROCESSING, 5, seed=3, epochs=8))
    assert len(batches) == 16
    kept = 0
    for images, targets in batches:
        assert images.shape == (5, 64, 64, 3) and targets["boxes"].shape == (5, 3, 4)
        for image, boxes, labels, weights in zip(images, *targets.values(), strict=True):
            assert_drawn_where_the_boxes_are(image, boxes, labels)
            np.testing.assert_array_equal(weights, labels >= 0)
            np.testing.assert_array_equal(boxes[labels < 0], -1)
            kept += (labels >= 0).sum()
    assert kept > 60


def test_a_box_stays_where_its_centre_does():
    image = tf.zeros((64, 64, 3), tf.uint8)
    boxes = tf.constant([[0, 0, 20, 20], [40, 40, 60, 60], [16, 16, 48, 48], [20, 20, 44, 44]], tf.float32)
    targets = {"boxes": boxes, "labels": tf.range(4)}
    preprocessing = DetectionPreprocessing(image_size=64, scales=(2.0, 2.0), flip=False)
    # At twice the size the square shows the right bottom quarter: what was at 32 comes to 0.
    _, kept = preprocessing.augment(image, targets, tf.constant([0.0, 1.0, 1.0, 0.9]))
    assert kept["labels"].numpy().tolist() == [1, 2, 3]
    assert kept["boxes"].numpy().tolist() == [[16, 16, 56, 56], [0, 0, 32, 32], [0, 0, 24, 24]]
    _, mirrored = DetectionPreprocessing(image_size=64, scales=(2.0, 2.0)).augment(
        image, targets, tf.constant([0.0, 1.0, 1.0, 0.1])
    )
    assert mirrored["boxes"].numpy().tolist() == [[8, 16, 48, 56], [32, 0, 64, 32], [40, 0, 64, 24]]


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(st.integers(5, 90), st.integers(5, 90)),
    uniforms=st.tuples(*[st.floats(0, 0.99)] * 4),
    corners=st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 4), max_size=5),
)
def test_boxes_stay_inside(shape, uniforms, corners):
    numbers = np.sort(np.reshape(corners, (-1, 2, 2)), axis=1).reshape(-1, 4) * (shape[1], shape[0], shape[1], shape[0])
    targets = {"boxes": tf.constant(numbers, tf.float32), "labels": tf.range(len(numbers))}
    image = tf.zeros((*shape, 3), tf.uint8)
    _, kept = PREPROCESSING.augment(image, targets, tf.constant(uniforms, tf.float32))
    boxes = kept["boxes"].numpy()
    assert (boxes >= 0).all() and (boxes <= 64).all() and (boxes[:, 2:] - boxes[:, :2] >= 1).all()
    assert len(kept["labels"]) == len(boxes) <= len(numbers)
    _, whole = PREPROCESSING.prepare(image, targets)
    assert len(whole["boxes"]) == len(numbers)
    assert (whole["boxes"].numpy() >= 0).all() and (whole["boxes"].numpy() <= 64 + 1e-3).all()


def test_evaluation_shows_every_object_at_its_place(drawn):
    batches = arrays(detection_evaluation_batches(drawn, PREPROCESSING, 4, "train"))
    number = 0
    for images, targets in batches:
        assert set(targets) == {"boxes", "labels", "weights", "difficult"}
        for image, boxes, labels in zip(images, targets["boxes"], targets["labels"], strict=True):
            (encoded, own, classes, _), _ = drawn.train.read(number)
            height, width = tf.io.decode_image(encoded).shape[:2]
            count = len(classes)
            np.testing.assert_array_equal(labels[:count], classes)
            np.testing.assert_allclose(boxes[:count], own.numpy() * 64 / max(height, width), rtol=1e-6)
            assert (labels[count:] == -1).all() and (boxes[count:] == -1).all()
            assert_drawn_where_the_boxes_are(image, boxes, labels)
            number += 1
    assert number == drawn.train.size


@pytest.mark.parametrize("transforms", [(), (DetectionMixUp(1.5),)], ids=["plain", "mixup"])
def test_a_stream_that_starts_later_is_the_rest(drawn, transforms):
    arguments = {"seed": 5, "epochs": 3, "batch_transforms": transforms}
    whole = arrays(detection_training_batches(drawn, PREPROCESSING, 5, **arguments))
    later = arrays(detection_training_batches(drawn, PREPROCESSING, 5, **arguments, first_epoch=1, first_step=1))
    assert_same(later, whole[3:])
    assert not np.array_equal(whole[0][0], whole[2][0])


def test_parts_are_the_whole_batch(drawn):
    whole = arrays(detection_training_batches(drawn, PREPROCESSING, 8, seed=2))
    for index in range(2):
        part = data.Part(index, 2)
        got = arrays(detection_training_batches(drawn, PREPROCESSING, 8, seed=2, part=part))
        places = part.places(8)
        expected = [(images[places], {name: each[places] for name, each in more.items()}) for images, more in whole]
        assert_same(got, expected)
    with pytest.raises(ValueError, match="no batch transforms of parts"):
        detection_training_batches(
            drawn, PREPROCESSING, 8, seed=2, part=data.Part(0, 2), batch_transforms=(DetectionMixUp(),)
        )


def test_places_for_boxes(drawn):
    batches = arrays(detection_training_batches(drawn, PREPROCESSING, 5, seed=2, max_boxes=7))
    assert batches[0][1]["boxes"].shape == (5, 7, 4)
    with pytest.raises(ValueError, match=r"has an image with 3 boxes: .* Received: max_boxes=2"):
        detection_training_batches(drawn, PREPROCESSING, 5, seed=2, max_boxes=2)


def mixed_batch(size):
    random = np.random.default_rng(size)
    targets = {
        "boxes": tf.constant(random.random((2, 4)), tf.float32),
        "labels": tf.constant([1, 2]),
        "weights": tf.ones(2),
        "difficult": tf.constant([False, True]),
    }
    padded = pad_targets(targets, 3)
    targets = {name: tf.stack([value] * size) for name, value in padded.items()}
    targets["labels"] += tf.range(size)[:, None] * 3 * tf.cast(targets["labels"] >= 0, tf.int32)
    return tf.constant(random.random((size, 4, 5, 3)), tf.float32), targets


@pytest.mark.parametrize("size", [4, 5])
def test_mixup_keeps_the_geometry_and_weighs_the_boxes_of_both(size):
    images, targets = mixed_batch(size)
    mixed, got = DetectionMixUp(1.5)(images, targets, (1, 2))
    shares = got["weights"].numpy()[:, 0]
    assert len(set(shares.tolist())) == size
    for index in range(size):
        other, share = size - 1 - index, shares[index]
        expected = share * images[index] + (1 - share) * images[other]
        np.testing.assert_allclose(mixed[index], expected, atol=1e-6)
        if other == index:
            assert share == 1
            np.testing.assert_array_equal(got["labels"][index], [*targets["labels"][index], -1, -1, -1])
            np.testing.assert_array_equal(got["boxes"][index, 3:], -1)
            continue
        np.testing.assert_array_equal(got["labels"][index], [*targets["labels"][index], *targets["labels"][other]])
        boxes = np.concatenate([targets["boxes"][index], targets["boxes"][other]])
        np.testing.assert_array_equal(got["boxes"][index], boxes)
        expected = [share, share, 0, 1 - share, 1 - share, 0]
        np.testing.assert_allclose(got["weights"][index], expected, atol=1e-6)


def test_mixup_of_zero_strength_changes_nothing():
    images, targets = mixed_batch(4)
    assert_same(arrays([DetectionMixUp(0)(images, targets, (0, 0))]), arrays([(images, targets)]))


def test_a_file_that_is_gone_is_blank_and_noted(tmp_path):
    images = {str(number): drawn_objects(number, (48, 48), 3) for number in range(10)}
    loaded = data.load(f"voc:{write_voc(tmp_path, images)}")
    (tmp_path / "JPEGImages" / loaded.train.paths.numpy()[2].decode()).write_bytes(b"")
    ((pixels, targets),) = arrays(detection_evaluation_batches(loaded, PREPROCESSING, 8, "train"))
    assert [not image.any() for image in pixels] == [number == 2 for number in range(8)]
    assert (targets["labels"][2] == -1).all() and (targets["labels"][3] >= 0).all()
    assert len(loaded.train.unreadable) == 1


@pytest.mark.parametrize(("argument", "value"), [("image_size", 0), ("scales", (0.0, 1.0)), ("mean", (1, 2))])
def test_arguments_out_of_range_are_named(argument, value):
    with pytest.raises(ValueError, match=f"Received: .*{argument}="):
        DetectionPreprocessing(**{"image_size": 8, argument: value})


@pytest.mark.parametrize("alpha", [-0.1, float("inf"), float("nan")])
def test_impossible_alpha(alpha):
    with pytest.raises(ValueError, match="Received: alpha="):
        DetectionMixUp(alpha)


def test_colours_change_before_the_mixing_and_boxes_do_not(drawn):
    def batches(*transforms, **stream):
        stream = {"seed": 5, "epochs": 2, "batch_transforms": (DetectionMixUp(1.5),)} | stream
        return arrays(detection_training_batches(drawn, PREPROCESSING, 5, image_transforms=transforms, **stream))

    plain, noisy = batches(), batches(data.ColorJitter(), data.PcaNoise(2.0))
    for (images, targets), (others, their_targets) in zip(plain, noisy, strict=True):
        assert np.abs(images - others).max() > 1
        for name, value in targets.items():
            np.testing.assert_array_equal(value, their_targets[name])
    assert_same(batches(data.ColorJitter(), data.PcaNoise(2.0), first_epoch=1, first_step=1), noisy[3:])
