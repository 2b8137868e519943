import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_tricks.optimizers import SGD, AdaptiveGradientClipping, GradientClipping, LossScaleOptimizer
from keras_tricks.optimizers.gradient_clipping import clip_by_global_norm

pytestmark = pytest.mark.backend


def global_norm(arrays):
    return float(np.sqrt(sum(np.sum(np.square(np.asarray(each, "float64"))) for each in arrays)))


def clipped(arrays, max_norm):
    tensors = [None if each is None else keras.ops.convert_to_tensor(np.asarray(each, "float32")) for each in arrays]
    return [
        None if each is None else keras.ops.convert_to_numpy(each) for each in clip_by_global_norm(tensors, max_norm)
    ]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-100, 100, width=32), min_size=3, max_size=3), st.floats(0.01, 1000))
def test_the_norm_is_bounded_and_the_direction_stays(values, max_norm):
    arrays = [np.array(values[:2]), np.array(values[2])]
    norm = global_norm(arrays)
    once = clipped(arrays, max_norm)
    assert global_norm(once) <= max_norm * (1 + 1e-5)
    factor = min(1.0, max_norm / norm) if norm else 1.0
    for one, other in zip(once, arrays, strict=True):
        np.testing.assert_allclose(one, other * factor, rtol=1e-5, atol=1e-30)
    for one, other in zip(clipped(once, max_norm), once, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nothing_that_is_not_finite_is_hidden(bad):
    first, missing, second = clipped([[1.0, bad], None, [1.0]], 1.0)
    assert np.isnan(first).all()
    assert missing is None
    assert np.isnan(second).all()


def fit(optimizer, steps=4):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1, name="predictions")])
    model.compile(optimizer, "mse")
    x = np.random.default_rng(0).normal(size=(8 * steps, 3)).astype("float32")
    model.fit(x, 9 * x.sum(1, keepdims=True), batch_size=8, shuffle=False, verbose=0)
    return [keras.ops.convert_to_numpy(each) for each in model.weights]


def test_it_equals_keras_on_one_device_where_keras_has_it():
    ours = fit(GradientClipping(keras.optimizers.SGD(0.1, momentum=0.9), max_norm=0.5))
    keras_own = fit(keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.5))
    unclipped = fit(keras.optimizers.SGD(0.1, momentum=0.9))
    for one, other in zip(ours, keras_own, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert max(np.abs(one - other).max() for one, other in zip(ours, unclipped, strict=True)) > 0.1


def test_a_bound_that_nothing_reaches_changes_nothing():
    for one, other in zip(fit(GradientClipping(SGD(0.01), max_norm=1e6)), fit(SGD(0.01)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_it_clips_before_adaptive_clipping_and_inside_of_loss_scaling():
    def agc():
        return AdaptiveGradientClipping(SGD(0.1), clipping=0.5)

    both = fit(GradientClipping(agc(), max_norm=1e-3))
    scaled = fit(LossScaleOptimizer(GradientClipping(agc(), max_norm=1e-3), initial_scale=64.0))
    one_alone = fit(agc())
    for one, other in zip(both, scaled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    assert max(np.abs(one - other).max() for one, other in zip(both, one_alone, strict=True)) > 1e-3


def test_its_config_makes_an_equal_one():
    optimizer = GradientClipping(AdaptiveGradientClipping(SGD(0.2)), max_norm=2)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert again.max_norm == 2.0
    assert again.inner_optimizer.inner_optimizer.get_config()["learning_rate"] == pytest.approx(0.2)


@pytest.mark.parametrize("max_norm", [0, -1.0, np.inf, np.nan, "1"])
def test_bad_norms_are_named(max_norm):
    with pytest.raises(ValueError, match="Received: max_norm="):
        GradientClipping(SGD(0.1), max_norm)


@pytest.mark.parametrize("kind", [str, LossScaleOptimizer, GradientClipping])
def test_what_cannot_be_clipped_for_is_refused(kind):
    with pytest.raises(ValueError, match="LossScaleOptimizer goes outside"):
        GradientClipping(kind(SGD(0.1)))
