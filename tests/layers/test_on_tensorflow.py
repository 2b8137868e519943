"""The fast forms on TensorFlow against the plain ones."""

import keras
import numpy as np
import pytest
from keras import ops

if keras.backend.backend() != "tensorflow":
    pytest.skip("of the TensorFlow backend", allow_module_level=True)

import tensorflow as tf

from keras_tricks.layers import ScaledActivation, ScaledStandardizedConv2D, on_tensorflow


@pytest.mark.parametrize("name", ["gelu", "gelu_erf", "silu", "elu", "softplus", "relu"])
def test_activations_have_the_same_gradient_in_training_and_inference(name):
    inputs = tf.constant(np.random.default_rng(0).standard_normal((4, 5, 5, 3)), "float32")
    upstream = tf.constant(np.random.default_rng(1).standard_normal((4, 5, 5, 3)), "float32")
    layer = ScaledActivation(name)
    gradients = []
    for training in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=training)
        gradients.append(tape.gradient(outputs, inputs, upstream).numpy())
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-4, atol=1e-5)


def test_second_derivative_of_a_compiled_activation():
    x = tf.constant([-1.0, 0.3, 2.0])
    layer = ScaledActivation("silu", gamma=1.0)
    second = []
    for training in (False, True):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = layer(x, training=training)
            first = inner.gradient(y, x)
        second.append(outer.gradient(first, x).numpy())
    np.testing.assert_allclose(second[0], second[1], rtol=1e-4)


def test_inference_holds_nothing_compiled():
    inputs = keras.Input((8, 8, 4))
    x = ScaledStandardizedConv2D(4, 3, groups=2)(inputs)
    model = keras.Model(inputs, ScaledActivation("gelu")(x))

    def operations(training):
        graph = tf.function(lambda x: model(x, training=training)).get_concrete_function(tf.zeros((1, 8, 8, 4))).graph
        return {operation.type for operation in graph.get_operations()}

    assert not any("Call" in kind for kind in operations(False))
    assert any("Call" in kind for kind in operations(True))


@pytest.mark.parametrize("cpu", [True, False])
@pytest.mark.parametrize("mode", ["floor", "add"])
def test_standardization_is_the_plain_one_with_the_same_gradients(mode, cpu, monkeypatch):
    monkeypatch.setattr(on_tensorflow, "on_cpu", lambda: cpu)
    draw = np.random.default_rng(2).standard_normal
    kernel = tf.constant(draw((18, 4)) * [0.01, 0.1, 1, 10], "float32")
    gain, upstream = tf.constant(1 + draw(4), "float32"), tf.constant(draw((18, 4)), "float32")

    def plain(kernel, gain):
        centred = kernel - tf.reduce_mean(kernel, 0)
        variance = tf.reduce_mean(tf.square(centred), 0)
        if mode == "floor":
            return centred * gain / tf.sqrt(tf.maximum(variance * 18, 0.05))
        return centred * gain / tf.sqrt((variance + 0.05) * 18)

    results = []
    for function in (plain, lambda kernel, gain: on_tensorflow.standardize(kernel, gain, 0.05, mode)):
        with tf.GradientTape() as tape:
            tape.watch((kernel, gain))
            outputs = function(kernel, gain)
        results.append([outputs, *tape.gradient(outputs, (kernel, gain), upstream)])
    for expected, result in zip(*results, strict=True):
        assert expected.shape == result.shape
        np.testing.assert_allclose(result.numpy(), expected.numpy(), rtol=2e-4, atol=1e-4)


def test_statistics_are_float64_in_double_precision():
    layer = ScaledStandardizedConv2D(4, 3, dtype="float64")
    layer.build((None, 8, 8, 6))
    kernel = layer.kernel.numpy()
    expected = (kernel - kernel.mean((0, 1, 2))) / np.sqrt(kernel.var((0, 1, 2)) * 54)
    np.testing.assert_allclose(layer.standardized_kernel().numpy(), expected, rtol=1e-12)


def test_groups_are_split_on_a_cpu_only(monkeypatch):
    layer = ScaledStandardizedConv2D(4, 3, groups=2)
    images = np.random.default_rng(3).standard_normal((1, 8, 8, 4)).astype("float32")

    def convolutions():
        graph = tf.function(lambda x: layer(x)).get_concrete_function(tf.constant(images)).graph
        return sum(operation.type == "Conv2D" for operation in graph.get_operations())

    expected = ops.convert_to_numpy(layer(images))
    assert convolutions() == 2
    monkeypatch.setattr(on_tensorflow, "on_cpu", lambda: False)
    # The built-in one is inside a compiled part.
    assert convolutions() == 0
    np.testing.assert_allclose(ops.convert_to_numpy(layer(images)), expected, rtol=1e-4, atol=1e-5)
