"""What the trainer handles on replicas, what it refuses, and that accumulation is the large batch."""

import contextlib

import keras
import numpy as np
import pytest

from keras_tricks.callbacks import RunLogger, WeightAveraging
from keras_tricks.optimizers import SGD, GradientClipping, LossScaleOptimizer
from keras_tricks.schedules import Warmup

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="replicas are TensorFlow's")


def replica_model(**options):
    from keras_tricks.distribute import ReplicaModel

    return ReplicaModel.of(network(), **options)


def network(features=3, classes=2):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((features,))
    x = keras.layers.Dense(5, activation="tanh")(inputs)
    return keras.Model(inputs, keras.layers.Dense(classes)(x))


def numbers(count=32, features=3, classes=2):
    generator = np.random.default_rng(count)
    x = generator.normal(size=(count, features)).astype("float32")
    x[: count // 2] *= 3
    return x, np.eye(classes, dtype="float32")[generator.integers(0, classes, count)]


CROSSENTROPY = keras.losses.CategoricalCrossentropy(from_logits=True)


def fitted(model, optimizer=None, loss=CROSSENTROPY, batch_size=8, count=32, epochs=2, callbacks=(), **compiled):
    x, y = numbers(count)
    model.compile(optimizer or SGD(Warmup(0.2, 3)), loss, metrics=["accuracy"], **compiled)
    history = model.fit(x, y, batch_size=batch_size, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks))
    return [each.numpy() for each in model.weights], history.history


def assert_close(ours, theirs, tolerance=1e-6):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


@pytest.mark.parametrize("steps", [1, 2, 3, 8])
def test_accumulation_equals_the_large_batch(steps):
    plain, logs = fitted(network())
    averaging = WeightAveraging(0.5)
    model = replica_model(accumulation_steps=steps)
    ours, our_logs = fitted(model, callbacks=[averaging])
    raw = [each + 0 for each in ours]
    with averaging.raw_weights():
        raw = [each.numpy() for each in model.weights]
    assert_close(raw, plain)
    np.testing.assert_allclose(our_logs["loss"], logs["loss"], rtol=1e-5)
    np.testing.assert_allclose(our_logs["accuracy"], logs["accuracy"], rtol=1e-6)
    # One optimizer step, one schedule step and one step of the average for each batch of the data set.
    assert int(model.optimizer.iterations.numpy()) == 8
    assert int(averaging.state()["steps"]) == 8


