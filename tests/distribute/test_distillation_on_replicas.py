"""Distillation in training: the published sum of two losses, and no difference on replicas, in parts or in float16."""

import keras
import numpy as np
import pytest

from keras_tricks.distribute import ReplicaModel, SharpnessAware
from keras_tricks.losses import Distillation
from keras_tricks.optimizers import SGD

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the trainer is TensorFlow's")

SMOOTHING, WEIGHT, TEMPERATURE = 0.1, 0.3, 20.0


def network(seed, width=4, batch_norm=False):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((5, 5, 2))
    x = keras.layers.Conv2D(width, 3)(inputs)
    if batch_norm:
        x = keras.layers.BatchNormalization(synchronized=True)(x)
    x = keras.layers.Flatten()(keras.layers.Activation("tanh")(x))
    return keras.Model(inputs, keras.layers.Dense(3, dtype="float32")(x))


def mixed_batches(count=32):
    """Images and labels as mixup makes them."""
    generator = np.random.default_rng(2)
    images = generator.normal(size=(count, 5, 5, 2)).astype("float32")
    labels = np.eye(3, dtype="float32")[generator.integers(0, 3, count)]
    share = generator.beta(0.2, 0.2, (count, 1)).astype("float32")
    images = share[..., None, None] * images + (1 - share[..., None, None]) * images[::-1]
    return images, share * labels + (1 - share) * labels[::-1]


def student(weight=WEIGHT, teacher=True, batch_norm=False, **options):
    if teacher:
        distillation = Distillation(network(9, width=8), TEMPERATURE, weight)
        options |= {"extra_losses": (distillation,), "compiled_loss_weight": 1 - weight}
    model = ReplicaModel.of(network(1, batch_norm=batch_norm), **options)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=SMOOTHING)
    model.compile(SGD(0.05), loss, metrics=["accuracy"])
    return model


def fitted(*arguments, epochs=1, **options):
    model = student(*arguments, **options)
    images, labels = mixed_batches()
    history = model.fit(images, labels, batch_size=8, epochs=epochs, shuffle=False, verbose=0).history
    return model, [each.numpy() for each in model.weights], history


def log_softmax(logits):
    shifted = np.asarray(logits, "float64")
    shifted = shifted - shifted.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def test_the_loss_is_the_published_sum_and_validation_has_that_of_the_labels():
    model, (images, labels) = student(), mixed_batches()
    answer = model.predict(images, verbose=0)
    told = network(9, width=8).predict(images, verbose=0)
    smoothed = (1 - SMOOTHING) * labels + SMOOTHING / 3
    hard = -(smoothed * log_softmax(answer)).sum(-1).mean()
    soft = -(np.exp(log_softmax(told / TEMPERATURE)) * log_softmax(answer / TEMPERATURE)).sum(-1).mean()
    np.testing.assert_allclose(model.evaluate(images, labels, batch_size=32, verbose=0)[0], hard, rtol=1e-5)
    history = model.fit(images, labels, batch_size=32, verbose=0, shuffle=False).history
    np.testing.assert_allclose(history["loss"], [(1 - WEIGHT) * hard + WEIGHT * TEMPERATURE**2 * soft], rtol=1e-5)


def test_the_gradient_is_that_of_the_published_sum():
    model, (images, labels) = student(), mixed_batches()
    kernel = model.trainable_variables[-1].numpy()
    images, labels = images[:8], labels[:8]
    answer = log_softmax(model.predict(images, verbose=0))
    told = network(9, width=8).predict(images, verbose=0)
    softened = np.exp(log_softmax(model.predict(images, verbose=0) / TEMPERATURE))
    smoothed = (1 - SMOOTHING) * labels + SMOOTHING / 3
    # By the logits: softmax minus target, and T times that of the softened ones. The bias sees their mean.
    soft = TEMPERATURE * (softened - np.exp(log_softmax(told / TEMPERATURE)))
    expected = ((1 - WEIGHT) * (np.exp(answer) - smoothed) + WEIGHT * soft).mean(0)
    model.compile(SGD(1.0, momentum=0.0, nesterov=False), model.loss)
    model.fit(images, labels, batch_size=8, verbose=0)
    np.testing.assert_allclose(kernel - model.trainable_variables[-1].numpy(), expected, rtol=1e-4, atol=1e-6)


def test_no_weight_changes_nothing():
    for ours, theirs in zip(fitted(0.0)[1], fitted(teacher=False)[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_teacher_is_no_part_of_the_student(tmp_path):
    model, weights, _ = fitted()
    distillation = model.extra_losses[0]
    for ours, theirs in zip(distillation.teacher.get_weights(), network(9, width=8).get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert len(weights) == len(network(1).weights)
    model.save(tmp_path / "student.keras")
    assert keras.models.load_model(tmp_path / "student.keras").count_params() == network(1).count_params()


CASES = {
    "alone": {},
    "accumulation": {"accumulation_steps": 2},
    "sharpness_aware": {"gradient_method": SharpnessAware()},
    "batch_norm": {"batch_norm": True},
}


@pytest.mark.parametrize(
    ("case", "policy"), [*((case, "float32") for case in CASES), ("alone", "mixed_float16")], ids=lambda value: value
)
def test_two_replicas_give_what_one_device_gives(two_replicas, case, policy):
    keras.config.set_dtype_policy(policy)
    _, alone, history = fitted(**CASES[case])
    with two_replicas.scope():
        model = student(**CASES[case])
    images, labels = mixed_batches()
    again = model.fit(images, labels, batch_size=8, shuffle=False, verbose=0).history
    tolerance = 1e-6 if policy == "float32" else 2e-3
    for ours, theirs in zip(model.weights, alone, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=0, atol=tolerance)
    np.testing.assert_allclose(again["loss"], history["loss"], rtol=10 * tolerance)


def test_accumulation_gives_what_the_whole_batch_gives():
    for ours, theirs in zip(fitted(accumulation_steps=4)[1], fitted()[1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="compiled_loss_weight=-1"):
        ReplicaModel.of(network(1), compiled_loss_weight=-1)
