"""What rows say of gradients, weights, loss scale and input wait, against NumPy, and that nothing else changes."""

import time

import keras
import numpy as np
import pytest

from keras_tricks.callbacks import GradientMonitor, InputWait, RunLogger
from keras_tricks.optimizers import SGD, AdaptiveGradientClipping, GradientClipping, LossScaleOptimizer
from keras_tricks.runs import MetricsHistory, Run, list_runs, schema

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(32, 3)).astype("float32")
Y = GENERATOR.normal(size=(32, 2)).astype("float32")
CLIPPING = 0.2
not_in_a_branch = pytest.mark.skipif(keras.backend.backend() == "jax", reason="a branch of JAX keeps no gradient")
tensorflow_only = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="replicas are TensorFlow's")


def linear(optimizer, loss="mse", **compiled):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2, name="linear")(inputs))
    model.compile(optimizer, loss, **compiled)
    return model


def clipped(optimizer):
    return AdaptiveGradientClipping(optimizer, CLIPPING, no_clipping=())


def gradients(kernel, bias, x, y):
    error = x @ kernel + bias - y
    return x.T @ error / len(x), error.mean(0)


def fitted(model, tmp_path, x=X, y=Y, batch_size=8, epochs=1, **options):
    logger = RunLogger(tmp_path, **options)
    model.fit(x, y, batch_size=batch_size, epochs=epochs, shuffle=False, verbose=0, callbacks=[logger])
    return Run(logger.run.directory)


def series(run, name, kind="step"):
    return run.metrics().series(name, kind)[1]


@pytest.mark.backend
@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "global_clipping_outside"])
def test_norm_and_clipped_share_are_those_of_the_gradient_that_is_used(tmp_path, wrapped):
    optimizer = clipped(SGD(0.0))
    model = linear(GradientClipping(optimizer, max_norm=0.1) if wrapped else optimizer)
    kernel, bias = model.get_weights()
    run = fitted(model, tmp_path, batch_size=32)
    kernel_gradient, bias_gradient = gradients(kernel, bias, X, Y)
    norm = np.sqrt((kernel_gradient**2).sum() + (bias_gradient**2).sum())
    np.testing.assert_allclose(series(run, "gradient_norm"), [norm], rtol=1e-5)
    factor = min(1, 0.1 / norm) if wrapped else 1
    units = factor * np.linalg.norm(kernel_gradient, axis=0) > CLIPPING * np.linalg.norm(kernel, axis=0)
    vector = factor * np.linalg.norm(bias_gradient) > CLIPPING * 1e-3
    np.testing.assert_allclose(series(run, "clipped_share"), [(units.mean() + vector) / 2], rtol=1e-6)
    layers = MetricsHistory(run.directory / schema.CLIPPING_FILE)
    [row] = layers.update()
    assert row.values == {"clipped_share/linear/kernel": units.mean(), "clipped_share/linear/bias": float(vector)}
    np.testing.assert_allclose(series(run, "weight_norm"), [np.sqrt((kernel**2).sum())], rtol=1e-6)


@pytest.mark.backend
def test_the_weights_of_a_model_without_input_shape_count_too(tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Dense(2, use_bias=False)])
    model.compile(SGD(0.0), "mse")
    run = fitted(model, tmp_path, batch_size=32)
    [kernel] = model.get_weights()
    np.testing.assert_allclose(series(run, "weight_norm"), [np.sqrt((kernel**2).sum())], rtol=1e-6)


