import keras
import numpy as np
import pytest

from keras_tricks.losses import PixelCrossentropy
from keras_tricks.metrics import MeanIoU, PixelAccuracy

backend = pytest.mark.backend
CLASSES = 4
GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.integers(0, CLASSES, (6, 5, 7))
LABELS[GENERATOR.random(LABELS.shape) < 0.2] = 255
PREDICTIONS = GENERATOR.random((6, 5, 7, CLASSES)).astype("float32")
METRICS = [PixelAccuracy, MeanIoU]


def result(metric):
    return float(keras.ops.convert_to_numpy(metric.result()))


def fed(metric, labels=LABELS, predictions=PREDICTIONS, batch_size=2):
    for start in range(0, len(labels), batch_size):
        metric.update_state(labels[start : start + batch_size], predictions[start : start + batch_size])
    return metric


def formula(kind, labels, predictions):
    """Each metric from sets of pixels."""
    counts, predicted = labels != 255, predictions.argmax(-1)
    if kind is PixelAccuracy:
        return (predicted == labels)[counts].mean()
    ratios = []
    for each in range(predictions.shape[-1]):
        label, prediction = (labels == each) & counts, (predicted == each) & counts
        if (label | prediction).any():
            ratios.append((label & prediction).sum() / (label | prediction).sum())
    return np.mean(ratios)


@backend
@pytest.mark.parametrize("kind", METRICS)
def test_the_result_is_the_formula_over_all_batches(kind):
    metric = fed(kind(CLASSES))
    assert result(metric) == pytest.approx(formula(kind, LABELS, PREDICTIONS), rel=1e-6)
    metric.reset_state()
    assert result(metric) == 0
    assert result(fed(metric, batch_size=6)) == pytest.approx(formula(kind, LABELS, PREDICTIONS), rel=1e-6)


@backend
def test_the_mean_is_that_of_keras_where_all_pixels_are_predicted_to_count():
    theirs = fed(keras.metrics.MeanIoU(CLASSES, ignore_class=255, sparse_y_pred=False))
    ours = fed(MeanIoU(CLASSES))
    assert result(ours) == pytest.approx(result(theirs), rel=1e-5)
    np.testing.assert_array_equal(ours.confusion_matrix(), keras.ops.convert_to_numpy(theirs.total_cm))


@backend
def test_absent_classes_are_left_out_and_invented_ones_count_zero():
    labels = np.array([[[0, 0, 1, 1]]])
    predictions = np.eye(4, dtype="float32")[np.array([[[0, 0, 1, 2]]])]
    metric = fed(MeanIoU(4), labels, predictions)
    np.testing.assert_array_equal(metric.class_ious(), [1, 0.5, 0, np.nan])
    assert result(metric) == pytest.approx(0.5)


@backend
@pytest.mark.parametrize("kind", METRICS)
def test_what_is_predicted_for_ignored_pixels_does_not_matter(kind):
    others = np.where((LABELS == 255)[..., None], PREDICTIONS[..., ::-1], PREDICTIONS)
    assert result(fed(kind(CLASSES), LABELS, others)) == result(fed(kind(CLASSES)))
    assert result(fed(kind(CLASSES), np.full_like(LABELS, 255))) == 0


@backend
@pytest.mark.parametrize("kind", METRICS)
def test_a_label_that_is_no_class_is_not_hidden(kind):
    labels = LABELS.copy()
    labels[3, 0, 0] = CLASSES
    assert np.isnan(result(fed(kind(CLASSES), labels)))


@backend
def test_counts_stay_exact_beyond_those_of_float32():
    metric = MeanIoU(2)
    metric.low.assign([[2.0**22 - 3, 0], [0, 0]])
    metric.high.assign([[2.0**20, 0], [0, 0]])
    labels, predictions = np.zeros((1, 1, 5), int), np.eye(2, dtype="float32")[np.zeros((1, 1, 5), int)]
    for _ in range(3):
        metric.update_state(labels, predictions)
    assert metric.confusion_matrix()[0, 0] == 2.0**42 + 2.0**22 - 3 + 15


@backend
@pytest.mark.parametrize("kind", METRICS)
def test_it_is_saved_with_its_arguments(kind):
    metric = keras.metrics.deserialize(keras.metrics.serialize(kind(3, ignore_class=-1)))
    assert type(metric) is kind and (metric.classes, metric.ignore_class) == (3, -1)


@backend
@pytest.mark.parametrize(("argument", "value"), [("classes", 0), ("classes", 2.0), ("ignore_class", "void")])
def test_arguments_out_of_range_are_named(argument, value):
    with pytest.raises(ValueError, match=f"Received: {argument}="):
        MeanIoU(**{"classes": 3, argument: value})


@backend
def test_other_classes_and_weights_are_refused():
    with pytest.raises(ValueError, match="Expected predictions for 3 classes"):
        MeanIoU(3).update_state(LABELS, PREDICTIONS)
    with pytest.raises(ValueError, match="Expected no weights"):
        MeanIoU(CLASSES).update_state(LABELS, PREDICTIONS, np.ones(6))


@pytest.mark.parametrize("kind", METRICS)
def test_two_replicas_give_what_one_device_gives(two_replicas, kind):
    import tensorflow as tf

    def evaluated(strategy):
        with strategy.scope():
            model = keras.Sequential([keras.Input((5, 7, CLASSES)), keras.layers.Activation("linear")])
            model.compile(loss=PixelCrossentropy(), metrics=[kind(CLASSES)])
        data = tf.data.Dataset.from_tensor_slices((PREDICTIONS, LABELS)).batch(4)
        return list(model.evaluate(data, verbose=0, return_dict=True).values())[-1]

    assert evaluated(two_replicas) == pytest.approx(evaluated(tf.distribute.get_strategy()), rel=1e-6)
    assert evaluated(two_replicas) == pytest.approx(formula(kind, LABELS, PREDICTIONS), rel=1e-6)
