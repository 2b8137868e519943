"""Distillation against the formula of the papers, on every backend; with replicas and tricks in its second half."""

import keras
import numpy as np
import pytest

from keras_tricks.losses import Distillation

backend = pytest.mark.backend
CLASSES = 4
GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.normal(size=(8, 3)).astype("float32")
LABELS = np.eye(CLASSES, dtype="float32")[GENERATOR.integers(0, CLASSES, 8)]


def network(seed, outputs=1, dtype=None):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((3,))
    x = keras.layers.Dense(16, dtype=dtype)(inputs)
    x = keras.layers.BatchNormalization(dtype=dtype)(x)
    x = keras.layers.Activation("tanh", dtype=dtype)(x)
    x = keras.layers.Dropout(0.5, dtype=dtype)(x)
    ends = [keras.layers.Dense(CLASSES, dtype="float32", name=f"end{place}")(x) for place in range(outputs)]
    return keras.Model(inputs, ends[0] if outputs == 1 else ends)


def softmax(logits):
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def formula(told, answer, temperature):
    """T^2 times the cross-entropy of the softened answers, in float64."""
    told, answer = (np.asarray(each, "float64") / temperature for each in (told, answer))
    return -(temperature**2) * (softmax(told) * np.log(softmax(answer))).sum(-1)


@backend
@pytest.mark.parametrize(("temperature", "weight"), [(20.0, 0.5), (1.0, 1.0), (3.0, 0.25)])
def test_the_loss_of_each_example_is_the_papers(temperature, weight):
    teacher, answer = network(1), GENERATOR.normal(size=(8, CLASSES)).astype("float32") * 5
    loss = Distillation(teacher, temperature, weight)(IMAGES, LABELS, answer)
    told = teacher.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loss), weight * formula(told, answer, temperature), rtol=1e-5)


@backend
def test_several_outputs_have_their_own_teachers_or_one_for_all():
    answers = [GENERATOR.normal(size=(8, CLASSES)).astype("float32") for _ in range(2)]
    two, one = network(1, outputs=2), network(2)
    told = two.predict(IMAGES, verbose=0)
    loss = Distillation(two, 4.0, 1.0, output_weights=(1.0, 0.3))(IMAGES, None, answers)
    expected = formula(told[0], answers[0], 4) + 0.3 * formula(told[1], answers[1], 4)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loss), expected, rtol=1e-5)
    loss = Distillation(one, 4.0, 1.0)(IMAGES, None, answers)
    told = one.predict(IMAGES, verbose=0)
    expected = formula(told, answers[0], 4) + formula(told, answers[1], 4)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loss), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="2 outputs of the teacher, 1 of the student"):
        Distillation(two)(IMAGES, None, answers[0])


@backend
def test_a_teacher_of_half_precision_answers_in_float32():
    keras.config.set_dtype_policy("mixed_float16")
    half = network(3)
    keras.config.set_dtype_policy("float32")
    exact = network(4)
    exact.set_weights(half.get_weights())
    rounded = half.predict(IMAGES, verbose=0)
    distillation = Distillation(half)
    told = keras.ops.convert_to_numpy(distillation.teacher(IMAGES, training=False))
    np.testing.assert_allclose(told, exact.predict(IMAGES, verbose=0), rtol=1e-6, atol=1e-6)
    assert np.abs(rounded - told).max() > 1e-5
    assert not distillation.teacher.trainable_variables


@backend
def test_a_teacher_is_given_what_prepare_makes():
    teacher = network(1)
    answer = np.zeros((8, CLASSES), "float32")
    ours = Distillation(teacher, prepare=lambda x: 2 * x + 1)(IMAGES, None, answer)
    theirs = Distillation(teacher)(2 * IMAGES + 1, None, answer)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs), rtol=1e-6)


@backend
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"temperature": 0}, "temperature=0"),
        ({"weight": 1.5}, "weight=1.5"),
        ({"teacher": "resnet50"}, "teacher='resnet50'"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        Distillation(**{"teacher": network(1), **arguments})


@backend
def test_other_classes_are_refused():
    with pytest.raises(ValueError, match="outputs have the shape of the student's"):
        Distillation(network(1))(IMAGES, None, np.zeros((8, CLASSES + 1), "float32"))
