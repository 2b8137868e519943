"""An average of four values that need not be neighbours."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_tricks")
class DilatedAveragePooling2D(keras.layers.Layer):
    """Average each value with those that are some places to the right, below, and both.

    Where a dilated network has no stride, this is what an average pool of size and stride 2 becomes: the same
    average at every place, over values that are as far apart as the strides before it would have put them.
    Places beyond the edge are left out of the average, as `keras.layers.AveragePooling2D(2, padding="same")` does.

    Args:
        dilation_rate: Integer of at least 1, how far apart the values are. Defaults to 1, with which it is an
            `AveragePooling2D(2, strides=1, padding="same")`.
        **kwargs: The arguments of `keras.layers.Layer`: `name`, `dtype`, `trainable`.

    Shapes:
        `(batch, height, width, channels)` to the same shape.

    Raises:
        ValueError: If `dilation_rate` is out of range.

    Example:

        x = DilatedAveragePooling2D(2)(x)

    Source: the average pools of He et al. 2018, arXiv 1812.01187, section 4.2, dilated as the convolutions of
    Chen et al. 2017, arXiv 1706.05587, section 3.1.
    """

    def __init__(self, dilation_rate: int = 1, **kwargs: Any):
        if isinstance(dilation_rate, bool) or not isinstance(dilation_rate, Integral) or dilation_rate < 1:
            raise ValueError(
                f"Expected dilation_rate to be an integer of at least 1. Received: dilation_rate={dilation_rate!r}"
            )
        super().__init__(**kwargs)
        self.dilation_rate = int(dilation_rate)

    def call(self, inputs: Any) -> Any:
        """Return the averages."""
        d = self.dilation_rate
        x = ops.concatenate([(inputs[:, :-d] + inputs[:, d:]) / 2, inputs[:, -d:]], axis=1)
        return ops.concatenate([(x[:, :, :-d] + x[:, :, d:]) / 2, x[:, :, -d:]], axis=2)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return {**super().get_config(), "dilation_rate": self.dilation_rate}