@pytest.mark.backend
def test_watching_changes_nothing(tmp_path):
    ends = []
    for callbacks in ([], [RunLogger(tmp_path)]):
        model = linear(GradientClipping(clipped(SGD(0.1)), max_norm=0.5))
        model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
        ends.append(model.get_weights())
    for ours, theirs in zip(*ends, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.backend
@pytest.mark.parametrize("first", ["watched", "bare"])
def test_a_model_that_was_trained_already_is_measured_as_a_new_one_is(tmp_path, first):
    logger = [RunLogger(tmp_path / "first")] if first == "watched" else []
    model, fresh = linear(clipped(SGD(0.0))), linear(clipped(SGD(0.0)))
    model.fit(X, Y, batch_size=8, verbose=0, callbacks=logger)
    again, once = fitted(model, tmp_path / "again"), fitted(fresh, tmp_path / "once")
    for name in ("gradient_norm", "clipped_share"):
        assert len(series(once, name)) == 4
        np.testing.assert_allclose(series(again, name), series(once, name), rtol=1e-6)
    # The earlier monitor is rid of: each fit would leave more to compute.
    before = sum(isinstance(getattr(change, "__self__", None), GradientMonitor) for change in changes_of(model))
    assert before == 2


def changes_of(model):
    hooks = [value for value in vars(model.optimizer.inner_optimizer).values() if hasattr(value, "changes")]
    return [change for hook in hooks for _, change in hook.changes]


@pytest.mark.backend
def test_other_callbacks_and_a_later_fit_or_compile_see_nothing_of_it(tmp_path):
    backend = keras.backend.backend()
    model = linear(clipped(SGD(0.01)), steps_per_execution=1 if backend == "torch" else 2)
    arguments = {"batch_size": 8, "shuffle": False, "verbose": 0}
    seen = []
    spy = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(set(logs)))
    for logger in (RunLogger(tmp_path), None, RunLogger(tmp_path)):
        history = model.fit(X, Y, epochs=1, callbacks=[spy] if logger is None else [logger, spy], **arguments)
        assert set(history.history) == {"loss"}
        if logger is not None:
            assert np.isfinite(series(Run(logger.run.directory), "gradient_norm")).all()
    model.compile(SGD(0.01), "mse")
    assert set(model.fit(X, Y, callbacks=[spy], **arguments).history) == {"loss"}
    assert all(names == {"loss"} for names in seen)


