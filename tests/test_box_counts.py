"""What boxes were taken for, and what metrics are called where a model has several outputs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_tricks.box_counts import count_boxes
from keras_tricks.runs.schema import is_share

NONE = [-1.0] * 4


def batch(boxes, labels, **more):
    """Return one image of boxes and labels, with two places that hold none."""
    arrays = {"boxes": np.array([[*boxes, NONE, NONE]], float), "labels": np.array([[*labels, -1, -1]])}
    return arrays | {name: np.array([[*values, 0, 0]]) for name, values in more.items()}


A, B, FAR = [0, 0, 10, 10], [20, 20, 40, 40], [60, 60, 80, 80]


def test_each_kind_of_outcome_is_counted_once():
    true = batch([A, B], [0, 1])
    found = batch([A, [21, 20, 40, 40], FAR, B], [0, 0, 1, 1], scores=[0.9, 0.8, 0.7, 0.4])
    # The second is of another class, the third lies where nothing is, and the last is not sure enough.
    assert count_boxes(found, true, background=2) == {(0, 0): 1, (1, 0): 1, (2, 1): 1}


def test_the_surest_takes_a_box_and_the_others_take_the_background():
    found = batch([A, A], [1, 0], scores=[0.6, 0.9])
    assert count_boxes(found, batch([A], [0]), background=2) == {(0, 0): 1, (2, 1): 1}


def test_difficult_boxes_count_neither_when_found_nor_when_missed():
    true = batch([A, B], [0, 1], difficult=[True, True])
    assert count_boxes(batch([A], [0], scores=[0.9]), true, background=2) == {}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=6), st.integers(0, 6))
def test_every_true_box_is_counted_once(places, seen):
    boxes = [[30 * place, 0, 30 * place + 20, 20] for place, _ in places]
    labels = [label for _, label in places]
    found = batch(boxes[:seen], labels[:seen], scores=[0.9] * len(boxes[:seen]))
    counts = count_boxes(found, batch(boxes, labels), background=3)
    for label in range(3):
        assert sum(count for (true, _), count in counts.items() if true == label) == labels.count(label)


@pytest.mark.parametrize(
    "metric", ["accuracy", "val_accuracy", "mean_iou", "val_mean_iou", "val_voc07_map", "coco_map50"]
)
def test_accuracies_overlaps_and_precisions_are_shares(metric):
    assert is_share(metric)


@pytest.mark.parametrize("metric", ["loss", "val_loss", "gradient_norm", "images_per_second", "calibration_error"])
def test_others_are_none(metric):
    assert not is_share(metric)


def test_the_main_output_goes_without_its_name():
    from keras_tricks.callbacks.main_output import rename

    logs = {
        "loss": 1,
        "predictions_loss": 2,
        "auxiliary_loss": 3,
        "predictions_accuracy": 4,
        "val_predictions_mean_iou": 5,
    }
    rename(logs)
    assert logs == {"loss": 1, "predictions_loss": 2, "auxiliary_loss": 3, "accuracy": 4, "val_mean_iou": 5}


def test_a_measurement_belongs_to_the_epoch_whose_validation_made_it():
    from keras_tricks.callbacks.mean_average_precision import MeanAveragePrecision

    values = iter([0.25])
    callback, first, second = MeanAveragePrecision(lambda: {"map": next(values)}), {}, {}
    callback.on_epoch_begin(0)
    callback.on_test_end()
    callback.on_epoch_end(0, first)
    callback.on_epoch_begin(1)
    callback.on_epoch_end(1, second)
    assert (first, second) == ({"val_map": 0.25}, {})
