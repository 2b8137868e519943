"""Dropout whose masks differ between replicas."""

from __future__ import annotations

from numbers import Real
from typing import Any

import keras

from keras_tricks.layers.seed_generator import ReplicaSeedGenerator


@keras.saving.register_keras_serializable(package="keras_tricks")
class Dropout(keras.layers.Layer):
    """Set inputs to zero at random during training, others on each replica of a `tf.distribute` strategy.

    `keras.layers.Dropout` draws the same mask on every replica, so N replicas see fewer different
    masks than one device with the same batch. Without a strategy the two are the same: what is
    kept is divided by the share that is kept, and in inference the inputs pass through.

    Args:
        rate: Share of the inputs to drop, in [0, 1).
        seed: Integer, the start of the sequence of masks. Defaults to None, a random one.
        **kwargs: The arguments of `keras.layers.Layer`: `name`, `dtype`, `trainable`.

    Shapes:
        Any shape to the same shape.

    Raises:
        ValueError: If `rate` is out of range.

    Example:

        x = Dropout(0.2)(x)

    Source: Srivastava et al. 2014, Dropout: A Simple Way to Prevent Neural Networks from Overfitting, section 4.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any):
        if isinstance(rate, bool) or not isinstance(rate, Real) or not 0 <= rate < 1:
            raise ValueError(f"Expected rate to be a number in [0, 1). Received: rate={rate!r}")
        super().__init__(**kwargs)
        self.rate = float(rate)
        self.seed = seed
        if self.rate > 0:
            self.seed_generator = ReplicaSeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the inputs, with some of them zero where `training` is true."""
        if not training or self.rate == 0:
            return inputs
        return keras.random.dropout(inputs, self.rate, seed=self.seed_generator)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
