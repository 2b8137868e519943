"""Batches for training and evaluation, the same ones for the same seed, whatever is in parallel."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_tricks.data.augmentation import Augmentation
from keras_tricks.data.color import ColorTransform
from keras_tricks.data.image_data_set import (
    BATCH_STREAM,
    IMAGE_STREAM,
    ArraySplit,
    ImageDataSet,
    Split,
    stream_seed,
)
from keras_tricks.data.loading import load_images, on_image, parallel, unconverted
from keras_tricks.data.mixing import mixes_pairs_alike, one_mixing_an_image
from keras_tricks.data.preprocessing import Preprocessing, SmallImagePreprocessing, decode
from keras_tricks.data.rand_augment import RandAugment


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


def can_be_shared(batch_size: int, count: int, batch_transforms: tuple = (), repeats: int = 1) -> bool:
    """Return whether batches can be made in so many parts, each by itself, that together are the whole ones.

    Args:
        batch_size: Images in a batch.
        count: How many parts.
        batch_transforms: What happens to each batch.
        repeats: How many copies of an image lie next to each other.
    """
    return batch_size % (2 * count * repeats) == 0 and mixes_pairs_alike(tuple(batch_transforms))


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
    image_transforms: tuple[ColorTransform | RandAugment, ...] = (),
    repeats: int = 1,
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
            that mix images (`MixUp`, `CutMix`) each batch, or each half of one, gets exactly one.
        first_step: The first batch of `first_epoch`, counted from 0, for a training that goes on within an
            epoch; the images of the batches before it are not decoded.
        part: The part of each batch to return, which together are the whole batches; the images of the other parts are
            not decoded. Defaults to None, all of it.
        image_transforms: What happens to each image beside the preprocessing: colour transforms before the batch
            transforms, RandAugment after them.
        repeats: Differently augmented copies of each image in a batch, next to each other; the image is decoded once,
            and an epoch sees so many times fewer images. It divides the batch size.

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
    check_stream(steps, seed, first_epoch, epochs, first_step)
    if repeats < 1 or batch_size % repeats:
        raise ValueError(f"Expected repeats that divide batch_size={batch_size}. Received: repeats={repeats}")
    split, transforms = data_set.train, one_mixing_an_image(tuple(batch_transforms))
    augmentation = Augmentation(preprocessing, tuple(image_transforms))
    at_once = _takes_whole_batches(split, preprocessing)
    # Operations on whole pixel values come after the mixing of a batch; without one they need not wait for it.
    operations_apart = bool(augmentation.operations) and bool(transforms or at_once)
    places, images_in_batch = list(range(batch_size)), batch_size
    if part is not None:
        if not can_be_shared(batch_size, part.count, batch_transforms, repeats):
            raise ValueError(
                f"Expected batches of a multiple of {2 * part.count * repeats} images and transforms that treat all "
                f"pairs alike. Received: batch_size={batch_size}, part={part}, batch_transforms={batch_transforms}"
            )
        places, images_in_batch = part.places(batch_size), batch_size // part.count

    @unconverted
    def items_of_epoch(epoch):
        items = split.shuffled(seed, epoch).take(steps * batch_size // repeats)
        return items.batch(batch_size // repeats, drop_remainder=True)

    def of_part(numbers):
        return numbers if part is None else tf.gather(numbers, places)

    def numbers_before(step):
        return of_part(augmentation.numbers_before_mixing(stream_seed(seed, IMAGE_STREAM, step), batch_size))

    def numbers_after(step):
        return of_part(augmentation.numbers_after_mixing(stream_seed(seed, IMAGE_STREAM, step), batch_size))

    @unconverted
    def with_numbers(step, items):
        if part is not None:
            items = tf.gather(items, [place // repeats for place in places[::repeats]])
        numbers = [numbers_before(step)]
        if augmentation.operations and not operations_apart:
            numbers.append(numbers_after(step))
        if at_once:
            return (tf.repeat(items, repeats), *numbers)
        if repeats > 1:
            numbers = [tf.reshape(drawn, [-1, repeats, drawn.shape[-1]]) for drawn in numbers]
        return (items, *numbers)

    def augmented(image, *numbers):
        function = augmentation.before_mixing if len(numbers) == 1 else augmentation.without_mixing
        if repeats == 1:
            return function(image, *numbers)
        pixels = decode(image)
        return tf.stack([function(pixels, *(drawn[index] for drawn in numbers)) for index in range(repeats)])

    def transform(step, batch):
        images, labels = batch
        labels = tf.one_hot(labels, len(data_set.class_names))
        if transforms:
            images = tf.cast(images, tf.float32)
        for index, batch_transform in enumerate(transforms):
            batch_seed = stream_seed(seed, BATCH_STREAM, step * len(transforms) + index)
            images, labels = batch_transform(images, labels, batch_seed)
        if operations_apart:
            return augmentation.whole_pixels(images), labels, numbers_after(step)
        return images, labels

    step_numbers = tf.data.Dataset.range(first_epoch * steps + first_step, epochs * steps)
    items = tf.data.Dataset.range(first_epoch, epochs).flat_map(items_of_epoch).skip(first_step)
    drawn = tf.data.Dataset.zip(step_numbers, items).map(with_numbers)
    if at_once:
        batches = parallel(drawn, on_image(split, augmentation.batch_before_mixing))
    else:
        blank = augmentation.blank if repeats == 1 else lambda: tf.stack([augmentation.blank()] * repeats)
        images = load_images(drawn.unbatch(), split, augmented, blank)
        if repeats > 1:
            images = images.map(unconverted(lambda copies, label: (copies, tf.repeat(label, repeats)))).unbatch()
        batches = images.batch(images_in_batch, drop_remainder=True)
    batches = parallel(tf.data.Dataset.zip(step_numbers, batches), transform)
    if operations_apart:
        images = parallel(
            batches.unbatch(), lambda image, label, numbers: (augmentation.after_mixing(image, numbers), label)
        )
        batches = images.batch(images_in_batch, drop_remainder=True)
    return finish(batches, (epochs - first_epoch) * steps - first_step, at_once)


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
    part = evaluated_split(data_set, split, batch_size)
    at_once = _takes_whole_batches(part, preprocessing)
    if at_once:
        items = part.ordered().batch(batch_size, drop_remainder).map(lambda items: (items,))
        batches = parallel(items, on_image(part, preprocessing.prepare_batch))
    else:
        items = part.ordered().map(lambda item: (item,))
        size = preprocessing.image_size
        images = load_images(items, part, preprocessing.prepare, lambda: tf.zeros((size, size, 3)))
        batches = images.batch(batch_size, drop_remainder)
    classes = len(data_set.class_names)
    batches = parallel(batches, lambda images, labels: (images, tf.one_hot(labels, classes)))
    whole, rest = divmod(part.size, batch_size)
    return finish(batches, whole + bool(rest and not drop_remainder), at_once)


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


def evaluated_split(data_set: ImageDataSet, split: str, batch_size: int) -> Any:
    """Return a split of a data set to evaluate.

    Args:
        data_set: The data set.
        split: `validation` or `train`.
        batch_size: Images in a batch, over all replicas.

    Raises:
        ValueError: If there is no such split, or a batch has no image.
    """
    _check_batch_size(batch_size)
    if split not in ("train", "validation"):
        raise ValueError(f"Expected train or validation. Received: split={split!r}")
    return getattr(data_set, split)


def _check_batch_size(batch_size: int) -> None:
    """Raise a ValueError unless a batch has an image."""
    if batch_size < 1:
        raise ValueError(f"Expected at least one image. Received: batch_size={batch_size}")


def check_stream(steps: int, seed: int, first_epoch: int, epochs: int, first_step: int) -> None:
    """Raise a ValueError unless there is such a stream of training batches, of so many steps an epoch."""
    if not 0 <= first_epoch < epochs:
        raise ValueError(f"Expected 0 <= first_epoch < epochs. Received: first_epoch={first_epoch}, epochs={epochs}")
    if not 0 <= first_step < steps:
        raise ValueError(f"Expected a step of an epoch of {steps}, from 0. Received: first_step={first_step}")
    if seed < 0:
        raise ValueError(f"Expected a seed of at least 0. Received: seed={seed}")


def _takes_whole_batches(split: Split, preprocessing: Preprocessing) -> bool:
    return isinstance(split, ArraySplit) and isinstance(preprocessing, SmallImagePreprocessing)


def finish(batches: tf.data.Dataset, count: int, at_once: bool = False) -> tf.data.Dataset:
    """Return `count` batches in their order, some of them made ahead.

    Args:
        batches: The batches.
        count: How many they are.
        at_once: Whether the work on a whole batch is one function, not one for each image.
    """
    options = tf.data.Options()
    if not at_once:
        # Images are in parallel already: splitting the work on each costs more than it brings.
        options.threading.max_intra_op_parallelism = 1
    options.deterministic = True
    # Sharding by file would change which images a worker sees.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    batches = batches.apply(tf.data.experimental.assert_cardinality(count))
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)
