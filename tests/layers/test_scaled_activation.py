import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks.layers import ACTIVATION_GAMMAS, ScaledActivation

pytestmark = pytest.mark.backend


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


FORMULAS = {
    "identity": (1.0, lambda x: x),
    "celu": (1.270926833152771, elu),
    "elu": (1.2716004848480225, elu),
    "gelu": (1.7015043497085571, lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    "gelu_erf": (1.7015043497085571, lambda x: 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))),
    "glu": (1.8484294414520264, lambda x: np.split(x, 2, -1)[0] * sigmoid(np.split(x, 2, -1)[1])),
    "leaky_relu": (1.70590341091156, lambda x: np.where(x > 0, x, 0.01 * x)),
    "log_sigmoid": (1.9193484783172607, lambda x: np.log(sigmoid(x))),
    "log_softmax": (1.0002083778381348, lambda x: np.log(softmax(x))),
    "relu": (1.7139588594436646, lambda x: np.maximum(x, 0)),
    "relu6": (1.7131484746932983, lambda x: np.clip(x, 0, 6)),
    "selu": (
        1.0008515119552612,
        lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    ),
    "sigmoid": (4.803835391998291, sigmoid),
    "silu": (1.7881293296813965, lambda x: x * sigmoid(x)),
    "softplus": (1.9203323125839233, lambda x: np.log1p(np.exp(x))),
    "softsign": (2.338853120803833, lambda x: x / (1 + np.abs(x))),
    "tanh": (1.5939117670059204, np.tanh),
}


def test_every_published_activation_is_there():
    assert {name: gamma for name, (gamma, _) in FORMULAS.items()} == ACTIVATION_GAMMAS


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", FORMULAS)
def test_output_is_gamma_times_the_activation(name, training):
    inputs = np.linspace(-7, 7, 24).reshape(2, 1, 3, 4)
    gamma, formula = FORMULAS[name]
    layer = ScaledActivation(name)
    outputs = ops.convert_to_numpy(layer(inputs.astype("float32"), training=training))
    np.testing.assert_allclose(outputs, gamma * formula(inputs), rtol=1e-4, atol=2e-6)
    assert outputs.shape == layer.compute_output_shape(inputs.shape)


@pytest.mark.parametrize("name", FORMULAS)
def test_variance_of_a_standard_normal_is_kept(name):
    # Of log_softmax it is only over many channels, and of glu over both halves.
    inputs = np.random.default_rng(0).standard_normal((500, 1000)).astype("float32")
    assert ops.convert_to_numpy(ScaledActivation(name)(inputs)).var() == pytest.approx(1, rel=0.02)


def test_gelu_is_the_tanh_form_and_leaky_relu_has_the_slope_of_its_gamma():
    assert float(ScaledActivation("leaky_relu", gamma=1.0)(np.float32(-1))) == pytest.approx(-0.01)
    tanh, erf = (float(ScaledActivation(name)(np.float32(2.7))) for name in ("gelu", "gelu_erf"))
    assert erf == pytest.approx(ACTIVATION_GAMMAS["gelu"] * float(keras.activations.gelu(2.7)), rel=1e-6)
    assert abs(tanh - erf) > 5e-4


@pytest.mark.parametrize("gamma", [1.0, 0.5])
def test_gamma_may_be_another(gamma):
    inputs = np.array([-1.0, 2.0], "float32")
    outputs = ops.convert_to_numpy(ScaledActivation("relu", gamma=gamma)(inputs))
    np.testing.assert_array_equal(outputs, [0, 2 * gamma])


@pytest.mark.parametrize("name", ["gelu", "silu", "relu"])
def test_half_precision(name):
    inputs = np.linspace(-8, 8, 65).astype("float16")
    for training in (False, True):
        outputs = ScaledActivation(name, dtype="mixed_float16")(inputs, training=training)
        assert keras.backend.standardize_dtype(outputs.dtype) == "float16"
        expected = FORMULAS[name][0] * FORMULAS[name][1](inputs.astype("float64"))
        np.testing.assert_allclose(ops.convert_to_numpy(outputs), expected, rtol=5e-3, atol=5e-3)


def test_config_round_trip():
    layer = ScaledActivation("gelu", gamma=1.0, name="act")
    assert ScaledActivation.from_config(layer.get_config()).get_config() == layer.get_config()
    assert ScaledActivation("gelu").get_config()["gamma"] == ACTIVATION_GAMMAS["gelu"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": "swish"}, "one of identity, celu, .*Received: activation='swish'"),
        ({"activation": keras.ops.relu}, "Received: activation=<function"),
        ({"activation": "relu", "gamma": 0}, "above 0. Received: gamma=0"),
        ({"activation": "relu", "gamma": True}, "Received: gamma=True"),
    ],
)
def test_wrong_arguments_say_what_was_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        ScaledActivation(**arguments)
