import keras
import numpy as np
import pytest

from keras_tricks.optimizers import NO_BIAS_DECAY, SGD, AdaptiveGradientClipping
from keras_tricks.schedules import Warmup

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="replicas and tf.function are TensorFlow's"
)


def train(make_optimizer, steps=10):
    keras.utils.set_random_seed(5)
    inputs = keras.Input((5, 5, 2))
    hidden = keras.layers.Conv2D(4, 3, activation="tanh", name="conv")(inputs)
    hidden = keras.layers.Flatten()(hidden)
    model = keras.Model(inputs, keras.layers.Dense(3, name="predictions")(hidden))
    model.compile(make_optimizer(), loss="mse")
    generator = np.random.default_rng(5)
    images = generator.normal(size=(8 * steps, 5, 5, 2)).astype("float32")
    # The two halves of a batch pull apart, so that clipping before their sum would show.
    targets = generator.normal(size=(8 * steps, 3)).astype("float32") * np.tile([9.0] * 4 + [1.0] * 4, steps)[:, None]
    model.fit(images, targets, batch_size=8, shuffle=False, verbose=0)
    return model


OPTIMIZERS = {
    "sgd": lambda: SGD(
        Warmup(0.2, 4), weight_decay=0.05, no_decay=NO_BIAS_DECAY, rate_multipliers={"predictions": 0.5}
    ),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
}


@pytest.mark.parametrize(("name", "loss_scale"), [("sgd", False), ("adamw", True)])
def test_two_replicas_equal_one_device(two_replicas, name, loss_scale):
    def clipped():
        optimizer = AdaptiveGradientClipping(OPTIMIZERS[name](), clipping=0.02)
        return keras.optimizers.LossScaleOptimizer(optimizer) if loss_scale else optimizer

    single = train(clipped)
    with two_replicas.scope():
        mirrored = train(clipped)
    for ours, theirs in zip(single.weights, mirrored.weights, strict=True):
        np.testing.assert_allclose(theirs.numpy(), ours.numpy(), rtol=0, atol=1e-6)
        replicas = two_replicas.experimental_local_results(theirs.value)
        np.testing.assert_array_equal(replicas[0].numpy(), replicas[1].numpy())
    unclipped = train(OPTIMIZERS[name])
    change = np.abs(single.get_layer("conv").kernel - unclipped.get_layer("conv").kernel)
    assert change.max() > 1e-3


def test_sparse_gradient_equals_the_dense_one():
    import tensorflow as tf

    tables = [keras.Variable(np.ones((4, 2), "float32")) for _ in range(2)]
    optimizers = [AdaptiveGradientClipping(SGD(1.0), no_clipping=()) for _ in tables]
    for rows in ([0, 1, 1], [3, 0, 3]):
        sparse = tf.IndexedSlices(tf.ones((3, 2)), tf.constant(rows), tf.constant([4, 2]))
        optimizers[0].apply([sparse], [tables[0]])
        optimizers[1].apply([tf.convert_to_tensor(sparse)], [tables[1]])
    np.testing.assert_allclose(tables[0].numpy(), tables[1].numpy(), rtol=1e-6)
    assert not np.allclose(tables[0].numpy()[1], 1)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_same_step_in_a_compiled_function(jit_compile):
    import tensorflow as tf

    weights = [keras.Variable(np.arange(6, dtype="float32").reshape(3, 2)) for _ in range(2)]
    optimizers = [AdaptiveGradientClipping(SGD(Warmup(0.1, 4)), no_clipping=()) for _ in weights]
    for optimizer, weight in zip(optimizers, weights, strict=True):
        optimizer.build([weight])

    @tf.function(jit_compile=jit_compile)
    def compiled(gradient):
        optimizers[1].apply([gradient], [weights[1]])

    for scale in (1.0, -2.0, 3.0):
        gradient = tf.fill((3, 2), scale)
        optimizers[0].apply([gradient], [weights[0]])
        compiled(gradient)
    np.testing.assert_allclose(weights[1].numpy(), weights[0].numpy(), rtol=1e-6)


def test_keras_swap_callback_finds_the_average():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="predictions")])
    optimizer = AdaptiveGradientClipping(SGD(0.1, use_ema=True, ema_momentum=0.5))
    model.compile(optimizer, loss="mse", run_eagerly=True)
    images, targets = np.ones((8, 2)), np.ones((8, 1))
    model.fit(images, targets, batch_size=4, epochs=3, callbacks=[keras.callbacks.SwapEMAWeights(True)], verbose=0)
    swapped = model.get_weights()
    for each in model.trainable_variables:
        each.assign(each + 1)
    optimizer.finalize_variable_values(model.trainable_variables)
    for ours, theirs in zip(model.get_weights(), swapped, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
