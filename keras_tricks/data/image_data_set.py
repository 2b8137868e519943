"""A data set of labelled images, as two splits that can be read in any epoch's order."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_tricks.data_facts import DataFacts

ORDER_STREAM, IMAGE_STREAM, BATCH_STREAM = range(3)


class DataNotFound(ValueError):  # noqa: N818
    """Say that a data set is not there, where it was looked for, and how to get it."""


def stream_seed(seed: int, stream: int, number: tf.Tensor | int) -> tf.Tensor:
    """Return the stateless seed of one draw.

    Args:
        seed: The seed of the run, at least 0.
        stream: What is drawn: `ORDER_STREAM`, `IMAGE_STREAM` or `BATCH_STREAM`.
        number: Which draw: the epoch for the order, the step since the start of training otherwise.

    Returns:
        An int64 tensor of shape (2,), different for every (seed, stream, number).
    """
    first = tf.constant(3 * seed + stream, tf.int64)
    return tf.stack([first, tf.cast(number, tf.int64)])


class Split(ABC):
    """One part of a data set: `size` images that can be read in order or shuffled.

    An item is what `read` needs to fetch one image: an index, or a serialised record.

    Args:
        size: Number of images.
    """

    def __init__(self, size: int):
        self.size = size

    @abstractmethod
    def ordered(self) -> tf.data.Dataset:
        """Return every item once, in the stored order."""

    @abstractmethod
    def shuffled(self, seed: int, epoch: tf.Tensor) -> tf.data.Dataset:
        """Return every item once, in an order that depends on nothing but `seed` and `epoch`."""

    @abstractmethod
    def read(self, item: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return (image, label) of an item.

        The image is a uint8 tensor (height, width, 3), or a string scalar with the encoded file;
        the label is the int64 index of the class.
        """


class IndexedSplit(Split):
    """A split whose images are found by their index; each epoch is one random permutation."""

    def ordered(self):
        """Return the indices in ascending order."""
        return tf.data.Dataset.range(self.size)

    def shuffled(self, seed, epoch):
        """Return the indices in the random order of this epoch."""
        indices = tf.range(self.size, dtype=tf.int64)
        order = tf.random.experimental.stateless_shuffle(indices, stream_seed(seed, ORDER_STREAM, epoch), alg="philox")
        return tf.data.Dataset.from_tensor_slices(order)


class ArraySplit(IndexedSplit):
    """A split held in memory; `read` also takes a vector of indices and returns a batch.

    Args:
        images: uint8 array (size, height, width, 3).
        labels: Class indices (size,).
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        super().__init__(len(images))
        with tf.device("CPU:0"):
            self.images = tf.constant(images, tf.uint8)
            self.labels = tf.constant(labels, tf.int64)

    def read(self, item):
        """Return the images and labels at one index or a vector of indices."""
        return tf.gather(self.images, item), tf.gather(self.labels, item)


@dataclass(frozen=True, eq=False)
class ImageDataSet:
    """A loaded data set.

    Args:
        name: The name that it was loaded by.
        class_names: Name of each class, in the order of the labels.
        train: The images to train on.
        validation: The images to validate on; none of them is in `train`.
        facts: The facts of the data set, with the counts that loading has found.
        warnings: Sentences about what was left out, to be shown to the user.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    validation: Split
    facts: DataFacts
    warnings: tuple[str, ...] = ()
