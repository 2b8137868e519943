import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks.layers import DilatedAveragePooling2D


def reference(x, d):
    """Average what is there of the four values, in NumPy."""
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (0, d), (0, d), (0, 0)), constant_values=np.nan)
    corners = [padded[:, i : i + height, j : j + width] for i in (0, d) for j in (0, d)]
    return np.nanmean(corners, axis=0)


@pytest.mark.backend
@pytest.mark.parametrize("d", [1, 2, 4])
@pytest.mark.parametrize("size", [(6, 5), (2, 1), (1, 7)])
def test_averages_are_those_of_the_values_that_are_there(size, d):
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
    pool = DilatedAveragePooling2D(d)
    np.testing.assert_allclose(ops.convert_to_numpy(pool(x)), reference(x, d), rtol=1e-5, atol=1e-6)
    assert pool.compute_output_shape(x.shape) == x.shape


@pytest.mark.backend
def test_without_dilation_it_is_an_average_pool_of_stride_one():
    x = np.random.default_rng(1).normal(size=(2, 5, 4, 3)).astype("float32")
    expected = keras.layers.AveragePooling2D(2, strides=1, padding="same")(x)
    np.testing.assert_allclose(
        ops.convert_to_numpy(DilatedAveragePooling2D()(x)), ops.convert_to_numpy(expected), rtol=1e-5, atol=1e-6
    )


@pytest.mark.backend
def test_size_may_be_unknown_and_the_layer_is_saved(tmp_path):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, DilatedAveragePooling2D(2)(inputs))
    assert model.output_shape == (None, None, None, 3)
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(2).normal(size=(1, 5, 4, 3)).astype("float32")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), reference(x, 2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rate", [0, -1, 1.5, True, "1"])
def test_wrong_rates_say_what_was_expected(rate):
    with pytest.raises(ValueError, match=r"at least 1. Received: dilation_rate="):
        DilatedAveragePooling2D(rate)
