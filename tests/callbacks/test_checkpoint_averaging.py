import keras
import numpy as np
import pytest
from keras import ops
from small_classifier import Trace, assert_close, classifier, differ, fit, images, targets, twins

from keras_tricks.callbacks import Checkpoint, CheckpointAveraging, Position
from keras_tricks.optimizers import SGD

pytestmark = pytest.mark.backend


def mean(epochs):
    return [np.mean(each, axis=0, dtype="float64") for each in zip(*epochs, strict=True)]


several_steps = pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras has no such thing on PyTorch")


@pytest.mark.parametrize("compiled", [{}, pytest.param({"steps_per_execution": 2}, marks=several_steps)])
def test_the_model_becomes_the_mean_of_the_last_epochs(compiled):
    model, raw = twins(**compiled)
    before, trace = Trace(), Trace()
    fit(model, [before, CheckpointAveraging(3)], epochs=5)
    fit(raw, [trace], epochs=5)
    for ours, theirs in zip(before.epochs, trace.epochs, strict=True):
        assert_close(ours, theirs, atol=0)
    assert_close(model.get_weights(), mean(trace.epochs[2:]))
    assert differ(model.get_weights(), trace.epochs[-1])
    assert not np.allclose(ops.convert_to_numpy(model.layers[1].moving_mean), trace.epochs[-1][4], atol=1e-3)


def test_one_epoch_changes_nothing():
    averaged, raw = twins()
    history = fit(averaged, [CheckpointAveraging(1)], validation=True)
    assert history == fit(raw, validation=True)
    assert_close(averaged.get_weights(), raw.get_weights(), atol=0)


def test_validation_later_callbacks_evaluate_and_save_have_the_mean_so_far(tmp_path):
    model, other, raw = twins(3)
    trace, after = Trace(), Trace()
    save = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    history = fit(model, [CheckpointAveraging(2), after, save], epochs=4, validation=True)
    raw_history = fit(raw, [trace], epochs=4, validation=True)
    np.testing.assert_allclose(history["loss"], raw_history["loss"], rtol=1e-6)
    for epoch, first in enumerate([0, 1, 2, 2]):
        expected = mean(trace.epochs[first : epoch + 1])
        assert_close(after.epochs[epoch], expected)
        assert_close(keras.models.load_model(tmp_path / f"{epoch + 1}.keras").get_weights(), expected)
        other.set_weights(expected)
        loss = other.evaluate(images, targets, verbose=0)
        np.testing.assert_allclose(history["val_loss"][epoch], loss, rtol=1e-5)
    np.testing.assert_allclose(model.evaluate(images, targets, verbose=0), loss, rtol=1e-5)


class EvaluateWithin(keras.callbacks.Callback):
    """Evaluate in the middle of each epoch."""

    def __init__(self, averaging):
        super().__init__()
        self.averaging, self.losses, self.weights = averaging, [], []

    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            self.weights.append(self.model.get_weights())
            self.losses.append(self.model.evaluate(images, targets, callbacks=[self.averaging], verbose=0))


def test_an_evaluation_within_an_epoch_is_of_the_mean_as_if_it_ended_and_leaves_it():
    model, other, raw = twins(3)
    averaging, trace = CheckpointAveraging(2), Trace()
    within = EvaluateWithin(averaging)
    fit(model, [averaging, within], epochs=4)
    fit(raw, [trace], epochs=4)
    other.set_weights(mean([trace.epochs[2], within.weights[3]]))
    np.testing.assert_allclose(within.losses[3], other.evaluate(images, targets, verbose=0), rtol=1e-5)
    assert_close(model.get_weights(), mean(trace.epochs[2:]))


