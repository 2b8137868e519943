import numpy as np
import pytest
from keras import ops

from keras_tricks.layers import SkipInit

pytestmark = pytest.mark.backend


def test_starts_at_zero_and_multiplies_by_gain_and_scale():
    branch = np.random.default_rng(0).standard_normal((2, 3, 3, 4)).astype("float32")
    layer = SkipInit(scale=0.2)
    assert not ops.convert_to_numpy(layer(branch)).any()
    layer.skip_gain.assign(1.5)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(branch)), branch * 0.3, rtol=1e-6)
    assert layer.compute_output_shape(branch.shape) == branch.shape


def test_there_is_one_scalar_that_bias_patterns_can_name():
    layer = SkipInit(gain_initializer="ones", name="skip")
    layer.build((None, 8))
    assert [(weight.path, tuple(weight.shape)) for weight in layer.trainable_weights] == [("skip/skip_gain", ())]
    assert float(layer.skip_gain) == 1


def test_config_round_trip():
    layer = SkipInit(scale=0.2, gain_initializer="ones", name="skip")
    assert SkipInit.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize("scale", ["0.2", float("inf"), True])
def test_wrong_scale_says_what_was_expected(scale):
    with pytest.raises(ValueError, match=f"finite number. Received: scale={scale!r}"):
        SkipInit(scale=scale)
