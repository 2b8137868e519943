"""Seeds that differ between the replicas of a `tf.distribute` strategy."""

from __future__ import annotations

from typing import Any

import keras


class ReplicaSeedGenerator(keras.random.SeedGenerator):
    """Yield seeds that differ from step to step and from replica to replica.

    The state of a `keras.random.SeedGenerator` is the same on every replica, so all of them would draw
    the same mask. This one folds the replica's number into what it yields; the states still move
    together, and the first replica draws what a single device would. Without a strategy, and on the
    JAX and PyTorch backends, it is a `keras.random.SeedGenerator`.

    Args:
        seed: Integer, the start of the sequence. Defaults to None, a random one.
        name: Name of the generator.

    Example:

        generator = ReplicaSeedGenerator(1)
        mask = keras.random.uniform((8, 1, 1, 1), seed=generator)
    """

    def next(self, ordered: bool = True) -> Any:
        """Return the next seed and move the state on.

        Args:
            ordered: Whether the seeds count up. Defaults to `True`.
        """
        seed = super().next(ordered)
        replica = _replica()
        if replica is None:
            return seed
        # Far apart, so that no replica draws what another layer's neighbouring seed gives.
        first = keras.ops.cast(replica, seed.dtype) * 0x9E3779B9
        return seed + keras.ops.stack([first, keras.ops.zeros_like(first)])


def _replica() -> Any:
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return None
    return context.replica_id_in_sync_group
