import keras
import numpy as np
import pytest

from keras_tricks.optimizers import NO_BIAS_DECAY, SGD
from keras_tricks.schedules import Warmup

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="replicas and tf.function are TensorFlow's"
)


def train(steps, weight_decay, no_decay):
    keras.utils.set_random_seed(5)
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(8, activation="tanh", name="hidden")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, name="fc")(hidden))
    optimizer = SGD(Warmup(0.2, 4), weight_decay=weight_decay, no_decay=no_decay)
    optimizer.exclude_from_weight_decay(var_list=[model.get_layer("hidden").kernel])
    model.compile(optimizer, loss="mse")
    generator = np.random.default_rng(5)
    images = generator.normal(size=(8 * steps, 6)).astype("float32")
    targets = generator.normal(size=(8 * steps, 3)).astype("float32")
    model.fit(images, targets, batch_size=8, shuffle=False, verbose=0)
    return model


def test_two_replicas_equal_one_device(two_replicas):
    settings = {"weight_decay": 0.05, "no_decay": NO_BIAS_DECAY}
    single = train(10, **settings)
    with two_replicas.scope():
        mirrored = train(10, **settings)
    undecayed = train(10, weight_decay=0.0, no_decay=())
    for ours, theirs in zip(single.weights, mirrored.weights, strict=True):
        np.testing.assert_allclose(theirs.numpy(), ours.numpy(), rtol=0, atol=1e-6)
    for ours, theirs in zip(single.optimizer.variables, mirrored.optimizer.variables, strict=True):
        np.testing.assert_allclose(theirs.numpy(), ours.numpy(), rtol=0, atol=1e-6)
    change = np.abs(single.get_layer("fc").kernel - undecayed.get_layer("fc").kernel)
    assert change.max() > 1e-2


def test_decay_is_not_multiplied_by_the_replicas(two_replicas):
    with two_replicas.scope():
        weight = keras.Variable(np.ones(2, "float32"), name="kernel")
        optimizer = SGD(0.1, momentum=0, nesterov=False, weight_decay=0.5)
        optimizer.build([weight])
    import tensorflow as tf

    @tf.function
    def step():
        two_replicas.run(lambda: optimizer.apply([tf.constant([1.0, 2.0])], [weight]))

    step()
    for replica in two_replicas.experimental_local_results(weight.value):
        np.testing.assert_allclose(replica.numpy(), [1 - 0.1 * 2.5, 1 - 0.1 * 4.5], rtol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.1}])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sparse_gradient_equals_the_dense_one(momentum, settings):
    import tensorflow as tf

    tables = [keras.Variable(np.ones((4, 2), "float32")) for _ in range(2)]
    optimizers = [SGD(0.1, momentum, momentum > 0, **settings) for _ in tables]
    for rows in ([0, 1, 1], [3, 0, 3]):
        sparse = tf.IndexedSlices(tf.ones((3, 2)), tf.constant(rows), tf.constant([4, 2]))
        optimizers[0].apply([sparse], [tables[0]])
        optimizers[1].apply([tf.convert_to_tensor(sparse)], [tables[1]])
    np.testing.assert_allclose(tables[0].numpy(), tables[1].numpy(), rtol=1e-6)
    assert not np.allclose(tables[0].numpy()[1], 1)


def test_embedding_trains_in_fit_on_replicas(two_replicas):
    def train_embedding():
        table = keras.layers.Embedding(5, 2, embeddings_initializer="ones")
        model = keras.Sequential([keras.Input((2,)), table, keras.layers.Flatten()])
        model.compile(SGD(0.1, weight_decay=0.01), loss="mse")
        words = np.tile([[0, 1], [1, 1], [2, 1], [0, 3]], (3, 1))
        model.fit(words, np.zeros((12, 4)), batch_size=4, shuffle=False, verbose=0)
        return table.embeddings.numpy()

    single = train_embedding()
    with two_replicas.scope():
        mirrored = train_embedding()
    np.testing.assert_allclose(mirrored, single, rtol=0, atol=1e-6)
    assert np.all(single < 1)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_same_step_in_a_compiled_function(jit_compile):
    import tensorflow as tf

    weights = [keras.Variable(np.arange(3, dtype="float32")) for _ in range(2)]
    optimizers = [SGD(Warmup(0.1, 4), weight_decay=0.1, rate_multipliers={"*": 2.0}) for _ in weights]
    for optimizer, weight in zip(optimizers, weights, strict=True):
        optimizer.build([weight])

    @tf.function(jit_compile=jit_compile)
    def compiled(gradient):
        optimizers[1].apply([gradient], [weights[1]])

    for scale in (1.0, -2.0, 3.0):
        gradient = tf.fill((3,), scale)
        optimizers[0].apply([gradient], [weights[0]])
        compiled(gradient)
    np.testing.assert_allclose(weights[1].numpy(), weights[0].numpy(), rtol=1e-6)


def test_plain_tensorflow_variables_are_named_without_their_suffix():
    import tensorflow as tf

    kernel, bias = tf.Variable([1.0], name="kernel"), tf.Variable([1.0], name="bias")
    optimizer = SGD(0.1, weight_decay=0.1, no_decay=("bias",))
    optimizer.apply([tf.zeros(1), tf.zeros(1)], [kernel, bias])
    assert kernel.numpy() < 1 and bias.numpy() == 1
