"""Layers that Keras lacks, each usable in any Keras model."""

from keras_tricks.layers.dilated_average_pooling2d import DilatedAveragePooling2D
from keras_tricks.layers.dropout import Dropout
from keras_tricks.layers.resize_like import ResizeLike
from keras_tricks.layers.scaled_activation import ACTIVATION_GAMMAS, ScaledActivation
from keras_tricks.layers.scaled_standardized_conv2d import ScaledStandardizedConv2D
from keras_tricks.layers.seed_generator import ReplicaSeedGenerator
from keras_tricks.layers.skip_init import SkipInit
from keras_tricks.layers.squeeze_excite import SqueezeExcite
from keras_tricks.layers.stochastic_depth import StochasticDepth

__all__ = [
    "ACTIVATION_GAMMAS",
    "DilatedAveragePooling2D",
    "Dropout",
    "ReplicaSeedGenerator",
    "ResizeLike",
    "ScaledActivation",
    "ScaledStandardizedConv2D",
    "SkipInit",
    "SqueezeExcite",
    "StochasticDepth",
]
