"""Batches for training and evaluation, the same ones for the same seed, whatever is in parallel."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_tricks.data.image_data_set import (
    BATCH_STREAM,
    IMAGE_STREAM,
    ArraySplit,
    ImageDataSet,
    Split,
    stream_seed,
)
from keras_tricks.data.image_folder import FileSplit
from keras_tricks.data.mixing import mixes_pairs_alike, one_mixing_a_batch
from keras_tricks.data.preprocessing import Preprocessing, SmallImagePreprocessing

FILES_IN_GROUP = 16

# AutoGraph has nothing to convert here, and looking takes a good part of the start-up time.
_unconverted = tf.autograph.experimental.do_not_convert


class Part(NamedTuple):
    """One of the equal parts of a batch.

    Args:
        index: Which one, from 0.
        count: How many there are.
    """

    index: int
    count: int

    def places(self, batch_size: int) -> list[int]:
        """Return the places in the batch: with each place also that of its partner in the reversed batch."""
        pairs = batch_size // (2 * self.count)
        first = range(self.index * pairs, (self.index + 1) * pairs)
        return [*first, *(batch_size - 1 - place for place in reversed(first))]


def can_be_shared(batch_size: int, count: int, batch_transforms: tuple = ()) -> bool:
    """Return whether batches can be made in so many parts, each by itself, that together are the whole ones.

    Args:
        batch_size: Images in a batch.
        count: How many parts.
        batch_transforms: What happens to each batch.
    """
    return batch_size % (2 * count) == 0 and mixes_pairs_alike(tuple(batch_transforms))


def steps_per_epoch(data_set: ImageDataSet, batch_size: int) -> int:
    """Return the number of whole training batches in an epoch.

    Args:
        data_set: The data set.
        batch_size: Images in a batch, over all replicas.

    Raises:
        ValueError: If the training images do not fill one batch.
    """
    _check_batch_size(batch_size)
    if data_set.train.size < batch_size:
        raise ValueError(
            f"{data_set.name} has {data_set.train.size} training images, which do not fill one "
            f"batch: choose a smaller batch. Received: batch_size={batch_size}"
        )
    return data_set.train.size // batch_size


def training_batches(
    data_set: ImageDataSet,
    preprocessing: Preprocessing,
    batch_size: int,
    seed: int,
    first_epoch: int = 0,
    epochs: int = 1,
    batch_transforms: tuple = (),
    first_step: int = 0,
    part: Part | None = None,
) -> tf.data.Dataset:
    """Return the training batches of the epochs `first_epoch` to `epochs - 1` in one stream.

    Each epoch has `steps_per_epoch` batches; the images that do not fill the last one are left out,
    others in each epoch. Order and augmentation are a function of the seed, the epoch and the
    place in it, so a stream that starts at `first_epoch` is bit for bit the rest of the whole one.

    Args:
        data_set: The data set.
        preprocessing: How an image is augmented and normalised.
        batch_size: Images in a batch, over all replicas.
        seed: Seed of order, augmentation and batch transforms, at least 0.
        first_epoch: The first epoch of the stream, counted from 0.
        epochs: The epoch to stop before, counted from the start of training.
        batch_transforms: Called in turn as `(images, labels, seed) -> (images, labels)`; of several
            that mix images (`MixUp`, `CutMix`) each batch gets exactly one.
        first_step: The first batch of `first_epoch`, counted from 0, for a training that goes on within an
            epoch; the images of the batches before it are not decoded.
        part: The part of each batch to return, which together are the whole batches; the images of the other parts are
            not decoded. Defaults to None, all of it.

    Returns:
        A dataset of float32 images (batch, size, size, 3) and float32 labels (batch, classes), with
        known cardinality.

    Raises:
        ValueError: If the training images do not fill one batch, an argument is out of range, or the batches cannot be
            shared out (see `can_be_shared`).

    Example:
        >>> digits = load("digits")
        >>> batches = training_batches(digits, preprocessing_for(digits.facts), 64, seed=0)
    """
    steps = steps_per_epoch(data_set, batch_size)
    if not 0 <= first_epoch < epochs:
        raise ValueError(f"Expected 0 <= first_epoch < epochs. Received: first_epoch={first_epoch}, epochs={epochs}")
    if not 0 <= first_step < steps:
        raise ValueError(f"Expected a step of an epoch of {steps}, from 0. Received: first_step={first_step}")
    if seed < 0:
        raise ValueError(f"Expected a seed of at least 0. Received: seed={seed}")
    split, transforms = data_set.train, one_mixing_a_batch(tuple(batch_transforms))
    places, images_in_batch = None, batch_size
    if part is not None:
        if not can_be_shared(batch_size, part.count, batch_transforms):
            raise ValueError(
                f"Expected batches of a multiple of {2 * part.count} images and transforms that treat all pairs alike. "
                f"Received: batch_size={batch_size}, part={part}, batch_transforms={batch_transforms}"
            )
        places, images_in_batch = tf.constant(part.places(batch_size)), batch_size // part.count

    @_unconverted
    def items_of_epoch(epoch):
        items = split.shuffled(seed, epoch).take(steps * batch_size)
        return items.batch(batch_size, drop_remainder=True)

    @_unconverted
    def with_uniforms(step, items):
        image_seed = stream_seed(seed, IMAGE_STREAM, step)
        shape = (batch_size, preprocessing.random_numbers)
        uniforms = tf.random.stateless_uniform(shape, image_seed, alg="philox")
        return (items, uniforms) if places is None else (tf.gather(items, places), tf.gather(uniforms, places))

    def transform(step, batch):
        images, labels = batch
        labels = tf.one_hot(labels, len(data_set.class_names))
        for index, batch_transform in enumerate(transforms):
            batch_seed = stream_seed(seed, BATCH_STREAM, step * len(transforms) + index)
            images, labels = batch_transform(images, labels, batch_seed)
        return images, labels

    step_numbers = tf.data.Dataset.range(first_epoch * steps + first_step, epochs * steps)
    items = tf.data.Dataset.range(first_epoch, epochs).flat_map(items_of_epoch).skip(first_step)
    drawn = tf.data.Dataset.zip(step_numbers, items).map(with_uniforms)
    if _takes_whole_batches(split, preprocessing):
        batches = _parallel(drawn, _on_image(split, preprocessing.augment_batch))
    else:
        images = _load(drawn.unbatch(), split, preprocessing.augment, preprocessing.image_size)
        batches = images.batch(images_in_batch, drop_remainder=True)
    batches = _parallel(tf.data.Dataset.zip(step_numbers, batches), transform)
    return _finish(batches, (epochs - first_epoch) * steps - first_step)


def evaluation_batches(
    data_set: ImageDataSet,
    preprocessing: Preprocessing,
    batch_size: int,
    split: str = "validation",
    drop_remainder: bool = False,
) -> tf.data.Dataset:
    """Return every image of a split once, in the stored order and without augmentation.

    Args:
        data_set: The data set.
        preprocessing: How an image is resized and normalised.
        batch_size: Images in a batch, over all replicas.
        split: `validation` or `train`.
        drop_remainder: Leave out the images that do not fill the last batch, instead of ending
            with a smaller one.

    Returns:
        A dataset of float32 images (batch, size, size, 3) and one-hot float32 labels
        (batch, classes), with known cardinality.
    """
    _check_batch_size(batch_size)
    if split not in ("train", "validation"):
        raise ValueError(f"Expected train or validation. Received: split={split!r}")
    part: Split = getattr(data_set, split)
    if _takes_whole_batches(part, preprocessing):
        items = part.ordered().batch(batch_size, drop_remainder).map(lambda items: (items,))
        batches = _parallel(items, _on_image(part, preprocessing.prepare_batch))
    else:
        items = part.ordered().map(lambda item: (item,))
        images = _load(items, part, preprocessing.prepare, preprocessing.image_size)
        batches = images.batch(batch_size, drop_remainder)
    classes = len(data_set.class_names)
    batches = _parallel(batches, lambda images, labels: (images, tf.one_hot(labels, classes)))
    whole, rest = divmod(part.size, batch_size)
    return _finish(batches, whole + bool(rest and not drop_remainder))


def prepare_image(image: str | Path | np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Return one image as a model sees it in evaluation.

    Args:
        image: The path of an image file, or uint8 pixels of shape (height, width), or
            (height, width, channels) with one, three or four channels; the fourth is ignored.
        preprocessing: How the image is resized and normalised.

    Returns:
        A float32 array (image_size, image_size, 3).

    Raises:
        ValueError: If the file cannot be read as an image or the pixels have another form.
    """
    if isinstance(image, str | Path):
        path = Path(image).expanduser()
        try:
            pixels = tf.constant(path.read_bytes())
            return preprocessing.prepare(pixels).numpy()
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}.") from error
        except tf.errors.OpError as error:
            raise ValueError(f"{path} is not a readable image.") from error
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] not in (1, 3, 4):
        raise ValueError(
            "Expected uint8 pixels (height, width) or (height, width, channels) with 1, 3 or 4 "
            f"channels. Received: shape={np.shape(image)}, dtype={pixels.dtype}"
        )
    pixels = np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels[..., :3]
    return preprocessing.prepare(tf.constant(pixels)).numpy()


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"Expected at least one image. Received: batch_size={batch_size}")