def test_the_micro_batches_are_one_after_the_other():
    import tensorflow as tf

    model = replica_model(accumulation_steps=4)
    model.compile(SGD(0.1), CROSSENTROPY)
    x, y = numbers(8)
    step = tf.function(model.train_step, autograph=False).get_concrete_function((tf.constant(x), tf.constant(y)))
    products = [operation for operation in step.graph.get_operations() if operation.type == "MatMul"]

    def depends_on(operation, other):
        seen, waiting = set(), [operation]
        while waiting:
            present = waiting.pop()
            if present is other:
                return True
            if present not in seen:
                seen.add(present)
                waiting += [tensor.op for tensor in present.inputs] + list(present.control_inputs)
        return False

    # Two forward products and three backward ones in each of four micro-batches.
    assert len(products) == 20
    for place in range(5, 20):
        assert depends_on(products[place], products[place // 5 * 5 - 1])


@pytest.mark.parametrize(("count", "options"), [(33, {}), (35, {}), (37, {"accumulation_steps": 2})])
def test_a_partial_last_batch_weighs_each_example_the_same(two_replicas, count, options):
    plain, logs = fitted(network(), count=count)
    with two_replicas.scope():
        ours, our_logs = fitted(replica_model(**options), count=count)
    assert_close(ours, plain)
    np.testing.assert_allclose(our_logs["loss"], logs["loss"], rtol=1e-5)


def test_a_partial_last_batch_that_is_too_small_for_the_micro_batches_is_refused(two_replicas):
    with two_replicas.scope():
        model = replica_model(accumulation_steps=2)
        with pytest.raises(Exception, match="fewer examples than the 2 accumulation_steps"):
            fitted(model, count=35)


def test_too_few_examples_for_the_micro_batches_are_refused(two_replicas):
    with pytest.raises(ValueError, match="at least 8 examples on each replica"):
        fitted(replica_model(accumulation_steps=8), batch_size=4)


class OwnReduction(keras.losses.Loss):
    def __call__(self, y_true, y_pred, sample_weight=None):
        return keras.ops.sum(keras.ops.square(y_true - y_pred))


REFUSED = {
    **{
        str(reduction): (lambda reduction=reduction: keras.losses.MeanSquaredError(reduction=reduction))
        for reduction in ("sum", "none", None, "mean_with_sample_weight")
    },
    "__call__": OwnReduction,
}


@pytest.mark.parametrize("loss", REFUSED.values(), ids=REFUSED)
def test_losses_that_are_no_means_of_the_parts_are_refused(two_replicas, loss):
    with pytest.raises(ValueError, match="on replicas or with accumulation_steps"):
        replica_model(accumulation_steps=2).compile(SGD(0.1), loss())
    with two_replicas.scope(), pytest.raises(ValueError, match="on replicas or with accumulation_steps"):
        replica_model().compile(SGD(0.1), loss())
    replica_model().compile(SGD(0.1), loss())


def test_masked_predictions_are_refused():
    from keras_tricks.distribute import ReplicaModel

    inputs = keras.Input((4,), dtype="int32")
    outputs = keras.layers.Dense(2)(keras.layers.Embedding(5, 3, mask_zero=True)(inputs))
    model = ReplicaModel.of(keras.Model(inputs, outputs), accumulation_steps=2)
    model.compile(SGD(0.1), "mse")
    with pytest.raises(ValueError, match="Give the mask as sample_weight"):
        model.fit(np.eye(4, dtype="int32"), np.zeros((4, 4, 2)), batch_size=4, verbose=0)


@pytest.mark.parametrize("options", [{"accumulation_steps": 2}, {}], ids=["accumulated", "replicas"])
def test_sample_weights_are_those_of_the_whole_batch(two_replicas, options):
    x, y = numbers()
    sample_weight = np.linspace(0, 3, len(x)).astype("float32")
    ends = []
    for scope, model in ((contextlib.nullcontext(), network), (two_replicas.scope(), lambda: replica_model(**options))):
        with scope:
            trained = model()
            trained.compile(SGD(0.1), CROSSENTROPY)
        trained.fit(x, y, sample_weight=sample_weight, batch_size=8, shuffle=False, verbose=0)
        ends.append(trained.get_weights())
    assert_close(*ends)


def test_sparse_gradients_accumulate_and_clip_as_the_whole_batch():
    from keras_tricks.distribute import ReplicaModel

    def end(optimizer, steps):
        keras.utils.set_random_seed(1)
        inputs = keras.Input((4,), dtype="int32")
        x = keras.layers.Flatten()(keras.layers.Embedding(5, 3)(inputs))
        model = ReplicaModel.of(keras.Model(inputs, keras.layers.Dense(2)(x)), accumulation_steps=steps)
        model.compile(optimizer, "mse")
        words = np.random.default_rng(0).integers(0, 5, (16, 4))
        model.fit(words, np.ones((16, 2)), batch_size=8, shuffle=False, verbose=0)
        return model.get_weights()

    for make in (lambda: SGD(0.1), lambda: GradientClipping(SGD(0.1), max_norm=0.1)):
        assert_close(end(make(), 2), end(make(), 1))


def mean_of_squares(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred))


class MeanOfSquares(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return mean_of_squares(y_true, y_pred)


@pytest.mark.parametrize("loss", [mean_of_squares, MeanOfSquares()], ids=["function", "class"])
def test_a_loss_of_one_number_is_refused_on_replicas(two_replicas, loss):
    fitted(replica_model(), loss=loss)
    with two_replicas.scope():
        model = replica_model()
    with pytest.raises(ValueError, match=r"Let it return the examples' losses.* Received: 'mean_of_squares'"):
        fitted(model, loss=loss)


def test_a_loss_function_for_each_example_is_taken(two_replicas):
    def squares(y_true, y_pred):
        return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)

    plain, _ = fitted(network(), loss=squares)
    with two_replicas.scope():
        ours, _ = fitted(replica_model(), loss=squares)
    assert_close(ours, plain)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SGD(0.1, clipnorm=1.0), "without `clipnorm` on replicas"),
        (lambda: keras.optimizers.SGD(0.1, global_clipnorm=1.0), "GradientClipping. Received: global_clipnorm=1.0"),
        (lambda: keras.optimizers.SGD(0.1, clipvalue=1.0), "clipvalue=1.0"),
        (lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), "accumulation_steps of ReplicaModel"),
        (lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=5), "WeightAveraging"),
        (lambda: LossScaleOptimizer(SGD(0.1, clipnorm=1.0)), "clipnorm=1.0 of SGD"),
        (lambda: keras.optimizers.LossScaleOptimizer(SGD(0.1)), "sees an overflow on the first one only"),
    ],
)
def test_optimizers_that_differ_on_replicas_are_refused(two_replicas, make, words):
    with two_replicas.scope():
        model = replica_model()
        with pytest.raises(ValueError, match=words):
            model.compile(make(), CROSSENTROPY)
    # On one device they do what they say.
    replica_model().compile(make(), CROSSENTROPY)


