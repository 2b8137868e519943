import keras
import numpy as np
import pytest

from keras_tricks.losses import PixelCrossentropy

pytestmark = pytest.mark.backend
CLASSES = 5
GENERATOR = np.random.default_rng(0)
LOGITS = GENERATOR.normal(0, 3, (3, 4, 6, CLASSES)).astype("float32")
LABELS = GENERATOR.integers(0, CLASSES, (3, 4, 6))
LABELS[0, :2] = 255
LABELS[2] = 255


def numpy_of(tensor):
    return keras.ops.convert_to_numpy(tensor)


def formula(labels, logits, smoothing, ignored=255):
    """The loss of each image in float64, pixel by pixel."""
    losses = np.zeros(labels.shape)
    for place in np.ndindex(labels.shape):
        if labels[place] == ignored:
            continue
        z = logits[place].astype("float64")
        logarithms = z - z.max() - np.log(np.exp(z - z.max()).sum())
        target = np.full(CLASSES, smoothing / CLASSES)
        target[labels[place]] += 1 - smoothing
        losses[place] = -(target * logarithms).sum()
    return losses.mean((1, 2))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_the_loss_is_the_formula(smoothing):
    loss = PixelCrossentropy(smoothing, reduction="none")
    expected = formula(LABELS, LOGITS, smoothing)
    np.testing.assert_allclose(numpy_of(loss(LABELS, LOGITS)), expected, rtol=1e-5)
    assert expected[2] == 0
    mean = numpy_of(PixelCrossentropy(smoothing)(LABELS, LOGITS))
    np.testing.assert_allclose(mean, expected.mean(), rtol=1e-5)
    weights = np.array([1.0, 0.5, 2.0], "float32")
    np.testing.assert_allclose(numpy_of(loss(LABELS, LOGITS, weights)), weights * expected, rtol=1e-5)


def test_probabilities_give_what_their_logits_give():
    probabilities = numpy_of(keras.ops.softmax(LOGITS))
    got = PixelCrossentropy(0.1, from_logits=False, reduction="none")(LABELS, probabilities)
    np.testing.assert_allclose(numpy_of(got), formula(LABELS, LOGITS, 0.1), rtol=1e-4)


def test_zero_smoothing_is_the_loss_of_keras():
    labels = np.where(LABELS == 255, 0, LABELS)
    expected = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, LOGITS)
    np.testing.assert_allclose(numpy_of(PixelCrossentropy()(labels, LOGITS)), numpy_of(expected), rtol=1e-6)


def test_another_label_is_ignored():
    labels = np.where(LABELS == 255, -1, LABELS)
    got = PixelCrossentropy(0.1, ignore_class=-1, reduction="none")(labels, LOGITS)
    np.testing.assert_allclose(numpy_of(got), formula(labels, LOGITS, 0.1, -1), rtol=1e-5)


def test_what_is_predicted_for_ignored_pixels_does_not_matter():
    others = np.where((LABELS == 255)[..., None], np.float32(1e30), LOGITS)
    loss = PixelCrossentropy(0.1)
    np.testing.assert_array_equal(numpy_of(loss(LABELS, others)), numpy_of(loss(LABELS, LOGITS)))


def test_half_precision_neither_overflows_nor_rounds():
    wide = (LOGITS * 5000).clip(-60000, 60000).astype("float16")
    got = numpy_of(PixelCrossentropy(0.1, reduction="none")(LABELS, keras.ops.convert_to_tensor(wide)))
    np.testing.assert_allclose(got, formula(LABELS, wide, 0.1), rtol=1e-5)
    assert got.dtype == "float32" and np.isfinite(got).all()


def test_shares_of_a_batch_give_the_whole():
    loss = PixelCrossentropy(0.1)
    parts = [numpy_of(loss(LABELS[place : place + 1], LOGITS[place : place + 1])) for place in range(3)]
    np.testing.assert_allclose(np.mean(parts), numpy_of(loss(LABELS, LOGITS)), rtol=1e-6)


def test_it_is_saved_with_its_arguments():
    loss = keras.losses.deserialize(keras.losses.serialize(PixelCrossentropy(0.2, ignore_class=7, from_logits=False)))
    assert (loss.label_smoothing, loss.ignore_class, loss.from_logits) == (0.2, 7, False)


@pytest.mark.parametrize(
    ("argument", "value"), [("label_smoothing", 1), ("label_smoothing", -0.1), ("ignore_class", 2.5)]
)
def test_arguments_out_of_range_are_named(argument, value):
    with pytest.raises(ValueError, match=f"Received: {argument}={value}"):
        PixelCrossentropy(**{argument: value})