def _takes_whole_batches(split: Split, preprocessing: Preprocessing) -> bool:
    return isinstance(split, ArraySplit) and isinstance(preprocessing, SmallImagePreprocessing)


def _on_image(split: Split, function: Callable) -> Callable:
    """Return a function that reads an item and applies `function` to the image."""

    def read_and_apply(item, *uniforms):
        image, label = split.read(item)
        return function(image, *uniforms), label

    return read_and_apply


def _parallel(dataset: tf.data.Dataset, function: Callable) -> tf.data.Dataset:
    return dataset.map(_unconverted(function), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _load(items: tf.data.Dataset, split: Split, function: Callable, image_size: int) -> tf.data.Dataset:
    """Return (image, label) of each item, in order.

    A file that has been damaged or removed since the data set was loaded becomes a blank image and is noted in
    `split.unreadable`, so neither an epoch nor its order is lost.
    """
    read_and_apply = _on_image(split, function)
    if not isinstance(split, FileSplit):
        return _parallel(items, read_and_apply)

    def blank(item, *_):
        noted = tf.numpy_function(split.unreadable.add, [split.path(item)], [], stateful=True)
        with tf.control_dependencies([noted]):
            return tf.zeros((image_size, image_size, 3)), split.label(item)

    def image_or_blank(*item):
        one = tf.data.Dataset.from_tensors(item)
        return one.map(read_and_apply).ignore_errors().concatenate(one.map(blank)).take(1)

    @_unconverted
    def group_of_images(*group):
        count = tf.shape(group[0], tf.int64)[0]
        single = tf.data.Dataset.from_tensor_slices(group)
        # After an error too few images are left for a batch: it is dropped and the group read again.
        at_once = single.map(read_and_apply).batch(count, drop_remainder=True).ignore_errors()
        one_by_one = single.flat_map(image_or_blank).batch(count)
        return at_once.concatenate(one_by_one).take(1)

    groups_at_once = 2 * (os.cpu_count() or 1)
    groups = items.batch(FILES_IN_GROUP).interleave(
        group_of_images,
        cycle_length=groups_at_once,
        num_parallel_calls=groups_at_once,
        deterministic=True,
    )
    return groups.unbatch()


def _finish(batches: tf.data.Dataset, count: int) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    # Sharding by file would change which images a worker sees.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    batches = batches.apply(tf.data.experimental.assert_cardinality(count))
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)
