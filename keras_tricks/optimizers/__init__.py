"""Optimizers that Keras lacks, each usable with `compile` and `fit`."""

from keras_tricks.optimizers.adaptive_gradient_clipping import AdaptiveGradientClipping
from keras_tricks.optimizers.gradient_clipping import GradientClipping
from keras_tricks.optimizers.loss_scale_optimizer import LossScaleOptimizer
from keras_tricks.optimizers.sgd import NO_BIAS_DECAY, SGD

__all__ = ["NO_BIAS_DECAY", "SGD", "AdaptiveGradientClipping", "GradientClipping", "LossScaleOptimizer"]
