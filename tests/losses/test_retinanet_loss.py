"""The loss of detectors; parity/make_retinanet_fixture.py makes the fixture of torchvision."""

from pathlib import Path

import keras
import numpy as np
import pytest

pytest.importorskip("keras_hub", reason="the extra hub is not installed")
from keras_tricks.losses import RetinaNetLoss
from keras_tricks.metrics.detection import intersection_over_union
from keras_tricks.models import anchors

FIXTURE = Path(__file__).parents[1] / "parity" / "fixtures" / "retinanet.npz"
CLASSES, SIDE, ANCHOR_SIZE = 3, 64, 2.0
ANCHORS = 774
ABSENT = (-1, -1, -1, -1, -1, 0)

TARGETS = np.array(
    [
        [(4, 4, 40, 40, 0, 1), (10, 20, 60, 64, 2, 0.3), (1, 2, 15, 19, 1, 1), ABSENT],
        [(30, 3, 50, 21, 1, 0.5), ABSENT, ABSENT, ABSENT],
        [ABSENT] * 4,
    ],
    "float32",
)
OUTPUTS = np.random.default_rng(0).normal(size=(3, ANCHORS, 4 + CLASSES)).astype("float32")


def loss(**arguments):
    return RetinaNetLoss(CLASSES, SIDE, **{"anchor_size": ANCHOR_SIZE, "reduction": "none", **arguments})


def losses(targets, outputs=OUTPUTS, **arguments):
    return keras.ops.convert_to_numpy(loss(**arguments)(targets, outputs))


def centred(boxes):
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]


def formula(targets, outputs, alpha=0.25, gamma=2.0, beta=0.11, smoothing=0.0, box_weight=1.0):
    """What the papers say, image by image and anchor by anchor, in float64."""
    places, results = anchors(SIDE, ANCHOR_SIZE).astype("float64"), []
    for image, output in zip(targets.astype("float64"), outputs.astype("float64"), strict=True):
        image = image[image[:, 4] >= 0]
        overlaps = intersection_over_union(places, image[:, :4])
        total = matched = 0.0
        for number, anchor in enumerate(places):
            best = overlaps[number].max(initial=0)
            if 0.4 <= best < 0.5:
                continue
            own, weight = np.zeros(CLASSES), 1.0
            if best >= 0.5:
                *box, label, weight = image[overlaps[number].argmax()]
                own[int(label)] = 1
                matched += 1
                (middle, size), (of_anchor, anchor_size) = centred(np.array(box)), centred(anchor)
                offsets = np.concatenate([(middle - of_anchor) / anchor_size, np.log(size / anchor_size)])
                d = np.abs(output[number, :4] - offsets)
                total += box_weight * weight * np.where(d < beta, d**2 / 2 / beta, d - beta / 2).sum()
            p = 1 / (1 + np.exp(-output[number, 4:]))
            q = np.where(own == 1, p, 1 - p)
            target = own * (1 - smoothing) + smoothing / 2
            crossentropy = -(target * np.log(p) + (1 - target) * np.log(1 - p))
            total += weight * (np.where(own == 1, alpha, 1 - alpha) * (1 - q) ** gamma * crossentropy).sum()
        results.append(total / max(1, matched))
    return np.array(results)


@pytest.mark.backend
@pytest.mark.parametrize(
    ("arguments", "of_formula"),
    [
        ({}, {}),
        ({"alpha": 0.6, "gamma": 0.5, "beta": 1.0, "box_weight": 3.0},) * 2,
        ({"gamma": 0.0, "label_smoothing": 0.2}, {"gamma": 0.0, "smoothing": 0.2}),
    ],
)
def test_the_loss_is_the_formula(arguments, of_formula):
    np.testing.assert_allclose(losses(TARGETS, **arguments), formula(TARGETS, OUTPUTS, **of_formula), rtol=2e-5)


@pytest.mark.backend
def test_the_loss_is_that_of_torchvision():
    with np.load(FIXTURE) as fixture:
        stored = dict(fixture)
    targets, outputs = stored["targets"], stored["outputs"]
    np.testing.assert_array_equal(anchors(SIDE, ANCHOR_SIZE), stored["anchors"])
    classes, boxes = stored["losses"].T
    np.testing.assert_allclose(losses(targets, outputs, box_weight=0.0), classes, rtol=1e-5)
    both = losses(targets, outputs, beta=1.0, box_weight=100.0)
    np.testing.assert_allclose((both - classes) / 100, boxes, rtol=1e-4, atol=1e-6)


def test_neither_the_order_of_boxes_nor_empty_places_matter():
    expected = losses(TARGETS)
    np.testing.assert_allclose(losses(TARGETS[:, [3, 1, 2, 0]]), expected, rtol=1e-5)
    more = np.concatenate([np.full((3, 5, 6), ABSENT, "float32"), TARGETS], axis=1)
    np.testing.assert_allclose(losses(more), expected, rtol=1e-5)
    # Whatever else stands in an empty place.
    empty = TARGETS.copy()
    empty[TARGETS[..., 4] < 0] = (4, 4, 40, 40, -1, 1)
    np.testing.assert_allclose(losses(empty), expected, rtol=1e-5)


def test_batches_without_boxes_have_the_loss_of_the_background():
    p = 1 / (1 + np.exp(-OUTPUTS[..., 4:].astype("float64")))
    background = (0.75 * p**2 * -np.log(1 - p)).sum((1, 2))
    np.testing.assert_allclose(losses(TARGETS)[2], background[2], rtol=1e-5)
    for places in (0, 2):
        nothing = np.full((3, places, 6), -1, "float32")
        np.testing.assert_allclose(losses(nothing), background, rtol=1e-5)


