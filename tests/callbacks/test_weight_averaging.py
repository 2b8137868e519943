import keras
import numpy as np
import pytest
from keras import ops
from small_classifier import Trace, assert_close, classifier, compile_model, differ, fit, images, targets, twins

from keras_tricks.callbacks import WeightAveraging
from keras_tricks.optimizers import SGD, AdaptiveGradientClipping

pytestmark = pytest.mark.backend


def formula(start, steps, decay):
    average = [np.asarray(each, "float64") for each in start]
    for t, weights in enumerate(steps):
        kept = min(decay, (1 + t) / (10 + t))
        average = [kept * old + (1 - kept) * new for old, new in zip(average, weights, strict=True)]
    return average


@pytest.mark.parametrize("decay", [0.5, 0.99999])
def test_follows_the_formula_over_20_steps(decay):
    model = classifier(compiled=decay == 0.5)
    start, trace = model.get_weights(), Trace()
    fit(model, [WeightAveraging(decay), trace], epochs=5)
    assert len(trace.steps) == 20
    expected = formula(start, trace.steps, decay)
    assert_close(model.get_weights(), expected)
    assert differ(expected, trace.steps[-1])
    statistics = model.layers[1].moving_mean
    assert not np.allclose(ops.convert_to_numpy(statistics), trace.steps[-1][4], atol=1e-3)


def test_decay_zero_is_the_raw_weights():
    averaged, raw = twins()
    fit(averaged, [WeightAveraging(0.0)], epochs=1)
    fit(raw, epochs=1)
    assert_close(averaged.get_weights(), raw.get_weights())


def test_training_goes_on_with_the_raw_weights():
    averaged, raw = twins()
    ours, theirs = Trace(), Trace()
    history = fit(averaged, [WeightAveraging(0.9), ours], epochs=3, validation=True)
    raw_history = fit(raw, [theirs], epochs=3, validation=True)
    for mine, other in zip(ours.steps, theirs.steps, strict=True):
        assert_close(mine, other, atol=0)
    np.testing.assert_allclose(history["loss"], raw_history["loss"], rtol=1e-6)
    assert np.abs(np.subtract(history["val_loss"], raw_history["val_loss"])).min() > 1e-4


def test_validation_later_callbacks_evaluate_predict_and_save_use_the_average(tmp_path):
    model, other = twins()
    start = model.get_weights()
    before, after = Trace(), Trace()
    save = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    history = fit(model, [before, WeightAveraging(0.9), after, save], epochs=3, validation=True)
    for epoch in range(3):
        steps = before.steps[: 4 * (epoch + 1)]
        assert_close(before.epochs[epoch], steps[-1], atol=0)
        average = formula(start, steps, 0.9)
        assert_close(after.epochs[epoch], average)
        assert_close(keras.models.load_model(tmp_path / f"{epoch + 1}.keras").get_weights(), average)
        other.set_weights(average)
        loss = other.evaluate(images, targets, verbose=0)
        np.testing.assert_allclose(history["val_loss"][epoch], loss, rtol=1e-5)
    assert_close(model.get_weights(), average)
    np.testing.assert_allclose(model.evaluate(images, targets, verbose=0), loss, rtol=1e-5)
    np.testing.assert_allclose(model.predict(images, verbose=0), other.predict(images, verbose=0), atol=1e-5)


