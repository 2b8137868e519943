"""What `keras_private` rests on is as it was, and what it mends is still broken.

When a test here fails, Keras or TensorFlow has changed: look whether the code in `keras_private` is still right, and
still needed.
"""

import inspect
import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_tricks.keras_private import before_updates

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="it is about the TensorFlow trainer")


def dense_model():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])


def test_keras_is_the_version_that_was_read():
    assert re.match(r"3\.15\.", keras.__version__)


def test_the_methods_of_the_optimizers_have_the_arguments_that_we_give():
    expected = {
        "update_step": ["self", "gradient", "variable", "learning_rate"],
        "_all_reduce_sum_gradients": ["self", "grads_and_vars"],
        "_backend_update_step": ["self", "grads", "trainable_variables", "learning_rate"],
        "_get_variable_index": ["self", "variable"],
    }
    for name, arguments in expected.items():
        assert list(inspect.signature(getattr(keras.optimizers.SGD, name)).parameters) == arguments


def test_an_optimizer_reduces_before_it_updates_each_variable(monkeypatch):
    calls = []
    optimizer = keras.optimizers.SGD(0.1)
    kind = type(optimizer)
    for name in ("_all_reduce_sum_gradients", "update_step"):
        method = getattr(kind, name)
        monkeypatch.setattr(
            kind, name, lambda self, *words, method=method, name=name: (calls.append(name), method(self, *words))[1]
        )
    variables = [keras.Variable(np.ones(2, "float32")), keras.Variable(np.float32(1))]
    optimizer.apply([keras.ops.ones(2), keras.ops.ones(())], variables)
    assert calls == ["_all_reduce_sum_gradients", "update_step", "update_step"]
    assert optimizer._trainable_variables == variables


@pytest.mark.parametrize("gradients", [2, 0], ids=["some", "none"])
def test_changes_of_gradients_act_in_turn_and_a_first_one_before_them(gradients):
    calls = []
    optimizer = keras.optimizers.SGD(1.0)
    variables = [keras.Variable(np.zeros(2, "float32")) for _ in range(2)]
    optimizer.build(variables)
    for name, first in (("gone", True), ("a", False), ("b", False), ("c", True)):

        def change(gradients, variables, name=name):
            calls.append((name, len(gradients), len(variables)))
            return [2 * each for each in gradients]

        before_updates(optimizer, change, first=first, name="first" if first else None)
    optimizer._backend_update_step([keras.ops.ones(2)] * gradients, variables[:gradients], keras.ops.ones(()))
    assert calls == [(name, gradients, gradients) for name in "cab"]
    for variable in variables[:gradients]:
        np.testing.assert_array_equal(variable.numpy(), [-8, -8])


def test_the_trainer_has_what_we_override_and_use():
    model = dense_model()
    model.compile("sgd", "mse")
    assert list(inspect.signature(model._make_function).parameters) == ["step_function"]
    assert list(inspect.signature(model._maybe_symbolic_build).parameters) == ["iterator", "data_batch"]
    assert list(inspect.signature(model._symbolic_build).parameters) == ["iterator", "data_batch"]
    assert isinstance(model._loss_tracker, keras.metrics.Mean)
    assert model._distribute_strategy is None
    assert "_make_function" in inspect.getsource(type(model).make_train_function)
    assert "logs = self.train_function(iterator)" in inspect.getsource(type(model).fit)


def fitted(strategy, optimizer=None, **compiled):
    with strategy.scope():
        model = dense_model()
        model.compile(optimizer() if optimizer else keras.optimizers.SGD(0.1), "mse", **compiled)
    ones = np.ones((8, 3), "float32")
    model.fit(ones, ones[:, :1], batch_size=4, verbose=0)


def test_keras_still_fails_with_several_steps_an_execution(two_replicas):
    with pytest.raises(Exception, match="placeholder"):
        fitted(two_replicas, steps_per_execution=2)


def test_keras_still_fails_to_accumulate_on_replicas(two_replicas):
    with pytest.raises(Exception, match="merge_call"):
        fitted(two_replicas, lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))


def test_keras_still_clips_each_replicas_own_gradient(two_replicas):
    """With gradients 7 and -1 of two replicas, whose mean is 3, clipping at 1 moves the weight by 0 and not by -1."""
    with two_replicas.scope():
        weight = keras.Variable(np.zeros(1, "float32"))
        optimizer = keras.optimizers.SGD(1.0, global_clipnorm=1.0)
        optimizer.build([weight])

    import tensorflow as tf

    def step():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        optimizer.apply([tf.where(tf.equal(replica, 0), [3.5], [-0.5])], [weight])

    two_replicas.run(tf.function(step, autograph=False))
    np.testing.assert_allclose(weight.numpy(), [-0.5])


def test_two_strategies_still_number_their_collective_operations_alike():
    code = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 3)
for count in (2, 3):
    strategy = tf.distribute.MirroredStrategy([f"CPU:{place}" for place in range(count)])
    step = tf.function(lambda: tf.distribute.get_replica_context().all_reduce("SUM", tf.ones(2)))
    strategy.run(step)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode != 0
    assert "joining a group with size" in answer.stderr


def test_fit_on_jax_keeps_the_values_where_we_read_them():
    pytest.importorskip("jax")
    code = """
import keras, numpy as np
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
class Look(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        state = getattr(self._model, "_jax_state", None)
        if state:
            assert set(state) >= {"trainable_variables", "non_trainable_variables", "optimizer_variables"}
            assert self._model._jax_state_synced is False
        seen.append(bool(state))
seen = []
model.fit(np.ones((8, 3)), np.ones((8, 1)), batch_size=2, verbose=0, callbacks=[Look()])
assert seen == [False, True, True, True], seen
"""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr[-2000:]
