"""From outputs of detectors to boxes; parity/make_retinanet_fixture.py makes the fixture of torchvision."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_tricks.models import DecodeBoxes, anchors, detections

FIXTURE = Path(__file__).parents[1] / "parity" / "fixtures" / "retinanet.npz"
CLASSES, SIDE, ANCHOR_SIZE = 3, 64, 2.0


@pytest.fixture(scope="module", autouse=True)
def _hub():
    pytest.importorskip("keras_hub", reason="the extra hub is not installed")


@pytest.fixture(scope="module")
def stored():
    with np.load(FIXTURE) as fixture:
        return dict(fixture)


def found(outputs, **arguments):
    return detections(outputs, SIDE, CLASSES, **{"anchor_size": ANCHOR_SIZE, **arguments})


def test_detections_are_those_of_torchvision(stored):
    got = found(stored["outputs"], confidence=0.5, most=20)
    np.testing.assert_array_equal(got["labels"], stored["labels"])
    np.testing.assert_allclose(got["scores"], stored["scores"], rtol=1e-5)
    np.testing.assert_allclose(got["boxes"], stored["boxes"], atol=1e-3)


def certain(*pairs):
    """Return outputs that put each (anchor, class) of one image at a score above that of the next."""
    outputs = np.zeros((1, len(anchors(SIDE, ANCHOR_SIZE)), 4 + CLASSES), "float32")
    outputs[..., 4:] = -20
    for rank, (anchor, label) in enumerate(pairs):
        outputs[0, anchor, 4 + label] = 5 - rank
    return outputs


def test_only_boxes_of_one_class_suppress_each_other():
    # Of one place, 36x8 places into the first level: anchors 1 and 2 have three quarters of each other.
    first = 36 * 9 + 3
    got = found(certain((first, 0), (first + 1, 0), (first, 2), (first + 1, 1), (0, 0)))
    np.testing.assert_array_equal(got["labels"][0, :5], [0, 2, 1, 0, -1])
    places = np.clip(anchors(SIDE, ANCHOR_SIZE)[[first, first, first + 1, 0]], 0, SIDE)
    np.testing.assert_allclose(got["boxes"][0, :4], places, atol=1e-3)
    assert (got["boxes"][0, 4:] == -1).all() and (got["labels"][0, 4:] == -1).all()
    kept = found(certain((first, 0), (first + 1, 0)), overlap=0.95)
    np.testing.assert_array_equal(kept["labels"][0, :3], [0, 0, -1])


def test_no_more_than_asked_and_none_below_the_confidence():
    outputs = certain(*((9 * 8 * place, place % CLASSES) for place in range(8)))
    probabilities = 1 / (1 + np.exp(-np.array([5.0, 4, 3])))
    got = found(outputs, most=3)
    assert got["boxes"].shape == (1, 3, 4)
    np.testing.assert_allclose(got["scores"][0], probabilities, rtol=1e-5)
    got = found(outputs, confidence=(probabilities[1] + probabilities[2]) / 2)
    assert (got["labels"][0] >= 0).sum() == 2
    assert (found(outputs[:, ::-1] * 0 - 20)["labels"] == -1).all()


@pytest.mark.backend
def test_decoding_inverts_the_offsets_and_stays_in_the_image():
    places = anchors(SIDE, ANCHOR_SIZE)
    draw = np.random.default_rng(0)
    corner = draw.uniform(0, 40, (2, len(places), 2))
    boxes = np.concatenate([corner, corner + draw.uniform(1, 24, corner.shape)], axis=-1)
    size, anchor_size = boxes[..., 2:] - boxes[..., :2], places[:, 2:] - places[:, :2]
    shift = (boxes[..., 2:] + boxes[..., :2] - places[:, 2:] - places[:, :2]) / 2
    outputs = np.concatenate([shift / anchor_size, np.log(size / anchor_size), draw.normal(size=(*corner.shape,))], -1)
    layer = DecodeBoxes.from_config(DecodeBoxes(SIDE, ANCHOR_SIZE).get_config())
    decoded = layer(outputs.astype("float32"))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(decoded["boxes"]), boxes, atol=1e-3)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(decoded["scores"]), 1 / (1 + np.exp(-outputs[..., 4:])), rtol=1e-5
    )
    outputs[..., :4] = 200.0
    far = keras.ops.convert_to_numpy(layer(outputs.astype("float32"))["boxes"])
    assert ((far >= 0) & (far <= SIDE)).all()


def test_anchors_are_the_published_ones():
    places = anchors(64)
    assert len(places) == 9 * (64 + 16 + 4 + 1 + 1)
    sizes = np.sqrt(np.prod(places[:, 2:] - places[:, :2], axis=1)).reshape(-1, 9)
    for level, start in ((3, 0), (4, 64), (5, 80), (6, 84), (7, 85)):
        expected = [2**level * 4 * 2 ** (scale / 3) for scale in (0, 1, 2)] * 3
        np.testing.assert_allclose(sizes[start], expected, rtol=0.05)
    width, height = (places[:9, 2:] - places[:9, :2]).T
    np.testing.assert_allclose(height / width, [0.5] * 3 + [1] * 3 + [2] * 3, rtol=0.1)
    np.testing.assert_allclose((places[9 * 9 : 9 * 10, :2] + places[9 * 9 : 9 * 10, 2:]) / 2, [[8, 8]] * 9)


def test_wrong_arguments_and_outputs_say_what_was_expected():
    outputs = certain()
    for arguments, message in (
        ({"most": 0}, "at least 1. Received: most=0"),
        ({"confidence": 1}, r"in \[0, 1\). Received: confidence=1"),
        ({"overlap": 0}, r"in \(0, 1\]. Received: overlap=0"),
        ({"anchor_size": 0.1}, "at least 0.25. Received: anchor_size=0.1"),
    ):
        with pytest.raises(ValueError, match=message):
            found(outputs, **arguments)
    with pytest.raises(ValueError, match=r"\(batch, 774, 7\) for 3 classes .* Received: a shape of \(1, 774, 6\)"):
        found(outputs[..., 1:])
    outputs[0, 3, 1] = np.inf
    with pytest.raises(ValueError, match=r"finite outputs. Received: inf"):
        found(outputs)


def test_without_keras_hub_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    monkeypatch.delitem(sys.modules, "keras_tricks.models.hub", raising=False)
    monkeypatch.delattr("keras_tricks.models.hub", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'keras-tricks\[hub\]'"):
        DecodeBoxes(SIDE)
