"""What each trick of the NFNet paper does to the objects of its stages, and at zero strength."""

import keras
import numpy as np
import pytest

from keras_tricks import callbacks, models, optimizers, tricks
from keras_tricks.layers import Dropout, StochasticDepth
from keras_tricks.trick import RunFacts

pytestmark = pytest.mark.backend


def facts(model="nfnet_f0", **changes):
    defaults = {"classes": 4, "image_size": 16, "batch_size": 8, "replicas": 1, "epochs": 2, "steps_per_epoch": 3}
    return RunFacts(model=model, **{**defaults, **changes})


def one_step(optimizer, weights, gradients):
    """Return the weights of one dense layer, its bias and a classifier after one step."""
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, name="fc"), keras.layers.Dense(2, name="predictions")]
    )
    model.set_weights(weights)
    optimizer.build(model.trainable_variables)
    if keras.backend.backend() == "jax":
        values, _ = optimizer.stateless_apply(
            [each.value for each in optimizer.variables],
            [keras.ops.convert_to_tensor(each) for each in gradients],
            [each.value for each in model.trainable_variables],
        )
        return [np.asarray(each) for each in values]
    optimizer.apply([keras.ops.convert_to_tensor(each) for each in gradients], model.trainable_variables)
    return model.get_weights()


@pytest.mark.parametrize(("clipping", "clips"), [(0.02, True), (10.0, False)])
def test_adaptive_gradient_clipping_is_the_papers_but_for_the_classifiers_kernel(clipping, clips):
    rng = np.random.default_rng(0)
    shapes = [(3, 4), (4,), (4, 2), (2,)]
    weights = [rng.normal(size=shape).astype("float32") for shape in shapes]
    weights[1][:] = 0
    gradients = [rng.normal(size=shape).astype("float32") * 0.5 for shape in shapes]
    if not clips:
        weights[1][:] = 1
    sgd = optimizers.SGD(1.0, momentum=0.0, nesterov=False)
    trick = tricks.AdaptiveGradientClipping(clipping=clipping)
    after = one_step(trick.change_optimizer(sgd, facts()), weights, gradients)

    def expected(weight, gradient, axis):
        norm = np.sqrt((gradient**2).sum(axis=axis, keepdims=True))
        bound = clipping * np.maximum(np.sqrt((weight**2).sum(axis=axis, keepdims=True)), 1e-3)
        return weight - np.where(norm > bound, gradient * bound / np.maximum(norm, 1e-6), gradient)

    np.testing.assert_allclose(after[0], expected(weights[0], gradients[0], 0), rtol=1e-5)
    np.testing.assert_allclose(after[1], expected(weights[1], gradients[1], None), rtol=1e-5)
    np.testing.assert_allclose(after[2], weights[2] - gradients[2], rtol=1e-5, atol=1e-6)
    assert np.allclose(after[0], weights[0] - gradients[0], atol=1e-5) == (not clips)


def test_no_bias_decay_holds_under_adaptive_gradient_clipping():
    optimizer = optimizers.SGD(1.0, momentum=0.0, nesterov=False, weight_decay=0.1)
    for trick in (tricks.NoBiasDecay(), tricks.AdaptiveGradientClipping()):
        optimizer = trick.change_optimizer(optimizer, facts())
    weights = [np.ones(shape, "float32") for shape in [(3, 4), (4,), (4, 2), (2,)]]
    after = one_step(optimizer, weights, [np.zeros_like(each) for each in weights])
    for place, value in enumerate((0.9, 1.0, 0.9, 1.0)):
        np.testing.assert_allclose(after[place], value, rtol=1e-6)


@pytest.mark.parametrize(
    ("trick", "argument", "value"),
    [
        (tricks.StochasticDepth(), "stochastic_depth_rate", 0.25),
        (tricks.StochasticDepth(rate=0.1), "stochastic_depth_rate", 0.1),
        (tricks.HeadDropout(), "dropout_rate", 0.4),
        (tricks.HeadDropout(rate=0.1), "dropout_rate", 0.1),
    ],
)
def test_rates_are_the_builders_arguments_and_the_published_ones_by_default(trick, argument, value):
    assert trick.change_model({"classes": 3}, facts("nfnet_f2")) == {"classes": 3, argument: value}


def tiny(arguments):
    with keras.StatelessScope(initialize_variables=False):
        return models.NFNetTiny(input_shape=(16, 16, 3), classes=4, **arguments)


def test_stochastic_depth_grows_linearly_and_zero_is_none():
    def rates(rate):
        model = tiny(tricks.StochasticDepth(rate=rate).change_model({}, facts("nfnet_tiny")))
        return [layer.rate for layer in model.layers if isinstance(layer, StochasticDepth)]

    np.testing.assert_allclose(rates(0.5), [0.1, 0.2, 0.3, 0.4])
    assert rates(0.0) == []


def test_head_dropout_stands_before_the_classifier_and_zero_is_none():
    def rates(rate):
        model = tiny(tricks.HeadDropout(rate=rate).change_model({}, facts("nfnet_tiny")))
        return [layer.rate for layer in model.layers if isinstance(layer, Dropout)], model

    found, model = rates(0.3)
    assert found == [0.3]
    assert model.get_layer("predictions").input is model.get_layer("dropout").output
    assert rates(0.0)[0] == []


def test_weight_averaging_is_the_callback_with_this_decay():
    [callback] = tricks.WeightAveraging(decay=0.9).callbacks(facts())
    assert isinstance(callback, callbacks.WeightAveraging)
    assert callback.decay == 0.9
