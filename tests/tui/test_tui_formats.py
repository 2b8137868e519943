"""Numbers and times as short text."""

import math

import pytest
from rich.cells import cell_len

from keras_tricks.runs.columns import column
from tui.column_text import change_color, middle_shortened
from tui.formats import duration, number, share, shortened


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (math.nan, "-"),
        (-3, "0 s"),
        (48.4, "48 s"),
        (59.6, "1m 00s"),
        (725, "12m 05s"),
        (12_000, "3h 20m"),
        (90_000, "1d 01h"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (math.nan, "NaN"),
        (-math.inf, "-inf"),
        (0.0, "0"),
        (0.93412, "0.9341"),
        (1.5, "1.500"),
        (1842.4, "1842"),
        (0.00001, "1.0e-5"),
        (2.5e7, "2.5e7"),
    ],
)
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.93412, ".9341"), (1.0, "1.0000"), (None, "-"), (math.nan, "NaN")])
def test_share(value, text):
    assert share(value) == text


def test_shortened():
    assert shortened("quickstart", 10) == "quickstart"
    assert shortened("quickstart", 6) == "quick…"


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("quickstart-minus-mixup-s0", 25, "quickstart-minus-mixup-s0"),
        ("quickstart-minus-mixup-s0", 16, "quick…s-mixup-s0"),
        ("訓練訓練訓練訓練", 16, "訓練訓練訓練訓練"),
        ("訓練訓練訓練訓練", 10, "訓…練訓練"),
    ],
)
def test_the_middle_of_a_name_is_left_out(text, width, expected):
    assert middle_shortened(text, width) == expected
    assert cell_len(expected) <= width


@pytest.mark.parametrize(
    ("key", "change", "color"),
    [
        ("val_accuracy", 0.1, "success"),
        ("val_accuracy", -0.1, "error"),
        ("val_loss", -0.1, "success"),
        ("val_loss", 0.0, ""),
        ("val_loss", math.nan, "error"),
        ("val_accuracy", math.nan, "error"),
    ],
)
def test_no_difference_that_is_nan_looks_good(key, change, color):
    assert change_color(column(key), change) == color


def test_a_segmenter_and_a_detector_show_their_own_metric_for_the_accuracy():
    from tui.widgets.charted_metrics import usual_metrics

    logged = ("loss", "accuracy", "val_accuracy", "mean_iou", "val_mean_iou", "learning_rate", "images_per_second")
    assert usual_metrics(logged)[1] == "mean_iou"
    assert usual_metrics(("loss", "val_coco_map", "val_coco_map50", "learning_rate"))[1] == "coco_map50"
    assert usual_metrics(("loss", "accuracy"))[:2] == ("loss", "accuracy")