def test_float16_is_scaled_safely_by_itself():
    keras.config.set_dtype_policy("mixed_float16")
    model = replica_model()
    model.compile(SGD(0.1), CROSSENTROPY)
    assert type(model.optimizer) is LossScaleOptimizer
    model.compile(SGD(0.1), CROSSENTROPY, auto_scale_loss=False)
    assert type(model.optimizer) is SGD


def test_several_steps_an_execution_also_where_they_do_not_fit(two_replicas, tmp_path):
    plain, logs = fitted(network(), count=40, epochs=2)
    with two_replicas.scope():
        model = replica_model()
        ours, our_logs = fitted(model, count=40, steps_per_execution=2, callbacks=[RunLogger(tmp_path, batch_size=8)])
        x, y = numbers(40)
        evaluated = model.evaluate(x, y, batch_size=8, verbose=0, return_dict=True)
    assert_close(ours, plain)
    np.testing.assert_allclose(our_logs["loss"], logs["loss"], rtol=1e-5)
    expected = network()
    expected.set_weights(ours)
    expected.compile(loss=CROSSENTROPY)
    assert evaluated["loss"] == pytest.approx(expected.evaluate(x, y, batch_size=8, verbose=0), rel=1e-5)
    from keras_tricks.runs import list_runs

    assert list_runs(tmp_path)[0].status().step == 10


def test_an_epoch_that_executions_do_not_fit_into_is_refused():
    model = replica_model()
    model.compile(SGD(0.1), CROSSENTROPY, steps_per_execution=4)
    with pytest.raises(ValueError, match="steps_per_epoch=6, steps_per_execution=4"):
        model.fit(*numbers(), batch_size=4, steps_per_epoch=6, verbose=0)


@pytest.mark.parametrize("options", [{}, {"accumulation_steps": 2}], ids=["whole", "accumulated"])
def test_xla_on_replicas(two_replicas, options):
    plain, logs = fitted(network())
    with two_replicas.scope():
        ours, our_logs = fitted(replica_model(**options), jit_compile=True)
    assert_close(ours, plain)
    np.testing.assert_allclose(our_logs["loss"], logs["loss"], rtol=1e-5)


