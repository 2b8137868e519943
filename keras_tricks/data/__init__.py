"""Images with one-hot labels: sources, preprocessing, augmentation, mixing and deterministic pipelines."""

from keras_tricks.data.color import ColorJitter, ColorTransform, PcaNoise
from keras_tricks.data.growing_images import at_size, growing_batches
from keras_tricks.data.image_data_set import DataNotFound, ImageDataSet, Split
from keras_tricks.data.mixing import CutMix, Halves, MixUp, OneOf
from keras_tricks.data.pipeline import (
    Part,
    can_be_shared,
    evaluation_batches,
    prepare_image,
    steps_per_epoch,
    training_batches,
)
from keras_tricks.data.preprocessing import (
    ImageNetPreprocessing,
    Preprocessing,
    SmallImagePreprocessing,
    pixels_of,
    preprocessing_config,
    preprocessing_for,
    preprocessing_from_config,
)
from keras_tricks.data.rand_augment import RandAugment
from keras_tricks.data.sources import load

__all__ = [
    "ColorJitter",
    "ColorTransform",
    "CutMix",
    "DataNotFound",
    "Halves",
    "ImageDataSet",
    "ImageNetPreprocessing",
    "MixUp",
    "OneOf",
    "Part",
    "PcaNoise",
    "Preprocessing",
    "RandAugment",
    "SmallImagePreprocessing",
    "Split",
    "at_size",
    "can_be_shared",
    "evaluation_batches",
    "growing_batches",
    "load",
    "pixels_of",
    "prepare_image",
    "preprocessing_config",
    "preprocessing_for",
    "preprocessing_from_config",
    "steps_per_epoch",
    "training_batches",
]
