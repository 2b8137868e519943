"""Mean average precision against pycocotools and the VOC code of Fast R-CNN (see tests/parity)."""

from pathlib import Path

import numpy as np
import pytest

from keras_tricks.metrics import DetectionMetrics
from keras_tricks.metrics.detection import intersection_over_union

FIXTURE = Path(__file__).parents[1] / "parity" / "fixtures" / "detection.npz"
CLASSES, PLACES = 4, 40


@pytest.fixture(scope="module")
def fixture():
    with np.load(FIXTURE) as arrays:
        return dict(arrays)


def padded(rows, third):
    """Return the rows (label, score or mark, box) of an image as padded arrays."""
    values = {"labels": np.full(PLACES, -1), third: np.zeros(PLACES), "boxes": np.full((PLACES, 4), -1.0)}
    values["labels"][: len(rows)], values[third][: len(rows)] = rows[:, 1], rows[:, 2]
    values["boxes"][: len(rows)] = rows[:, 3:]
    return values


def measured(truths, detections, batch_size=4):
    """Feed the rows of a fixture in batches of images."""
    metrics = DetectionMetrics(CLASSES)
    images = range(int(max(truths[:, 0].max(), detections[:, 0].max())) + 1)
    for start in images[::batch_size]:
        batch = []
        for rows, third in ((detections, "scores"), (truths, "difficult")):
            each = [padded(rows[rows[:, 0] == image], third) for image in images[start : start + batch_size]]
            batch.append({name: np.stack([values[name] for values in each]) for name in each[0]})
        metrics.add(*batch)
    return metrics


def single(found, true, difficult=None, scores=None):
    """Measure the detections of one class on one image."""
    metrics = DetectionMetrics(1)
    scores = np.linspace(0.9, 0.1, len(found)) if scores is None else scores
    predictions = {"boxes": np.reshape(found, (1, -1, 4)), "labels": np.zeros((1, len(found)), int)}
    targets = {"boxes": np.reshape(true, (1, -1, 4)), "labels": np.zeros((1, len(true)), int)}
    if difficult is not None:
        targets["difficult"] = np.array([difficult])
    metrics.add(predictions | {"scores": np.reshape(scores, (1, -1))}, targets)
    return metrics


def test_coco_is_that_of_pycocotools(fixture):
    metrics = measured(fixture["truths"], fixture["detections"])
    expected = fixture["coco_without_difficult"]
    np.testing.assert_allclose(metrics.coco_average_precisions(), expected, atol=1e-9)
    result = metrics.result()
    assert result["coco_map"] == pytest.approx(np.nanmean(expected))
    assert result["coco_map50"] == pytest.approx(np.nanmean(expected[:, 0]))
    assert result["coco_map75"] == pytest.approx(np.nanmean(expected[:, 5]))
    easy = fixture["truths"] * np.array([1, 1, 0, 1, 1, 1, 1])
    np.testing.assert_allclose(
        measured(easy, fixture["detections"]).coco_average_precisions(), fixture["coco"], atol=1e-9
    )
    assert not np.allclose(expected[:3], fixture["coco"][:3])


def test_voc07_is_that_of_fast_rcnn(fixture):
    metrics = measured(fixture["truths"], fixture["detections"])
    np.testing.assert_allclose(metrics.voc07_average_precisions(), fixture["voc07"], atol=1e-9)
    assert metrics.result()["voc07_map"] == pytest.approx(np.nanmean(fixture["voc07"]))


def test_neither_batches_nor_the_scale_of_the_images_matter(fixture):
    expected = measured(fixture["truths"], fixture["detections"]).result()
    larger = [fixture[name] * np.array([1, 1, 1, 2, 2, 2, 2]) for name in ("truths", "detections")]
    assert measured(*larger, batch_size=25).result() == pytest.approx(expected)


def test_perfect_and_useless_detections(fixture):
    truths = fixture["truths"] * np.array([1, 1, 0, 1, 1, 1, 1])
    perfect = truths.copy()
    perfect[:, 2] = np.linspace(0.1, 0.9, len(perfect))
    assert set(measured(truths, perfect).result().values()) == {1.0}
    elsewhere = perfect + np.array([0, 0, 0, 500, 500, 500, 500])
    assert set(measured(truths, elsewhere).result().values()) == {0.0}


def test_a_second_detection_of_a_box_is_a_fault():
    box, other = [0, 0, 10, 10], [50, 50, 60, 60]
    # Hit, fault, hit: at recalls up to a half the precision is 1, above it 2/3.
    result = single([box, box, other], [box, other]).result()
    assert result["voc07_map"] == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert result["coco_map"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_difficult_boxes_count_neither_way():
    box, other = [0, 0, 10, 10], [50, 50, 60, 60]
    assert set(single([other, box], [box, other], [False, True]).result().values()) == {1.0}
    assert set(single([box], [box, other], [False, True]).result().values()) == {1.0}
    assert all(np.isnan(value) for value in single([box], [box], [True]).result().values())


def test_pascal_wants_more_than_half_and_coco_half():
    result = single([[0, 0, 10, 5]], [[0, 0, 10, 10]]).result()
    assert (result["voc07_map"], result["coco_map50"], result["coco_map"]) == (0, 1, 0.1)


def test_of_each_class_of_an_image_coco_counts_a_hundred():
    strangers = [[100, 100, 110, 110]] * 100
    result = single([*strangers, [0, 0, 10, 10]], [[0, 0, 10, 10]]).result()
    assert result["coco_map"] == 0 and result["voc07_map"] == pytest.approx(1 / 101)


def test_no_images_and_no_detections():
    metrics = DetectionMetrics(2)
    assert all(np.isnan(value) for value in metrics.result().values())
    assert set(single([], [[0, 0, 1, 1]]).result().values()) == {0.0}
    metrics = single([[0, 0, 1, 1]], [[0, 0, 1, 1]])
    metrics.reset()
    assert all(np.isnan(value) for value in metrics.result().values())


def test_overlaps():
    boxes = np.array([[0, 0, 4, 4], [2, 2, 6, 6], [4, 0, 8, 4], [1, 1, 1, 1]], float)
    overlaps = intersection_over_union(boxes, boxes)
    np.testing.assert_allclose(overlaps[0], [1, 4 / 28, 0, 0])
    np.testing.assert_array_equal(overlaps, overlaps.T)
    assert overlaps[3, 3] == 0


def test_what_cannot_be_measured_is_refused():
    box = [[0, 0, 1, 1]]
    with pytest.raises(ValueError, match=r"Expected finite scores. Received: nan"):
        single(box, box, scores=[np.nan])
    with pytest.raises(ValueError, match=r"Expected finite boxes. Received: inf"):
        single([[0, 0, np.inf, 1]], box)
    with pytest.raises(ValueError, match="Received: classes=0"):
        DetectionMetrics(0)
    predictions = {"boxes": np.zeros((1, 1, 4)), "labels": np.array([[3]]), "scores": np.ones((1, 1))}
    with pytest.raises(ValueError, match=r"labels below classes=2. Received: label=3"):
        DetectionMetrics(2).add(predictions, predictions)
    with pytest.raises(ValueError, match=r"of the same images. Received: \[1, 2\] images"):
        DetectionMetrics(4).add(predictions, {"boxes": np.zeros((2, 1, 4)), "labels": np.zeros((2, 1))})
