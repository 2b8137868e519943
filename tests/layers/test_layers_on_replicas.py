"""Masks of stochastic depth and dropout on replicas of a TensorFlow strategy."""

from contextlib import nullcontext

import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks import layers
from keras_tricks.layers import Dropout, StochasticDepth


@pytest.mark.parametrize("kind", [StochasticDepth, Dropout])
def test_every_replica_draws_its_own_mask_and_the_first_draws_that_of_one_device(kind, two_replicas):
    import tensorflow as tf

    ones = tf.ones((500, 1))
    with two_replicas.scope():
        layer = kind(0.5, seed=1)
    draw = tf.function(lambda: two_replicas.run(lambda: layer(ones, training=True)))
    single = kind(0.5, seed=1)
    for _ in range(2):
        first, second = (mask.numpy() > 0 for mask in two_replicas.experimental_local_results(draw()))
        assert (first != second).mean() > 0.3
        np.testing.assert_array_equal(first, ops.convert_to_numpy(single(ones, training=True)) > 0)


def test_a_layer_with_the_next_seed_does_not_repeat_the_second_replica(two_replicas):
    import tensorflow as tf

    ones = tf.ones((500, 1))
    with two_replicas.scope():
        layer = StochasticDepth(0.5, seed=1)
    _, second = two_replicas.experimental_local_results(two_replicas.run(lambda: layer(ones, training=True)))
    neighbour = ops.convert_to_numpy(StochasticDepth(0.5, seed=2)(ones, training=True))
    assert (second.numpy() != neighbour).mean() > 0.3


def test_all_layers_train_on_replicas(two_replicas):
    images = np.random.default_rng(0).standard_normal((8, 8, 8, 4)).astype("float32")

    def trained(scope):
        keras.utils.set_random_seed(0)
        with scope:
            inputs = keras.Input((8, 8, 4))
            x = layers.ScaledActivation("gelu")(layers.ScaledStandardizedConv2D(4, 3, groups=2)(inputs))
            x = layers.SkipInit(0.5, gain_initializer="ones")(layers.SqueezeExcite()(x))
            x = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x))
            model = keras.Model(inputs, x)
            model.compile(keras.optimizers.SGD(1.0), "mse")
        model.fit(images, np.ones((8, 3)), batch_size=4, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    for ours, single in zip(trained(two_replicas.scope()), trained(nullcontext()), strict=True):
        np.testing.assert_allclose(ours, single, rtol=1e-4, atol=1e-5)
