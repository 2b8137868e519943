"""A first stretch of small learning rates in front of any schedule."""

import math
import numbers

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_tricks")
class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Start a learning rate or a schedule gently.

    Right after a random start the parameters are far from their final values, and a full rate may
    not be stable. For the first `warmup_steps` steps the rate is a share of the target, which is
    the schedule's rate at its step 0:

    - `"gradual"`: `(s + 1) / warmup_steps` in step `s`, counted from 0. The last step of the
      warmup has the full target.
    - `"constant"`: `constant_fraction` in every step.

    From then on the rate is that of the schedule at `s - warmup_steps`: the schedule begins where
    the warmup ends, and its own length (`CosineDecay(decay_steps=...)`) does not include the
    warmup. With `gradient_accumulation_steps` Keras counts every batch as a step.

    Steps are compared as integers, so the seam is exact also above 2**24. The JAX backend counts
    steps in int32, to 2**31 - 1.

    Args:
        learning_rate: float >= 0, or a `keras.optimizers.schedules.LearningRateSchedule`.
        warmup_steps: int >= 0, the length of the warmup in steps. 0 changes nothing.
        kind: `"gradual"` or `"constant"`. Defaults to `"gradual"`.
        constant_fraction: float in (0, 1], the share of the target when `kind="constant"`; not
            used otherwise. Defaults to 0.1.

    Returns:
        Called with a step, a float32 tensor of the step's shape.

    Raises:
        ValueError: if an argument is out of range.

    Example:

        cosine = keras.optimizers.schedules.CosineDecay(0.4, decay_steps=115 * steps_per_epoch)
        optimizer = SGD(Warmup(cosine, warmup_steps=5 * steps_per_epoch))

    Source: He et al. 2018, arXiv 1812.01187, section 3.1; both kinds: Goyal et al. 2017,
    arXiv 1706.02677, section 2.2.
    """

    def __init__(self, learning_rate, warmup_steps, kind="gradual", constant_fraction=0.1):
        if not isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
            if not isinstance(learning_rate, numbers.Real) or not 0 <= learning_rate < math.inf:
                raise ValueError(
                    "Expected `learning_rate` to be a finite float >= 0 or a "
                    f"LearningRateSchedule. Received: learning_rate={learning_rate}"
                )
            learning_rate = float(learning_rate)
        if not isinstance(warmup_steps, numbers.Integral) or isinstance(warmup_steps, bool) or warmup_steps < 0:
            raise ValueError(f"Expected `warmup_steps` to be an int >= 0. Received: warmup_steps={warmup_steps}")
        if kind not in ("gradual", "constant"):
            raise ValueError(f"Expected `kind` to be 'gradual' or 'constant'. Received: kind={kind!r}")
        if not isinstance(constant_fraction, numbers.Real) or not 0 < constant_fraction <= 1:
            raise ValueError(
                f"Expected `constant_fraction` to be a float in (0, 1]. Received: constant_fraction={constant_fraction}"
            )
        self.learning_rate = learning_rate
        self.warmup_steps = int(warmup_steps)
        self.kind = kind
        self.constant_fraction = float(constant_fraction)

    def __call__(self, step):
        """Return the learning rate of a step, counted from 0."""
        step = ops.convert_to_tensor(step)
        rate = self._scheduled_rate(ops.maximum(step - self.warmup_steps, 0))
        if self.warmup_steps == 0:
            return rate
        if self.kind == "gradual":
            share = ops.cast(step + 1, "float32") / self.warmup_steps
        else:
            share = self.constant_fraction
        return ops.where(step < self.warmup_steps, rate * share, rate)

    def get_config(self):
        """Return the arguments that make an equal schedule."""
        learning_rate = self.learning_rate
        if not isinstance(learning_rate, float):
            learning_rate = keras.optimizers.schedules.serialize(learning_rate)
        return {
            "learning_rate": learning_rate,
            "warmup_steps": self.warmup_steps,
            "kind": self.kind,
            "constant_fraction": self.constant_fraction,
        }

    @classmethod
    def from_config(cls, config):
        """Make a schedule from the output of `get_config`."""
        learning_rate = config["learning_rate"]
        if isinstance(learning_rate, dict):
            learning_rate = keras.optimizers.schedules.deserialize(learning_rate)
        return cls(**{**config, "learning_rate": learning_rate})

    def _scheduled_rate(self, step):
        if isinstance(self.learning_rate, float):
            return ops.full(ops.shape(step), self.learning_rate, dtype="float32")
        return ops.cast(self.learning_rate(step), "float32")
