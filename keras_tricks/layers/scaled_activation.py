"""Activations that keep the variance of a normal distribution."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import keras
from keras import ops

from keras_tricks.layers import on_tensorflow

_GELU_SLOPE = 2 * math.sqrt(2 / math.pi)


def _gelu(x: Any) -> Any:
    # 0.5 * (1 + tanh(z)) is sigmoid(2 * z): the tanh form in fewer passes over the data.
    return x * ops.sigmoid(x * (_GELU_SLOPE + (0.044715 * _GELU_SLOPE) * ops.square(x)))


def _identity(x: Any) -> Any:
    return x


ACTIVATION_GAMMAS = {
    "identity": 1.0,
    "celu": 1.270926833152771,
    "elu": 1.2716004848480225,
    "gelu": 1.7015043497085571,
    "gelu_erf": 1.7015043497085571,
    "glu": 1.8484294414520264,
    "leaky_relu": 1.70590341091156,
    "log_sigmoid": 1.9193484783172607,
    "log_softmax": 1.0002083778381348,
    "relu": 1.7139588594436646,
    "relu6": 1.7131484746932983,
    "selu": 1.0008515119552612,
    "sigmoid": 4.803835391998291,
    "silu": 1.7881293296813965,
    "softplus": 1.9203323125839233,
    "softsign": 2.338853120803833,
    "tanh": 1.5939117670059204,
}
"""What each activation's output is multiplied by to have variance 1 for a standard normal input."""

_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "identity": _identity,
    "celu": ops.celu,
    "elu": ops.elu,
    "gelu": _gelu,
    "gelu_erf": lambda x: ops.gelu(x, approximate=False),
    "glu": ops.glu,
    "leaky_relu": lambda x: ops.leaky_relu(x, negative_slope=0.01),
    "log_sigmoid": ops.log_sigmoid,
    "log_softmax": ops.log_softmax,
    "relu": ops.relu,
    "relu6": ops.relu6,
    "selu": ops.selu,
    "sigmoid": ops.sigmoid,
    "silu": ops.silu,
    "softplus": ops.softplus,
    "softsign": ops.softsign,
    "tanh": ops.tanh,
}

_COMPILED = frozenset({"celu", "elu", "gelu", "gelu_erf", "log_sigmoid", "selu", "silu", "softplus", "softsign"})


@keras.saving.register_keras_serializable(package="keras_tricks")
class ScaledActivation(keras.layers.Layer):
    """Apply an activation and multiply by its gamma, so that a standard normal input keeps variance 1.

    Networks without normalization need it: without gamma each ReLU would shrink the variance to a
    third. The constants are the published ones, for these forms: `gelu` is the tanh form, as in the
    original code (`keras.activations.gelu` is the erf form, here `gelu_erf`, as in timm); `leaky_relu`
    has a slope of 0.01 (Keras's is 0.2); `elu` and `celu` have an alpha of 1; `glu` halves the last axis
    and `log_softmax` normalizes over it.

    Args:
        activation: One of `ACTIVATION_GAMMAS`, such as `"gelu"`.
        gamma: What to multiply the output by, instead of the published constant. With 1 this is the
            plain activation, for networks that multiply the kernels that follow by gamma instead,
            which is the same function and one pass over the images less. Defaults to None, the
            published constant.
        **kwargs: The arguments of `keras.layers.Layer`: `name`, `dtype`, `trainable`.

    Shapes:
        Any shape to the same shape; `glu` halves the last axis.

    Raises:
        ValueError: If the activation is unknown, or `gamma` is not a finite number above 0.

    Example:

        x = ScaledActivation("gelu")(x)

    Source: Brock et al. 2021, arXiv 2101.08692, section 4.1; the constants are those of the code of
    Brock et al. 2021, arXiv 2102.06171.
    """

    def __init__(self, activation: str, gamma: float | None = None, **kwargs: Any):
        if activation not in ACTIVATION_GAMMAS:
            raise ValueError(
                f"Expected activation to be one of {', '.join(ACTIVATION_GAMMAS)}. Received: activation={activation!r}"
            )
        if gamma is not None and (isinstance(gamma, bool) or not isinstance(gamma, Real) or not 0 < gamma < math.inf):
            raise ValueError(f"Expected gamma to be None or a finite number above 0. Received: gamma={gamma!r}")
        super().__init__(**kwargs)
        self.activation = activation
        self.gamma = ACTIVATION_GAMMAS[activation] if gamma is None else float(gamma)
        self.supports_masking = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return gamma times the activation of the inputs."""
        function = _FUNCTIONS[self.activation]
        # Compiled for the training only: converters to other formats cannot read compiled parts.
        if training and self.activation in _COMPILED and keras.backend.backend() == "tensorflow":
            function = on_tensorflow.compiled(function)
        outputs = function(inputs)
        return outputs if self.gamma == 1 else outputs * self.gamma

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the inputs; `glu` halves the last axis."""
        if self.activation == "glu":
            return (*input_shape[:-1], input_shape[-1] // 2)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return {**super().get_config(), "activation": self.activation, "gamma": self.gamma}
