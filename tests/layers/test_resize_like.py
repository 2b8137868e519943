import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks.layers import ResizeLike


def reference(row, size):
    """Interpolate linearly between the middles of pixels, with the edges going on."""
    places = (np.arange(size) + 0.5) * len(row) / size - 0.5
    return np.interp(places, np.arange(len(row)), row)


@pytest.mark.backend
@pytest.mark.parametrize(("old", "new"), [(3, 12), (4, 7), (5, 5), (1, 4)])
def test_rows_are_interpolated_between_the_middles_of_pixels(old, new):
    row = np.random.default_rng(0).normal(size=old)
    maps = np.broadcast_to(row[None, None, :, None], (2, old, old, 3)).astype("float32")
    resized = ops.convert_to_numpy(ResizeLike()([maps, np.zeros((2, new + 1, new, 1), "float32")]))
    assert resized.shape == (2, new + 1, new, 3)
    expected = np.broadcast_to(reference(row, new)[None, None, :, None], resized.shape)
    np.testing.assert_allclose(resized, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.backend
def test_size_may_be_unknown_and_the_layer_is_saved(tmp_path):
    images, maps = keras.Input((None, None, 3)), keras.Input((None, None, 2))
    model = keras.Model([images, maps], ResizeLike(name="up")([maps, images]))
    assert model.output_shape == (None, None, None, 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    batch = [np.zeros((1, 9, 5, 3), "float32"), np.ones((1, 3, 2, 2), "float32")]
    for each in (model, loaded):
        np.testing.assert_allclose(each.predict(batch, verbose=0), np.ones((1, 9, 5, 2)), rtol=1e-6)


def test_a_step_is_traced_for_images_of_any_size():
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("graphs of unknown sizes are TensorFlow's")
    layer = ResizeLike(dtype="float16")
    any_size = tf.TensorSpec((None, None, None, 2), "float16")
    resize = tf.function(lambda maps, images: layer([maps, images]), input_signature=[any_size, any_size])
    maps, images = tf.ones((1, 3, 2, 2), "float16"), tf.zeros((1, 9, 5, 2), "float16")
    resized = resize(maps, images)
    assert resized.dtype == "float16"
    np.testing.assert_allclose(resized, np.ones((1, 9, 5, 2)))
