"""Training batches whose images grow from epoch to epoch."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import tensorflow as tf

from keras_tricks.data.color import ColorTransform
from keras_tricks.data.image_data_set import ImageDataSet
from keras_tricks.data.pipeline import training_batches
from keras_tricks.data.preprocessing import Preprocessing, SmallImagePreprocessing
from keras_tricks.data.rand_augment import RandAugment


def growing_batches(
    data_set: ImageDataSet,
    preprocessing: Preprocessing,
    batch_size: int,
    seed: int,
    image_sizes: Sequence[int],
    first_epoch: int = 0,
    epochs: int = 1,
    first_step: int = 0,
    image_transforms: tuple[ColorTransform | RandAugment, ...] = (),
    **arguments: Any,
) -> tf.data.Dataset:
    """Return the training batches of some epochs in one stream, with images of each epoch's own size.

    Which images a batch has, and the random numbers that augment them, are those of `training_batches`: only the size
    differs, and with it what is given in pixels, the border of `SmallImagePreprocessing` and the translations and
    squares of `RandAugment`. A stream that starts at `first_epoch` is bit for bit the rest of the whole one. Each size
    has a pipeline of its own, so an epoch that begins with a new one waits for its first batches.

    Args:
        data_set: The data set.
        preprocessing: How an image is augmented and normalised; its `image_size` is that for which pixels are given.
        batch_size: Images in a batch, over all replicas.
        seed: Seed of order, augmentation and batch transforms, at least 0.
        image_sizes: Height and width of the images in each epoch of the training, from epoch 0 on, in pixels.
        first_epoch: The first epoch of the stream, counted from 0.
        epochs: The epoch to stop before, counted from the start of training.
        first_step: The first batch of `first_epoch`, counted from 0.
        image_transforms: What happens to each image beside the preprocessing.
        arguments: More arguments of `training_batches`.

    Returns:
        A dataset of float32 images (batch, size, size, 3) and float32 labels (batch, classes), with known cardinality.

    Raises:
        ValueError: There is an epoch without a size, or `training_batches` refuses an argument.

    Example:
        >>> digits = load("digits")
        >>> batches = growing_batches(digits, preprocessing_for(digits.facts), 64, 0, [8, 12, 16], epochs=3)
    """
    if not 0 <= first_epoch < epochs <= len(image_sizes):
        raise ValueError(
            "Expected 0 <= first_epoch < epochs and a size for each of them. Received: "
            f"first_epoch={first_epoch}, epochs={epochs}, image_sizes={tuple(image_sizes)}"
        )
    stream: tf.data.Dataset | None = None
    for size, epochs_of_size in groupby(range(first_epoch, epochs), key=lambda epoch: image_sizes[epoch]):
        first, *_, last = 2 * [*epochs_of_size]
        part = training_batches(
            data_set,
            at_size(preprocessing, size),
            batch_size,
            seed,
            first_epoch=first,
            epochs=last + 1,
            first_step=first_step if first == first_epoch else 0,
            image_transforms=tuple(_scaled(each, size / preprocessing.image_size) for each in image_transforms),
            **arguments,
        )
        stream = part if stream is None else stream.concatenate(part)
    return stream


def at_size(preprocessing: Preprocessing, image_size: int) -> Preprocessing:
    """Return the preprocessing for training images of another size, up to its own."""
    changes: dict[str, Any] = {"image_size": image_size}
    if isinstance(preprocessing, SmallImagePreprocessing) and preprocessing.pad is not None:
        changes["pad"] = round(preprocessing.pad * image_size / preprocessing.image_size)
    return replace(preprocessing, **changes)


def _scaled(transform: ColorTransform | RandAugment, scale: float) -> ColorTransform | RandAugment:
    if not isinstance(transform, RandAugment):
        return transform
    pixels = {"translate_pixels": transform.translate_pixels * scale, "cutout_pixels": transform.cutout_pixels * scale}
    return replace(transform, **pixels)