class Stop(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            raise KeyboardInterrupt


def test_an_interrupted_fit_keeps_the_raw_weights_and_evaluates_the_average():
    model, other = twins()
    averaging = WeightAveraging(0.9)
    with pytest.raises(KeyboardInterrupt):
        fit(model, [averaging, Stop()])
    with pytest.raises(KeyboardInterrupt):
        fit(other, [Stop()])
    assert_close(model.get_weights(), other.get_weights(), atol=0)
    raw = model.evaluate(images, targets, verbose=0)
    predicted = model.predict(images, verbose=0)
    assert abs(model.evaluate(images, targets, callbacks=[averaging], verbose=0) - raw) > 1e-4
    assert np.abs(model.predict(images, callbacks=[averaging], verbose=0) - predicted).max() > 1e-3
    assert_close(model.get_weights(), other.get_weights(), atol=0)


def test_one_more_fit_goes_on_with_raw_weights_and_average():
    whole, parts = twins()
    fit(whole, [WeightAveraging(0.9)], epochs=4)
    averaging = WeightAveraging(0.9)
    fit(parts, [averaging], epochs=2)
    parts.evaluate(images, targets, callbacks=[averaging], verbose=0)
    fit(parts, [averaging], epochs=4, initial_epoch=2)
    assert_close(whole.get_weights(), parts.get_weights())


def test_given_weights_start_the_average_anew():
    model, other = twins()
    averaging = WeightAveraging(0.9)
    fit(model, [averaging])
    given = [each + 1 for each in model.get_weights()]
    for each in (model, other):
        each.set_weights(given)
        compile_model(each, SGD(0.02))
        each.layers[2].seed_generator.state.assign([1, 2])
    fit(model, [averaging])
    fit(other, [WeightAveraging(0.9)])
    assert_close(model.get_weights(), other.get_weights())


def test_a_resumed_fit_ends_with_the_same_average(tmp_path):
    unbroken, broken, resumed = twins(3)
    fit(unbroken, [WeightAveraging(0.9)], epochs=4)

    averaging = WeightAveraging(0.9)
    fit(broken, [averaging], epochs=2)
    with averaging.raw_weights():
        broken.save_weights(tmp_path / "raw.weights.h5")
        seed = ops.convert_to_numpy(broken.layers[2].seed_generator.state)
    np.savez(tmp_path / "average.npz", **averaging.state())
    averaged = broken.get_weights()

    averaging = WeightAveraging(0.9)
    resumed.optimizer.build(resumed.trainable_variables)
    resumed.load_weights(tmp_path / "raw.weights.h5")
    resumed.layers[2].seed_generator.state.assign(seed)
    assert differ(resumed.get_weights(), averaged)
    with np.load(tmp_path / "average.npz") as state:
        averaging.set_state(dict(state))
    judged = classifier()
    averaging.apply_to(judged)
    assert_close(judged.get_weights(), averaged, atol=0)
    fit(resumed, [averaging], epochs=4, initial_epoch=2)
    assert_close(resumed.get_weights(), unbroken.get_weights(), atol=0)
    assert averaging.state()["steps"] == 16


def test_state_of_another_model_is_refused():
    averaging = WeightAveraging()
    assert averaging.state() == {}
    with pytest.raises(ValueError, match="Expected an average"):
        averaging.apply_to(classifier())
    fit(classifier(), [averaging])
    other = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    other.compile("sgd", loss="mse")
    averaging.set_state(averaging.state())
    with pytest.raises(ValueError, match=r"this model's 2 weights\. Received: 8 averages.*\(5, 3\), \(5, 6\)"):
        fit(other, [averaging])


def test_micro_steps_of_accumulation_are_no_steps():
    model = classifier(SGD(0.02, gradient_accumulation_steps=2))
    start, trace, averaging = model.get_weights(), Trace(), WeightAveraging(0.9)
    fit(model, [averaging, trace], epochs=3)
    assert averaging.state()["steps"] == 6
    assert_close(model.get_weights(), formula(start, trace.steps[1::2], 0.9))


class Poison(keras.callbacks.Callback):
    """Make the loss scale so large that the second step overflows."""

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 1:
            self.model.optimizer.dynamic_scale.assign(3e38)


def test_steps_skipped_by_loss_scaling_are_no_steps():
    model = classifier(keras.optimizers.LossScaleOptimizer(AdaptiveGradientClipping(SGD(0.02), no_clipping=())))
    start, trace, averaging = model.get_weights(), Trace(), WeightAveraging(0.9)
    fit(model, [Poison(), averaging, trace], epochs=1)
    steps = int(averaging.state()["steps"])
    assert steps == int(ops.convert_to_numpy(model.optimizer.iterations)) < 4
    trainable = [0, 1, 2, 3, 6, 7]
    moved = [each for old, each in zip([start, *trace.steps], trace.steps, strict=False) if np.any(each[0] != old[0])]
    expected = formula(start, moved, 0.9)
    assert_close([model.get_weights()[place] for place in trainable], [expected[place] for place in trainable])


@pytest.mark.parametrize("dtype", ["mixed_float16", "bfloat16"])
def test_the_average_is_kept_in_float32(dtype):
    model = classifier(keras.optimizers.SGD(0.01), dtype=dtype)
    start, trace, averaging = model.get_weights(), Trace(), WeightAveraging(0.999)
    fit(model, [averaging, trace])
    state = averaging.state()
    expected = formula(start, trace.steps, 0.999)
    assert {each.dtype for name, each in state.items() if name != "steps"} == {np.dtype("float32")}
    assert_close([state[str(place)] for place in range(len(expected))], expected, atol=1e-5)
    assert all(str(each.dtype) == str(other.dtype) for each, other in zip(model.get_weights(), start, strict=True))


def test_integer_weights_stay_and_frozen_ones_do_not_drift():
    class Counter(keras.layers.Layer):
        def build(self, input_shape):
            self.count = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False)

        def call(self, inputs, training=False):
            if training:
                self.count.assign_add(1)
            return inputs

    model = keras.Sequential([keras.Input((5,)), Counter(), keras.layers.Dense(4, trainable=False)])
    model.add(keras.layers.Dense(3))
    compile_model(model, SGD(0.02))
    frozen = model.layers[1].get_weights()
    fit(model, [WeightAveraging(0.9)], epochs=3)
    assert int(ops.convert_to_numpy(model.layers[0].count)) == 12
    assert_close(model.layers[1].get_weights(), frozen, atol=0)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan"), "0.9"])
def test_bad_decay_is_refused(decay):
    with pytest.raises(ValueError, match="Received: decay="):
        WeightAveraging(decay)


def test_what_cannot_be_averaged_is_refused():
    several = classifier()
    several.compile(SGD(0.1), loss="mse", steps_per_execution=2)
    with pytest.raises(ValueError, match="steps_per_execution=2"):
        fit(several, [WeightAveraging()])
    twice = classifier(AdaptiveGradientClipping(SGD(0.1, use_ema=True, name="inner"), no_clipping=()))
    with pytest.raises(ValueError, match="use_ema=True in 'inner'"):
        fit(twice, [WeightAveraging()])
    if keras.backend.backend() == "tensorflow":
        unbuilt = keras.Sequential([keras.layers.Dense(3)])
        unbuilt.compile(SGD(0.1), loss="mse")
        with pytest.raises(ValueError, match="Expected a built model"):
            fit(unbuilt, [WeightAveraging()])


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="only fit on JAX takes the values out of the variables")
def test_the_average_does_not_make_jax_move_its_state():
    """If this fails, Keras has renamed `_jax_state`: the average is right but costs milliseconds a step."""

    class Watch(keras.callbacks.Callback):
        seen = []

        def on_train_batch_begin(self, batch, logs=None):
            self.seen.append(self._model._jax_state_synced)

    fit(classifier(), [WeightAveraging(), Watch()], epochs=1)
    assert Watch.seen == [True, False, False, False]
