"""Sharpness-aware minimization, as a gradient method of the trainer."""

from __future__ import annotations

import math
import numbers
from typing import TYPE_CHECKING, Any

import keras

from keras_tricks.ascent_images import ROUNDING, ascent_places, makes_same_parts, nearest_share

if TYPE_CHECKING:
    from keras_tricks.distribute.trainer import Batch, ReplicaTrainer

ASCENTS = ("reduced", "per_replica")


class SharpnessAware:
    """Take the gradient where the loss is about the largest near the weights.

    With `g` the gradient of all variables in one vector, the step is made with the gradient at

        w + rho * g / |g|

    from the weights `w`. It takes two forward and backward passes, in which random layers draw the same. Metrics and
    statistics of batch normalizations come from the first one. In float16 both passes are free of the loss scale: it
    cancels in `g / |g|`, and the second gradient is unscaled by the optimizer; an overflow in either pass skips the
    step.

    With `ascent_share` below 1 the first pass, and with it `g`, metrics and statistics, has that share of the batch
    only, at the same weights; the second pass has all of it. Of B images these are n = ceil(share * B), those at the
    places p where ceil((p + 1) n / B) > ceil(p n / B): the first one, and others in equal distances. Each replica picks
    from its part of the batch, and accumulation makes its micro-batches of what was picked. So that N replicas
    pick what one device would, each must pick an even number of images, which is checked.

    Args:
        rho: Length of the ascent, > 0. Defaults to 0.05, the value of the NFNet paper.
        ascent: `"reduced"`: all replicas ascend along the gradient of the whole batch, so that N replicas give what one
            device gives. `"per_replica"`: each along its own gradient, as in the published code, where a larger number
            of replicas regularizes more. Defaults to `"reduced"`.
        ascent_share: Share of the batch that the first pass sees, in (0, 1]. Defaults to 1.0, as in the paper; a
            smaller one saves time, as in the NFNet paper.

    Raises:
        ValueError: An argument is out of range, or in the first step: the replicas cannot pick what one device would.

    Example:

    ```python
    model = ReplicaModel.of(model, gradient_method=SharpnessAware())
    ```

    Source: Foret et al. 2020, Sharpness-Aware Minimization for Efficiently Improving Generalization, arXiv 2010.01412,
    algorithm 1 and section 4.1; Brock et al. 2021, arXiv 2102.06171, section 5.1.
    """

    def __init__(self, rho: float = 0.05, ascent: str = "reduced", ascent_share: float = 1.0):
        if not isinstance(rho, numbers.Real) or not 0 < rho < math.inf:
            raise ValueError(f"Expected `rho` to be a finite float > 0. Received: rho={rho!r}")
        if ascent not in ASCENTS:
            raise ValueError(f"Expected `ascent` to be one of {ASCENTS}. Received: ascent={ascent!r}")
        if not isinstance(ascent_share, numbers.Real) or not 0 < ascent_share <= 1:
            raise ValueError(
                f"Expected `ascent_share` to be a float in (0, 1]. Received: ascent_share={ascent_share!r}"
            )
        self.rho = float(rho)
        self.ascent = ascent
        self.ascent_share = float(ascent_share)

    def __call__(self, trainer: ReplicaTrainer, batch: Batch) -> list[Any]:
        """Return the gradients of one replica at the ascended weights."""
        import tensorflow as tf

        seed_states = trainer.seed_states()
        ascent = [
            None if each is None else tf.cast(tf.convert_to_tensor(each), tf.float32)
            for each in trainer.batch_gradients(self._picked(trainer, batch))
        ]
        present = [each for each in ascent if each is not None]
        if self.ascent == "reduced" and trainer.distribute_strategy.num_replicas_in_sync > 1:
            present = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, present)
        # `linalg.global_norm` would turn an infinity into NaN too, but square a scaled gradient out of range.
        largest = tf.reduce_max([tf.reduce_max(tf.abs(each)) for each in present])
        largest = tf.where(largest > 0, largest, 1.0)
        norm = tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(each / largest)) for each in present]))
        factor = tf.math.divide_no_nan(self.rho, norm) / largest
        steps = iter(present)
        weights = [
            tf.convert_to_tensor(variable)
            if each is None
            else tf.convert_to_tensor(variable) + tf.cast(factor * next(steps), variable.dtype)
            for variable, each in zip(trainer.trainable_variables, ascent, strict=True)
        ]
        return trainer.batch_gradients(batch, weights, seed_states)

    def _picked(self, trainer: ReplicaTrainer, batch: Batch) -> Batch:
        """Return the examples of one replica's part of a batch that the ascent uses."""
        import tensorflow as tf

        if self.ascent_share == 1:
            return batch
        first = keras.tree.flatten(batch.x)[0]
        count = first.shape[0]
        if self.ascent == "reduced" and trainer.distribute_strategy.num_replicas_in_sync > 1:
            self._require_same_parts(tf.shape(first)[0] if count is None else count)
        places = (
            _places(tf.shape(first)[0], self.ascent_share) if count is None else ascent_places(count, self.ascent_share)
        )
        return keras.tree.map_structure(lambda leaf: None if leaf is None else tf.gather(leaf, places), batch)

    def _require_same_parts(self, count: Any) -> None:
        """Raise where replicas with parts of `count` examples would not pick what one device would."""
        import tensorflow as tf

        words = (
            "Expected `ascent_share` to pick an even number of examples from each replica's part of a batch, so that "
            "replicas pick what one device would"
        )
        if isinstance(count, int):
            if not makes_same_parts(count, self.ascent_share):
                nearest = nearest_share(count, self.ascent_share)
                raise ValueError(
                    words
                    + (f", such as {nearest:g}" if nearest else "")
                    + f". Received: ascent_share={self.ascent_share:g} of {count} examples"
                )
            return
        pairs = tf.cast(count, tf.float32) * (self.ascent_share / 2)
        tf.debugging.assert_less(
            tf.abs(pairs - tf.maximum(tf.round(pairs), 1.0)),
            ROUNDING,
            f"{words}. Leave out the last, partial batch (drop_remainder=True) if it is that. "
            f"Received: ascent_share={self.ascent_share:g}",
        )


def _places(count: Any, share: float) -> Any:
    """What `ascent_places` returns, in the graph."""
    import tensorflow as tf

    picked = tf.maximum(1, tf.cast(tf.math.ceil(tf.cast(count, tf.float32) * share - ROUNDING), count.dtype))
    edges = -(-tf.range(count + 1) * picked // count)
    return tf.where(edges[1:] > edges[:-1])[:, 0]
