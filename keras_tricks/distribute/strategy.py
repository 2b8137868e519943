"""Choose the devices of a run."""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass
from typing import Any

import keras

from keras_tricks.recipe import RecipeError


@dataclass(frozen=True)
class Replicas:
    """The devices that train together.

    Args:
        count: How many there are.
        strategy: A `tf.distribute.MirroredStrategy` over them, or None for one device.
    """

    count: int
    strategy: Any = None

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """The context in which the model and its optimizer are made."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()


def choose_replicas(requested: int | None = None) -> Replicas:
    """Return the devices for a run on this machine.

    Args:
        requested: How many replicas; None means all visible GPUs, or one device where there is no GPU. TensorFlow's
            logical CPU devices count where there is no GPU. Other backends than TensorFlow have one replica.

    Raises:
        RecipeError: There are fewer devices than requested.
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        if (requested or 1) > 1:
            raise RecipeError(
                f"Replicas are TensorFlow's: the {backend} backend trains on one device. Set replicas=1. "
                f"Received: replicas={requested}"
            )
        return Replicas(1)
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    devices = gpus or tf.config.list_logical_devices("CPU")
    count = requested or max(1, len(gpus))
    if count > len(devices):
        raise RecipeError(
            f"This machine has {len(devices)} {'GPU' if gpus else 'CPU device'}(s). Set replicas={len(devices)} or "
            f"less. Received: replicas={count}"
        )
    if count == 1:
        return Replicas(1)
    return Replicas(count, mirrored_strategy(tuple(device.name for device in devices[:count])))


@functools.cache
def mirrored_strategy(devices: tuple[str, ...]) -> Any:
    """Return the `tf.distribute.MirroredStrategy` over these devices, always the same one.

    Two strategies over the same devices number their collective operations alike, and TensorFlow takes the second
    one's synchronized batch normalization for the first one's: "Shape mismatch in the collective instance".

    Args:
        devices: The names of the devices, such as `("/device:GPU:0", "/device:GPU:1")`.
    """
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(list(devices))
