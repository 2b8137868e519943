"""Squeeze and excite: channels gated by what the whole image holds."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_tricks")
class SqueezeExcite(keras.layers.Layer):
    """Multiply each channel by a gate in (0, 1) computed from the averages of all channels.

    The gate is `sigmoid(fc2(relu(fc1(mean over height and width))))`. It halves the signal
    at initialization, so NF networks multiply it by 2 to keep the variance.

    Args:
        ratio: Width of the hidden layer as a share of the channels, above 0; rounded down, at least
            one unit. Defaults to 0.5, as in NFNets; the original paper has 1/16.
        scale: Constant that the gated inputs are multiplied by. NF networks use 2. Defaults to 1.
        gate_only: Whether to return `scale * gate`, of shape `(batch, 1, 1, channels)`, instead of
            the gated inputs. More factors of each sample or channel are then cheap to multiply in.
            Defaults to `False`.
        **kwargs: The arguments of `keras.layers.Layer`: `name`, `dtype`, `trainable`.

    Shapes:
        `(batch, height, width, channels)` to the same shape, or the gate's.

    Raises:
        ValueError: If an argument is out of range.

    Example:

        branch = SqueezeExcite(0.5, scale=2.0)(branch)

    Source: Hu et al. 2017, arXiv 1709.01507, section 3; Brock et al. 2021, arXiv 2102.06171,
    appendix C.
    """

    def __init__(self, ratio: float = 0.5, scale: float = 1.0, gate_only: bool = False, **kwargs: Any):
        for name, value in (("ratio", ratio), ("scale", scale)):
            if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < math.inf:
                raise ValueError(f"Expected {name} to be a finite number above 0. Received: {name}={value!r}")
        if not isinstance(gate_only, bool):
            raise ValueError(f"Expected gate_only to be a bool. Received: gate_only={gate_only!r}")
        super().__init__(**kwargs)
        self.ratio = float(ratio)
        self.scale = float(scale)
        self.gate_only = gate_only

    def build(self, input_shape: Any) -> None:
        """Create the two dense layers, `fc1` and `fc2`."""
        channels = input_shape[-1]
        hidden = max(1, int(channels * self.ratio))
        self.fc1 = keras.layers.Dense(hidden, activation="relu", dtype=self.dtype_policy, name="fc1")
        self.fc2 = keras.layers.Dense(channels, activation="sigmoid", dtype=self.dtype_policy, name="fc2")
        self.fc1.build((input_shape[0], channels))
        self.fc2.build((input_shape[0], hidden))

    def call(self, inputs: Any) -> Any:
        """Return the gated inputs, or the gate."""
        gate = self.fc2(self.fc1(ops.mean(inputs, axis=(1, 2))))
        if self.scale != 1:
            gate = gate * self.scale
        gate = ops.reshape(gate, (-1, 1, 1, inputs.shape[-1]))
        return gate if self.gate_only else inputs * gate

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the inputs, or of the gate."""
        return (input_shape[0], 1, 1, input_shape[-1]) if self.gate_only else input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return {**super().get_config(), "ratio": self.ratio, "scale": self.scale, "gate_only": self.gate_only}
