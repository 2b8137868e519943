"""Batches of images and masks for training and evaluation, the same ones for the same seed."""

import functools
from collections.abc import Callable

import tensorflow as tf

from keras_tricks.data.color import ColorTransform
from keras_tricks.data.drawn_items import drawn_items
from keras_tricks.data.loading import FILES_IN_GROUP, load_images, unconverted
from keras_tricks.data.pipeline import Part, evaluated_split, finish, steps_per_epoch
from keras_tricks.data.segmentation.classes import IGNORED
from keras_tricks.data.segmentation.mask_folder import MaskSplit, SegmentationDataSet
from keras_tricks.data.segmentation.mask_records import RecordMaskSplit
from keras_tricks.data.segmentation.preprocessing import SegmentationPreprocessing


def segmentation_training_batches(
    data_set: SegmentationDataSet,
    preprocessing: SegmentationPreprocessing,
    batch_size: int,
    seed: int,
    first_epoch: int = 0,
    epochs: int = 1,
    first_step: int = 0,
    part: Part | None = None,
    image_transforms: tuple[ColorTransform, ...] = (),
) -> tf.data.Dataset:
    """Return the training batches of the epochs `first_epoch` to `epochs - 1` in one stream.

    It has the properties of `training_batches`: order and augmentation are a function of the seed, the epoch and the
    place in it, and a stream that starts later is bit for bit the rest of the whole one.

    Args:
        data_set: The data set.
        preprocessing: How image and mask are augmented.
        batch_size: Images in a batch, over all replicas.
        seed: Seed of order and augmentation, at least 0.
        first_epoch: The first epoch of the stream, counted from 0.
        epochs: The epoch to stop before, counted from the start of training.
        first_step: The first batch of `first_epoch`, counted from 0.
        part: The part of each batch to return, which together are the whole batches. Defaults to None, all of it.
        image_transforms: What happens to the colours of each image.

    Returns:
        A dataset of float32 images (batch, size, size, 3) and int32 masks (batch, size, size) of class indices,
        `IGNORED` where nothing is known, with known cardinality.

    Raises:
        ValueError: If the training images do not fill one batch, or an argument is out of range.

    Example:
        >>> streets = load("masks:streets")
        >>> batches = segmentation_training_batches(streets, SegmentationPreprocessing(image_size=480), 16, seed=0)
    """
    steps = steps_per_epoch(data_set, batch_size)
    items = drawn_items(
        data_set.train,
        steps,
        batch_size,
        preprocessing.random_numbers,
        seed,
        first_epoch,
        epochs,
        first_step,
        part,
        image_transforms,
    )
    augment = functools.partial(preprocessing.augment, colors=image_transforms)
    pairs = _pairs(items, data_set.train, augment, preprocessing.blank)
    batches = pairs.batch(batch_size // (part.count if part else 1), drop_remainder=True)
    return finish(batches, (epochs - first_epoch) * steps - first_step)


def segmentation_evaluation_batches(
    data_set: SegmentationDataSet,
    preprocessing: SegmentationPreprocessing,
    batch_size: int,
    split: str = "validation",
) -> tf.data.Dataset:
    """Return every image of a split once, whole, in the stored order and without augmentation.

    Images of other sizes in a batch are padded to the largest, with the mean colour and `IGNORED`: where sizes differ,
    what a network says near the padding, and what a mean over the image gives, depend on which images share a batch.

    Args:
        data_set: The data set.
        preprocessing: How image and mask are prepared.
        batch_size: Images in a batch, over all replicas; the last batch may be smaller.
        split: `validation` or `train`.

    Returns:
        A dataset of float32 images (batch, height, width, 3) and int32 masks (batch, height, width), with known
        cardinality; the sides are multiples of `preprocessing.output_stride`.
    """
    part: MaskSplit | RecordMaskSplit = evaluated_split(data_set, split, batch_size)
    items = part.ordered().map(lambda item: (item,))
    pairs = _pairs(items, part, preprocessing.prepare, lambda: preprocessing.blank(preprocessing.output_stride), 1)
    batches = pairs.padded_batch(batch_size, ([None, None, 3], [None, None]), (0.0, IGNORED))
    return finish(batches, -(-part.size // batch_size))


def _pairs(
    items: tf.data.Dataset,
    split: MaskSplit | RecordMaskSplit,
    function: Callable,
    blank: Callable,
    files_in_group: int = FILES_IN_GROUP,
) -> tf.data.Dataset:
    """Return (image, mask) of each item; of a file that has become unreadable the blank ones."""

    def of_pair(pair, *uniforms):
        return function(*pair, *uniforms)

    return load_images(items, split, of_pair, blank, files_in_group).map(unconverted(lambda pair, _: pair))