@pytest.mark.backend
@pytest.mark.parametrize("optimizer", [SGD, keras.optimizers.Adam], ids=lambda kind: kind.__module__.split(".")[0])
def test_plain_optimizers_are_watched_and_only_where_a_row_is_due(tmp_path, optimizer, monkeypatch):
    wanted = []
    monkeypatch.setattr(
        GradientMonitor, "want", lambda monitor, want=GradientMonitor.want: (wanted.append(1), want(monitor))
    )
    run = fitted(linear(optimizer(0.01)), tmp_path, np.tile(X, (4, 1)), np.tile(Y, (4, 1)), batch_size=2, epochs=2)
    rows = len(series(run, "loss"))
    assert rows == 2 * 64 // 3
    assert len(wanted) == rows
    assert len(series(run, "gradient_norm")) == rows
    np.testing.assert_allclose(
        series(run, "gradient_norm", "epoch")[0], np.mean(series(run, "gradient_norm")[: rows // 2]), rtol=1e-6
    )


@pytest.mark.backend
@not_in_a_branch
def test_the_loss_scale_is_taken_out_and_a_skipped_step_has_no_norm(tmp_path):
    plain = fitted(linear(SGD(0.0)), tmp_path / "plain", batch_size=32)
    scaled = fitted(linear(LossScaleOptimizer(SGD(0.0), initial_scale=256.0)), tmp_path / "scaled", batch_size=32)
    np.testing.assert_allclose(series(scaled, "gradient_norm"), series(plain, "gradient_norm"), rtol=1e-6)
    assert series(scaled, "loss_scale") == [256.0]
    assert not series(plain, "loss_scale")
    scaling = LossScaleOptimizer(SGD(0.0), initial_scale=3e38)
    over = fitted(linear(scaling), tmp_path / "over", y=100 * Y, batch_size=16)
    assert np.isnan(series(over, "gradient_norm")[0])
    assert series(over, "loss_scale")[0] == pytest.approx(1.5e38)


@tensorflow_only
@pytest.mark.parametrize("options", [{}, {"accumulation_steps": 2}], ids=["", "accumulated"])
def test_replicas_say_what_one_device_says(tmp_path, two_replicas, options):
    from keras_tricks.distribute import ReplicaModel

    one = fitted(linear(clipped(SGD(0.01))), tmp_path / "one", epochs=2)
    with two_replicas.scope():
        model = ReplicaModel.of(linear("sgd"), **options)
        model.compile(LossScaleOptimizer(clipped(SGD(0.01))), "mse")
    two = fitted(model, tmp_path / "two", epochs=2)
    for name in ("gradient_norm", "clipped_share", "weight_norm"):
        assert len(series(one, name)) == 8
        np.testing.assert_allclose(series(two, name), series(one, name), rtol=1e-5)


@tensorflow_only
def test_a_compiled_step_is_watched_too(tmp_path):
    plain = fitted(linear(clipped(SGD(0.01))), tmp_path / "plain")
    compiled = fitted(linear(clipped(SGD(0.01)), jit_compile=True), tmp_path / "compiled")
    np.testing.assert_allclose(series(compiled, "gradient_norm"), series(plain, "gradient_norm"), rtol=1e-5)
    np.testing.assert_allclose(series(compiled, "clipped_share"), series(plain, "clipped_share"), rtol=1e-6)


@tensorflow_only
@pytest.mark.parametrize(("seconds", "low", "high"), [(0.1, 0.5, 1.0), (0.0, 0.0, 0.3)])
def test_the_wait_for_slow_batches_is_seen(tmp_path, seconds, low, high):
    import tensorflow as tf

    def slowly(x, y):
        def read(x):
            time.sleep(seconds)
            return x

        return tf.ensure_shape(tf.numpy_function(read, [x], tf.float32), (8, 3)), y

    batches = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8, drop_remainder=True).map(slowly).prefetch(1)
    wait = InputWait()
    assert wait.seconds is None
    watched = wait.of(batches)
    assert watched.element_spec == batches.element_spec
    assert int(watched.cardinality()) == int(batches.cardinality()) == 4
    logger = RunLogger(tmp_path, input_wait=wait)
    linear(SGD(0.01)).fit(watched, epochs=3, verbose=0, callbacks=[logger])
    shares = series(list_runs(tmp_path)[0], "input_wait")
    # The first step traces the graph.
    assert low <= np.median(shares[1:]) <= high
    assert wait.seconds >= 12 * seconds * 0.6


@tensorflow_only
def test_each_wait_is_counted_for_itself_and_over_all_its_data_sets():
    import tensorflow as tf

    def ten(seconds):
        def read(x):
            time.sleep(seconds)
            return x

        return tf.data.Dataset.range(10).map(lambda x: tf.numpy_function(read, [x], tf.int64))

    slow, quick = InputWait(), InputWait()
    for wait, seconds in ((slow, 0.05), (slow, 0.05), (quick, 0.0)):
        assert [int(x) for x in wait.of(ten(seconds)).repeat(2)] == 2 * list(range(10))
    assert 2.0 <= slow.seconds < 8
    assert quick.seconds < 1
    # A consumer's own time is none.
    before = quick.seconds
    for _ in quick.of(ten(0.0)):
        time.sleep(0.05)
    assert quick.seconds - before < 0.25


@tensorflow_only
def test_to_watch_the_wait_needs_no_function_of_ours_for_a_batch():
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensors(tf.zeros(8)).repeat(2000)
    watched = InputWait().of(batches)

    def microseconds(dataset):
        start = time.process_time()
        for _ in dataset:
            pass
        return (time.process_time() - start) / 2000 * 1e6

    # 150 more with functions, under 20 without, on a slow core.
    assert np.median([microseconds(watched) - microseconds(batches) for _ in range(5)]) < 75