def test_xla_with_synchronized_batch_normalization_is_refused(two_replicas):
    from keras_tricks.distribute import ReplicaModel

    with two_replicas.scope():
        inputs = keras.Input((3,))
        outputs = keras.layers.BatchNormalization(synchronized=True, name="norm")(inputs)
        model = ReplicaModel.of(keras.Model(inputs, outputs))
        with pytest.raises(ValueError, match="layer 'norm'"):
            model.compile(SGD(0.1), "mse", jit_compile=True)


def test_a_batch_that_replicas_do_not_divide_is_shared_unevenly(two_replicas):
    plain, _ = fitted(network(), batch_size=7, count=35)
    with two_replicas.scope():
        ours, _ = fitted(replica_model(), batch_size=7, count=35)
    assert_close(ours, plain)


def test_saving_gives_a_plain_model(tmp_path):
    model = replica_model(accumulation_steps=2)
    weights, _ = fitted(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(network())
    assert_close([each.numpy() for each in loaded.weights], weights, 0)
    x, _ = numbers()
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_options_stay_when_one_is_added():
    from keras_tricks.distribute import ReplicaModel, SharpnessAware

    method = SharpnessAware()
    model = ReplicaModel.of(replica_model(accumulation_steps=2), gradient_method=method)
    assert model.accumulation_steps == 2
    assert model._training_options()["gradient_method"] is method


@pytest.mark.parametrize("steps", [0, -1, 1.5, "2", True])
def test_bad_accumulation_steps_are_named(steps):
    with pytest.raises(ValueError, match="Received: accumulation_steps="):
        replica_model(accumulation_steps=steps)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"accumulation_step": 4}, "Received: accumulation_step=4"),
        ({"gradient_method": "sam"}, "gradient_method='sam'"),
        ({"extra_losses": mean_of_squares}, "a tuple of functions"),
    ],
)
def test_bad_options_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        replica_model(**options)


def test_a_train_step_of_the_models_own_is_not_dropped():
    from keras_tricks.distribute import ReplicaModel

    class Own(keras.Model):
        def train_step(self, data):
            return {}

    inputs = keras.Input((3,))
    with pytest.raises(ValueError, match="Received: Own with a train_step"):
        ReplicaModel.of(Own(inputs, keras.layers.Dense(2)(inputs)))


def test_the_policy_of_the_model_stays():
    from keras_tricks.distribute import ReplicaModel

    keras.config.set_dtype_policy("mixed_float16")
    model = network()
    keras.config.set_dtype_policy("float32")
    model = ReplicaModel.of(model)
    model.compile(SGD(0.1), CROSSENTROPY)
    assert type(model.optimizer) is LossScaleOptimizer


def test_a_model_without_a_graph_is_refused():
    from keras_tricks.distribute import ReplicaModel

    class Subclassed(keras.Model):
        pass

    with pytest.raises(ValueError, match="Expected a functional model"):
        ReplicaModel.of(Subclassed())


def test_random_layers_draw_differently_on_each_replica(two_replicas):
    from keras_tricks.distribute import ReplicaModel
    from keras_tricks.layers import Dropout, StochasticDepth

    with two_replicas.scope():
        for layer in (Dropout(0.5, seed=1), StochasticDepth(0.5, seed=1), keras.layers.Dropout(0.5, seed=1)):
            inputs = keras.Input((64, 1) if not isinstance(layer, StochasticDepth) else (1,))
            model = ReplicaModel.of(keras.Model(inputs, layer(inputs)))
            model.compile("sgd", "mse")
            ones = np.ones((64 if isinstance(layer, StochasticDepth) else 1, *inputs.shape[1:]), "float32")
            drawn = two_replicas.run(lambda x, model=model: model(x, training=True), args=(ones,))
            first, second = (each.numpy() for each in two_replicas.experimental_local_results(drawn))
            assert (first != second).any()
