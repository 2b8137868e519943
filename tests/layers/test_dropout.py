import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks.layers import Dropout

pytestmark = pytest.mark.backend


def test_draws_what_the_dropout_of_keras_does():
    ones = np.ones((50, 40), "float32")
    ours, theirs = Dropout(0.3, seed=1), keras.layers.Dropout(0.3, seed=1)
    for _ in range(2):
        outputs = ops.convert_to_numpy(ours(ones, training=True))
        np.testing.assert_array_equal(outputs, ops.convert_to_numpy(theirs(ones, training=True)))
        assert (outputs == 0).mean() == pytest.approx(0.3, abs=0.03)
        np.testing.assert_allclose(outputs[outputs != 0], 1 / 0.7, rtol=1e-6)


@pytest.mark.parametrize(("rate", "training"), [(0.9, False), (0.0, True)])
def test_inputs_pass_in_inference_and_at_rate_zero(rate, training):
    inputs = np.random.default_rng(1).standard_normal((8, 3)).astype("float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(Dropout(rate)(inputs, training=training)), inputs)


def test_config_round_trip():
    layer = Dropout(0.1, seed=6, name="dropout")
    assert Dropout.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize("rate", [1, -0.1, "0.1", True])
def test_wrong_rate_says_what_was_expected(rate):
    with pytest.raises(ValueError, match=rf"in \[0, 1\). Received: rate={rate!r}"):
        Dropout(rate)
