import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks import layers


@pytest.mark.backend
def test_a_model_of_all_layers_is_saved_and_loaded(tmp_path):
    inputs = keras.Input((None, None, 3))
    x = layers.ScaledStandardizedConv2D(8, 3, padding="symmetric", epsilon=1e-5, epsilon_mode="add", scale=1.7)(inputs)
    x = layers.ScaledActivation("gelu")(x)
    branch = layers.ScaledStandardizedConv2D(8, 3, padding="same", groups=2, kernel_initializer="he_normal")(x)
    branch = layers.SqueezeExcite(0.5, scale=2.0)(branch)
    branch = layers.StochasticDepth(0.5, seed=1)(branch)
    x = keras.layers.Add()([x, layers.SkipInit(0.2, gain_initializer="ones")(layers.Dropout(0.1, seed=1)(branch))])
    model = keras.Model(inputs, x)
    model.set_weights([np.random.default_rng(2).uniform(0.1, 1, weight.shape) for weight in model.weights])
    images = np.random.default_rng(3).standard_normal((2, 9, 9, 3)).astype("float32")
    expected = ops.convert_to_numpy(model(images))
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    copy = keras.models.clone_model(model)
    copy.load_weights(tmp_path / "model.weights.h5")
    for other in (loaded, copy):
        assert [type(layer) for layer in other.layers] == [type(layer) for layer in model.layers]
        np.testing.assert_array_equal(ops.convert_to_numpy(other(images)), expected)
    drawn = [ops.convert_to_numpy(each(images, training=True)) for each in (model, loaded)]
    np.testing.assert_allclose(drawn[0], drawn[1], rtol=1e-6)
