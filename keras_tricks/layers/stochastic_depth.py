"""Stochastic depth: residual branches that are dropped at random."""

from __future__ import annotations

from numbers import Real
from typing import Any

import keras
from keras import ops

from keras_tricks.layers.seed_generator import ReplicaSeedGenerator


@keras.saving.register_keras_serializable(package="keras_tricks")
class StochasticDepth(keras.layers.Layer):
    """Set whole samples of a residual branch to zero at random during training.

    Each sample of the batch is kept or dropped by itself, so that its block becomes the shortcut.
    In inference, at a rate of zero, and where `trainable` is false (as with batch normalization, what is frozen
    computes as in inference) the inputs pass through. NF networks do not divide what they keep by the share that they
    keep; other users, such as EfficientNet, ask for it with `rescale`.

    Args:
        rate: Probability of dropping a sample, in [0, 1). NF networks let it grow with the depth:
            `rate * index_of_block / number_of_blocks`.
        rescale: Whether samples that are kept are divided by `1 - rate`, so that the mean over
            many draws is the input. Defaults to `False`.
        seed: Integer, the start of the sequence of masks. Masks differ between the replicas of a
            `tf.distribute` strategy. Defaults to None, a random one.
        **kwargs: The arguments of `keras.layers.Layer`: `name`, `dtype`, `trainable`.

    Shapes:
        `(batch, ...)` to the same shape.

    Raises:
        ValueError: If an argument is out of range.

    Example:

        branch = StochasticDepth(0.25 * index / blocks)(branch)

    Source: Huang et al. 2016, arXiv 1603.09382, section 3; for each sample and without rescaling in the code of
    Brock et al. 2021, arXiv 2102.06171.
    """

    def __init__(self, rate: float, rescale: bool = False, seed: int | None = None, **kwargs: Any):
        if isinstance(rate, bool) or not isinstance(rate, Real) or not 0 <= rate < 1:
            raise ValueError(f"Expected rate to be a number in [0, 1). Received: rate={rate!r}")
        if not isinstance(rescale, bool):
            raise ValueError(f"Expected rescale to be a bool. Received: rescale={rescale!r}")
        super().__init__(**kwargs)
        self.rate = float(rate)
        self.rescale = rescale
        self.seed = seed
        if self.rate > 0:
            self.seed_generator = ReplicaSeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the inputs, with some samples zero where `training` is true."""
        if not training or self.rate == 0 or not self.trainable:
            return inputs
        keep = 1 - self.rate
        shape = (ops.shape(inputs)[0],) + (1,) * (len(inputs.shape) - 1)
        # In float16 the draw itself would be too coarse for small rates.
        drawn = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        kept = ops.cast(drawn < keep, inputs.dtype)
        return inputs * (kept / keep if self.rescale else kept)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return {**super().get_config(), "rate": self.rate, "rescale": self.rescale, "seed": self.seed}
