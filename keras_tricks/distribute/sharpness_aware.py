"""Sharpness-aware minimization, as a gradient method of the trainer."""

from __future__ import annotations

import math
import numbers
from typing import TYPE_CHECKING, Any

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

    Args:
        rho: Length of the ascent, > 0. Defaults to 0.05, the value of the NFNet paper.
        ascent: `"reduced"`: all replicas ascend along the gradient of the whole batch, so that N replicas give what one
            device gives. `"per_replica"`: each along its own gradient, as in the published code, where a larger number
            of replicas regularizes more. Defaults to `"reduced"`.

    Raises:
        ValueError: An argument is out of range.

    Example:

    ```python
    model = ReplicaModel.of(model, gradient_method=SharpnessAware())
    ```

    Source: Foret et al. 2020, Sharpness-Aware Minimization for Efficiently Improving Generalization, arXiv 2010.01412,
    algorithm 1 and section 4.1; Brock et al. 2021, arXiv 2102.06171, section 5.1.
    """

    def __init__(self, rho: float = 0.05, ascent: str = "reduced"):
        if not isinstance(rho, numbers.Real) or not 0 < rho < math.inf:
            raise ValueError(f"Expected `rho` to be a finite float > 0. Received: rho={rho!r}")
        if ascent not in ASCENTS:
            raise ValueError(f"Expected `ascent` to be one of {ASCENTS}. Received: ascent={ascent!r}")
        self.rho = float(rho)
        self.ascent = ascent

    def __call__(self, trainer: ReplicaTrainer, batch: Batch) -> list[Any]:
        """Return the gradients of one replica at the ascended weights."""
        import tensorflow as tf

        seed_states = trainer.seed_states()
        ascent = [
            None if each is None else tf.cast(tf.convert_to_tensor(each), tf.float32)
            for each in trainer.batch_gradients(batch)
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
