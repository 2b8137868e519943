import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_tricks.layers import StochasticDepth

pytestmark = pytest.mark.backend


def kept(layer, samples=2000):
    """Return which samples the layer keeps in one call."""
    outputs = ops.convert_to_numpy(layer(np.ones((samples, 1, 1, 1), "float32"), training=True))
    return outputs[:, 0, 0, 0] > 0


@settings(max_examples=15, deadline=None)
@given(st.floats(0, 0.95), st.booleans(), st.integers(0, 10**6))
def test_each_sample_is_kept_whole_or_dropped_whole(rate, rescale, seed):
    branch = np.random.default_rng(0).uniform(1, 2, (64, 2, 2, 3)).astype("float32")
    outputs = ops.convert_to_numpy(StochasticDepth(rate, rescale=rescale, seed=seed)(branch, training=True))
    keep = outputs[:, 0, 0, 0] != 0
    np.testing.assert_array_equal(outputs[~keep], 0)
    factor = 1 / (1 - rate) if rescale else 1
    np.testing.assert_allclose(outputs[keep], branch[keep] * factor, rtol=1e-5)


def test_samples_are_dropped_at_the_rate_and_not_all_at_once():
    layer = StochasticDepth(0.25, seed=1)
    share = np.mean([kept(layer) for _ in range(5)])
    assert share == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize(("rescale", "mean"), [(False, 0.6), (True, 1.0)])
def test_only_rescaling_keeps_the_mean(rescale, mean):
    layer = StochasticDepth(0.4, rescale=rescale, seed=2)
    outputs = ops.convert_to_numpy(layer(np.ones((20_000, 1), "float32"), training=True))
    assert outputs.mean() == pytest.approx(mean, abs=0.02)


@pytest.mark.parametrize(("rate", "training"), [(0.9, False), (0.0, True)])
def test_inputs_pass_in_inference_and_at_rate_zero(rate, training):
    branch = np.random.default_rng(1).standard_normal((8, 2, 2, 3)).astype("float32")
    outputs = StochasticDepth(rate)(branch, training=training)
    np.testing.assert_array_equal(ops.convert_to_numpy(outputs), branch)


def test_seed_decides_the_masks_and_each_call_draws_another():
    first, again, other = StochasticDepth(0.5, seed=3), StochasticDepth(0.5, seed=3), StochasticDepth(0.5, seed=4)
    masks = [kept(first), kept(first)]
    np.testing.assert_array_equal(kept(again), masks[0])
    np.testing.assert_array_equal(kept(again), masks[1])
    assert (masks[0] != masks[1]).mean() > 0.4
    assert (kept(other) != masks[0]).mean() > 0.4


def test_without_a_seed_two_layers_differ():
    assert (kept(StochasticDepth(0.5)) != kept(StochasticDepth(0.5))).mean() > 0.4


def test_half_precision_keeps_its_type():
    layer = StochasticDepth(0.5, rescale=True, dtype="mixed_float16", seed=5)
    outputs = layer(np.ones((64, 3), "float16"), training=True)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float16"
    assert set(np.unique(ops.convert_to_numpy(outputs))) == {0, 2}


def test_config_round_trip():
    layer = StochasticDepth(0.1, rescale=True, seed=6, name="drop")
    assert StochasticDepth.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 1}, r"in \[0, 1\). Received: rate=1"),
        ({"rate": -0.1}, "Received: rate=-0.1"),
        ({"rate": "0.1"}, "Received: rate='0.1'"),
        ({"rate": True}, "Received: rate=True"),
        ({"rate": 0.1, "rescale": 1}, "a bool. Received: rescale=1"),
        ({"rate": 0.1, "seed": "one"}, "seed=one"),
    ],
)
def test_wrong_arguments_say_what_was_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        StochasticDepth(**arguments)
