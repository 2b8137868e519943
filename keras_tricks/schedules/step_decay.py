"""A learning rate that drops at given steps."""

import itertools
import math
import numbers

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_tricks")
class StepDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Multiply the learning rate by a factor at each boundary.

    The rate of step `s`, counted from 0, is `initial_learning_rate * factor ** n`, where `n` is
    the number of boundaries that are `<= s`. The first step with the new rate is the boundary
    itself, so a boundary of `30 * steps_per_epoch` is the start of the 31st epoch.
    `keras.optimizers.schedules.PiecewiseConstantDecay` changes one step later.

    Steps are compared as integers, so boundaries are exact also above 2**24. The JAX backend
    counts steps in int32, to 2**31 - 1.

    Args:
        initial_learning_rate: float >= 0, the rate before the first boundary.
        boundaries: tuple of ints >= 1, in steps, strictly increasing. Empty for a constant rate.
        factor: float in (0, 1], what each boundary multiplies the rate by. Defaults to 0.1.

    Returns:
        Called with a step, a float32 tensor of the step's shape.

    Raises:
        ValueError: if an argument is out of range, or the boundaries do not increase.

    Example:

        StepDecay(0.1, boundaries=[30 * steps_per_epoch, 60 * steps_per_epoch])

    Source: He et al. 2018, arXiv 1812.01187, section 2.1 (by ten at epochs 30, 60 and 90).
    """

    def __init__(self, initial_learning_rate, boundaries, factor=0.1):
        if not isinstance(initial_learning_rate, numbers.Real) or not 0 <= initial_learning_rate < math.inf:
            raise ValueError(
                "Expected `initial_learning_rate` to be a finite float >= 0. "
                f"Received: initial_learning_rate={initial_learning_rate}"
            )
        if (
            not isinstance(boundaries, list | tuple)
            or not all(
                isinstance(boundary, numbers.Integral) and not isinstance(boundary, bool) and boundary >= 1
                for boundary in boundaries
            )
            or any(later <= earlier for earlier, later in itertools.pairwise(boundaries))
        ):
            raise ValueError(
                "Expected `boundaries` to be a tuple of ints >= 1, strictly increasing. "
                f"Received: boundaries={boundaries}"
            )
        if not isinstance(factor, numbers.Real) or not 0 < factor <= 1:
            raise ValueError(f"Expected `factor` to be a float in (0, 1]. Received: factor={factor}")
        self.initial_learning_rate = float(initial_learning_rate)
        self.boundaries = tuple(int(boundary) for boundary in boundaries)
        self.factor = float(factor)

    def __call__(self, step):
        """Return the learning rate of a step, counted from 0."""
        step = ops.convert_to_tensor(step)
        crossed = ops.zeros_like(step, dtype="int32")
        for boundary in self.boundaries:
            crossed = crossed + ops.cast(step >= boundary, "int32")
        rates = [self.initial_learning_rate * self.factor**drops for drops in range(len(self.boundaries) + 1)]
        return ops.take(ops.convert_to_tensor(rates, dtype="float32"), crossed)

    def get_config(self):
        """Return the arguments that make an equal schedule."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "boundaries": list(self.boundaries),
            "factor": self.factor,
        }
