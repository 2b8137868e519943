"""Learning rates over steps: what stands before and beside Keras's own schedules."""

from keras_tricks.schedules.linear_scaling import linear_scaling
from keras_tricks.schedules.step_decay import StepDecay
from keras_tricks.schedules.warmup import Warmup

__all__ = ["StepDecay", "Warmup", "linear_scaling"]
