"""Callbacks for `model.fit`: run directories, exact resume, averages of the weights, and progress."""

from keras_tricks.callbacks.average_in_model import AverageInModel
from keras_tricks.callbacks.checkpoint import Checkpoint, CheckpointError, Position
from keras_tricks.callbacks.checkpoint_averaging import CheckpointAveraging
from keras_tricks.callbacks.diverged_error import DivergedError
from keras_tricks.callbacks.gradient_monitor import GradientMonitor
from keras_tricks.callbacks.input_wait import InputWait
from keras_tricks.callbacks.progress import Progress
from keras_tricks.callbacks.run_logger import RunLogger, StopRequested
from keras_tricks.callbacks.statistics_averaging import StatisticsAveraging
from keras_tricks.callbacks.unreadable_images import UnreadableImages, UnreadableImagesError
from keras_tricks.callbacks.weight_averaging import WeightAveraging

__all__ = [
    "AverageInModel",
    "Checkpoint",
    "CheckpointAveraging",
    "CheckpointError",
    "DivergedError",
    "GradientMonitor",
    "InputWait",
    "Position",
    "Progress",
    "RunLogger",
    "StatisticsAveraging",
    "StopRequested",
    "UnreadableImages",
    "UnreadableImagesError",
    "WeightAveraging",
]
