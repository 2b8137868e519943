"""Maps of one size brought to the size of others."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_tricks")
class ResizeLike(keras.layers.Layer):
    """Resize maps to the height and width of other maps, bilinearly.

    Unlike `keras.layers.UpSampling2D` it needs no whole factor, so that a segmenter takes images of any size, and
    unlike `keras.layers.Resizing` no size that is known when the model is built. Values stand in the middle of their
    pixels (`align_corners=False` in PyTorch), and what is at the edge goes on beyond it.

    Args:
        **kwargs: The arguments of `keras.layers.Layer`: `name`, `dtype`, `trainable`.

    Shapes:
        `[(batch, height, width, channels), (batch, new height, new width, any)]` to
        `(batch, new height, new width, channels)`.

    Example:

        logits = ResizeLike()([logits, images])
    """

    def call(self, inputs: Any) -> Any:
        """Return the first input in the size of the second."""
        maps, like = inputs
        height, width = ops.shape(like)[1:3]
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # `ops.image.resize` compares the size with 0, which a graph cannot where it is not known yet.
            return tf.cast(tf.image.resize(maps, (height, width)), maps.dtype)
        return ops.image.resize(maps, (height, width), interpolation="bilinear", data_format="channels_last")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the first input in the size of the second."""
        maps, like = input_shape
        return (maps[0], like[1], like[2], maps[3])