def test_weights_multiply_the_losses_of_their_boxes():
    """A weight of 0.5 is half way from 0 to 1, and at 0 the outputs of the matched anchors do not matter."""
    at = {}
    for weight in (0.0, 0.5, 1.0):
        targets = TARGETS[1:2].copy()
        targets[0, 0, 5] = weight
        at[weight] = losses(targets, OUTPUTS[1:2])
    np.testing.assert_allclose(at[0.5], (at[0.0] + at[1.0]) / 2, rtol=1e-5)
    overlaps = intersection_over_union(anchors(SIDE, ANCHOR_SIZE), TARGETS[1, :1, :4])[:, 0]
    others = OUTPUTS[1:2].copy()
    others[:, overlaps >= 0.5] = 9
    targets[0, 0, 5] = 0
    np.testing.assert_allclose(losses(targets, others), at[0.0], rtol=1e-5)
    assert (overlaps >= 0.5).any() and not np.allclose(losses(TARGETS[1:2], others), at[1.0])


def test_shares_of_a_batch_give_the_whole():
    parts = [losses(TARGETS[place : place + 1], OUTPUTS[place : place + 1])[0] for place in range(3)]
    np.testing.assert_allclose(losses(TARGETS, reduction="sum_over_batch_size"), np.mean(parts), rtol=1e-5)


@pytest.mark.backend
def test_what_is_no_number_shows():
    def broken(array, place, value):
        array = array.copy()
        array[place] = value
        return array

    expected = losses(TARGETS)
    # A matched anchor, one of the background, and one in between, whose classes do not count.
    overlaps = intersection_over_union(anchors(SIDE, ANCHOR_SIZE), TARGETS[0, :3, :4]).max(1)
    for number in (overlaps.argmax(), overlaps.argmin(), np.argmin(np.abs(overlaps - 0.45))):
        for channel in (2, 5):
            got = losses(TARGETS, broken(OUTPUTS, (0, number, channel), np.nan))
            assert np.isnan(got[0])
            np.testing.assert_array_equal(got[1:], expected[1:])
    for place, value in (((0, 0, 1), np.nan), ((0, 1, 2), np.inf), ((0, 0, 4), CLASSES), ((0, 0, 5), np.nan)):
        got = losses(broken(TARGETS, place, value))
        assert np.isnan(got[0])
        np.testing.assert_allclose(got[1:], expected[1:], rtol=1e-6)


@pytest.mark.backend
def test_large_logits_and_half_precision_stay_finite():
    keras.config.set_dtype_policy("mixed_float16")
    wide = (OUTPUTS * 3000).astype("float16")
    got = losses(TARGETS, keras.ops.convert_to_tensor(wide))
    exact = losses(TARGETS, wide.astype("float32"))
    assert got.dtype == "float32" and np.isfinite(got).all()
    np.testing.assert_allclose(got, exact, rtol=1e-6)
    np.testing.assert_allclose(losses(TARGETS), formula(TARGETS, OUTPUTS), rtol=2e-5)


def test_it_is_saved_with_its_arguments():
    arguments = {"alpha": 0.3, "gamma": 1.0, "beta": 0.5, "label_smoothing": 0.1, "box_weight": 2.0}
    saved = keras.losses.deserialize(keras.losses.serialize(loss(**arguments)))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(saved(TARGETS, OUTPUTS)), losses(TARGETS, **arguments), rtol=1e-6
    )
    smoothed = type(saved).from_config({**saved.get_config(), "label_smoothing": 0.3})
    assert (smoothed.label_smoothing, smoothed.anchor_size) == (0.3, ANCHOR_SIZE)


@pytest.mark.parametrize(
    ("argument", "value", "expected"),
    [
        ("alpha", 1, r"in \(0, 1\)"),
        ("gamma", -1, "of at least 0"),
        ("beta", 0, "above 0"),
        ("beta", "a", "above 0"),
        ("box_weight", float("nan"), "of at least 0"),
        ("label_smoothing", 1, r"in \[0, 1\)"),
        ("anchor_size", 0, "at least 0.25"),
    ],
)
def test_arguments_out_of_range_are_named(argument, value, expected):
    with pytest.raises(ValueError, match=f"{expected}. Received: {argument}={value!r}"):
        loss(**{argument: value})
    with pytest.raises(ValueError, match=r"at least 1. Received: classes=0"):
        RetinaNetLoss(0, SIDE)
    with pytest.raises(ValueError, match=r"a multiple of 32.* Received: image_size=100"):
        RetinaNetLoss(1, 100)


def test_two_replicas_give_what_one_device_gives(two_replicas):
    """Their images have different numbers of matched anchors, and one of them none."""
    from keras_tricks.distribute import ReplicaModel

    features, targets = np.ones((2, 1), "float32"), TARGETS[[0, 2]]

    def trained():
        inputs = keras.Input((1,))
        rows = keras.layers.Dense(ANCHORS * (4 + CLASSES), kernel_initializer="zeros", name="rows")(inputs)
        model = ReplicaModel.of(keras.Model(inputs, keras.layers.Reshape((ANCHORS, 4 + CLASSES))(rows)))
        model.compile(keras.optimizers.SGD(0.1), loss(reduction="sum_over_batch_size"))
        history = model.fit(features, targets, batch_size=2, epochs=2, verbose=0).history["loss"]
        return history, keras.ops.convert_to_numpy(model.get_layer("rows").kernel)

    history, kernel = trained()
    with two_replicas.scope():
        on_replicas, same = trained()
    assert history[1] < history[0]
    np.testing.assert_allclose(on_replicas, history, rtol=1e-5)
    np.testing.assert_allclose(same, kernel, rtol=1e-4, atol=1e-7)
