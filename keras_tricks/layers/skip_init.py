"""SkipInit: residual branches that start at zero."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="keras_tricks")
class SkipInit(keras.layers.Layer):
    """Multiply a residual branch by one learned gain that starts at zero.

    With the gain at zero every block starts as its shortcut, which makes deep networks without
    normalization trainable from the first step. The weight is called `skip_gain`.

    Args:
        scale: Constant that the branch is multiplied by as well, the alpha of NF networks: one
            multiplication then does both. Defaults to 1.
        gain_initializer: Initializer of the gain. Defaults to `"zeros"`; signal propagation at
            initialization is studied with `"ones"`.
        **kwargs: The arguments of `keras.layers.Layer`: `name`, `dtype`, `trainable`.

    Shapes:
        Any shape to the same shape.

    Raises:
        ValueError: If `scale` is not a finite number.

    Example:

        x = keras.layers.Add()([shortcut, SkipInit(scale=0.2)(branch)])

    Source: De and Smith 2020, arXiv 2002.10444, section 3.1; Brock et al. 2021, arXiv 2102.06171, appendix C.
    """

    def __init__(self, scale: float = 1.0, gain_initializer: Any = "zeros", **kwargs: Any):
        if isinstance(scale, bool) or not isinstance(scale, Real) or not math.isfinite(scale):
            raise ValueError(f"Expected scale to be a finite number. Received: scale={scale!r}")
        super().__init__(**kwargs)
        self.scale = float(scale)
        self.gain_initializer = keras.initializers.get(gain_initializer)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Create the gain."""
        self.skip_gain = self.add_weight(shape=(), initializer=self.gain_initializer, name="skip_gain")

    def call(self, inputs: Any) -> Any:
        """Return the inputs times gain and scale."""
        return inputs * (self.skip_gain * self.scale)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return {
            **super().get_config(),
            "scale": self.scale,
            "gain_initializer": keras.initializers.serialize(self.gain_initializer),
        }
