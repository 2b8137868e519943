"""Choose the devices of a run."""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass
from typing import Any

import keras

from keras_tricks.distribute.multi_worker import Team
from keras_tricks.keras_private import strategy_with_its_own_keys
from keras_tricks.recipe import RecipeError

KEYS_PER_STRATEGY = 100_000


@dataclass(frozen=True)
class Replicas:
    """The devices that train together.

    Args:
        count: How many there are.
        strategy: A `tf.distribute.MirroredStrategy` over them, or a `MultiWorkerMirroredStrategy`; None for one device.
        workers: How many processes, each on its own machine or not, have them.
    """

    count: int
    strategy: Any = None
    workers: int = 1

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """The context in which the model and its optimizer are made."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()


def choose_replicas(requested: int | None = None, team: Team | None = None) -> Replicas:
    """Return the devices for a run on this machine, or of several workers.

    Args:
        requested: How many replicas; None means all visible GPUs, or one device where there is no GPU. TensorFlow's
            logical CPU devices count where there is no GPU. Other backends than TensorFlow have one replica.
        team: The workers that train together, with all the GPUs of each. Defaults to None, this process alone.

    Raises:
        RecipeError: There are fewer devices than requested, or several workers have another number of them.
    """
    if team is not None:
        count = team.strategy.num_replicas_in_sync
        if requested not in (None, count):
            raise RecipeError(
                f"The {team.workers.count} workers have {count} devices together, and train on all of them. Set "
                f"replicas={count}, or leave it unset. Received: replicas={requested}"
            )
        return Replicas(count, team.strategy, team.workers.count)
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

    Args:
        devices: The names of the devices, such as `("/device:GPU:0", "/device:GPU:1")`.
    """
    import tensorflow as tf

    base = mirrored_strategy.cache_info().currsize * KEYS_PER_STRATEGY
    return strategy_with_its_own_keys(tf.distribute.MirroredStrategy, base, list(devices))