class Stop(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("killed_after", [1, 3])
def test_a_resumed_fit_ends_with_the_same_mean(tmp_path, killed_after):
    unbroken, broken, resumed = twins(3)
    fit(unbroken, [CheckpointAveraging(3)], epochs=5)

    averaging = CheckpointAveraging(3)
    with pytest.raises(KeyboardInterrupt):
        fit(broken, [averaging, Checkpoint(tmp_path, averaging=averaging), Stop(killed_after)], epochs=5)

    averaging = CheckpointAveraging(3)
    checkpoint = Checkpoint(tmp_path, averaging=averaging)
    assert checkpoint.restore(resumed) == Position(killed_after)
    assert int(averaging.state()["epochs"]) == max(0, killed_after - 2)
    fit(resumed, [averaging, checkpoint], epochs=5, initial_epoch=killed_after)
    assert_close(resumed.get_weights(), unbroken.get_weights(), atol=0)


def test_several_fits_are_one_training_and_one_from_the_start_is_another():
    whole, parts, again = twins(3)
    fit(whole, [CheckpointAveraging(3)], epochs=4)
    averaging = CheckpointAveraging(3, total_epochs=4)
    for first in range(4):
        fit(parts, [averaging], epochs=first + 1, initial_epoch=first)
    assert_close(parts.get_weights(), whole.get_weights(), atol=0)
    assert int(averaging.state()["last_epoch"]) == 3

    fit(again, [Trace()], epochs=4)
    trace = Trace()
    fit(again, [trace], epochs=4)
    fit(parts, [averaging], epochs=4)
    assert int(averaging.state()["epochs"]) == 3
    assert_close(parts.get_weights(), mean(trace.epochs[1:]), atol=1e-5)


def test_a_training_that_ends_early_keeps_its_weights():
    class End(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    model, raw = twins()
    averaging = CheckpointAveraging(2)
    fit(model, [averaging, End()], epochs=4)
    fit(raw, epochs=2)
    assert_close(model.get_weights(), raw.get_weights(), atol=0)
    averaging.apply_to(raw)
    assert_close(model.get_weights(), raw.get_weights(), atol=0)


def test_the_mean_is_in_float32_and_the_model_keeps_its_dtypes():
    model = classifier(dtype="bfloat16")
    trace, averaging = Trace(), CheckpointAveraging(3)
    start = model.get_weights()
    fit(model, [trace, averaging], epochs=3)
    state = averaging.state()
    means = [state[str(place)] for place in range(len(start))]
    assert {each.dtype for each in means} == {np.dtype("float32")}
    assert_close(means, mean([[each.astype("float32") for each in epoch] for epoch in trace.epochs]))
    assert [str(each.dtype) for each in model.get_weights()] == [str(each.dtype) for each in start]


def test_state_of_another_model_is_refused_and_there_is_none_before_fit():
    averaging = CheckpointAveraging(2)
    assert averaging.state() == {}
    with pytest.raises(ValueError, match="Expected an average"):
        averaging.apply_to(classifier())
    fit(classifier(), [averaging], epochs=2)
    averaging.set_state(averaging.state())
    other = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    other.compile("sgd", loss="mse")
    with pytest.raises(ValueError, match=r"this model's 2 weights\. Received: 8 averages"):
        fit(other, [averaging], initial_epoch=1, epochs=2)


@pytest.mark.parametrize("arguments", [{"epochs": 0}, {"epochs": 1.5}, {"epochs": True}, {"total_epochs": 0}])
def test_bad_numbers_are_refused(arguments):
    [(name, value)] = arguments.items()
    with pytest.raises(ValueError, match=f"Received: {name}={value}"):
        CheckpointAveraging(**arguments)


def test_two_replicas_average_like_one_device(two_replicas):
    def trained():
        keras.utils.set_random_seed(7)
        model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(6)])
        model.add(keras.layers.BatchNormalization(momentum=0.5, synchronized=True))
        model.add(keras.layers.Dense(3))
        model.compile(SGD(0.02), loss="mse")
        history = fit(model, [CheckpointAveraging(2)], epochs=3, validation=True)
        return model, history["val_loss"]

    single, losses = trained()
    with two_replicas.scope():
        mirrored, mirrored_losses = trained()
    np.testing.assert_allclose(mirrored_losses, losses, rtol=1e-5)
    for ours, theirs in zip(single.weights, mirrored.weights, strict=True):
        for replica in two_replicas.experimental_local_results(theirs.value):
            np.testing.assert_allclose(replica.numpy(), ours.numpy(), rtol=0, atol=1e-6)
