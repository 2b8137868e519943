"""The items of training batches with their random numbers, for data sets whose images are treated one by one."""

import tensorflow as tf

from keras_tricks.data.augmentation import own_numbers
from keras_tricks.data.color import ColorTransform
from keras_tricks.data.image_data_set import IMAGE_STREAM, Split, stream_seed
from keras_tricks.data.loading import unconverted
from keras_tricks.data.pipeline import Part, can_be_shared, check_stream


def drawn_items(
    split: Split,
    steps: int,
    batch_size: int,
    random_numbers: int,
    seed: int,
    first_epoch: int,
    epochs: int,
    first_step: int,
    part: Part | None,
    colors: tuple[ColorTransform, ...] = (),
) -> tf.data.Dataset:
    """Return (item, random numbers) of one image after the other, a function of seed, epoch and place.

    Args:
        split: The images to train on.
        steps: Batches in an epoch.
        batch_size: Images in a batch, over all replicas.
        random_numbers: How many uniform numbers in [0, 1) each image gets.
        seed: Seed of order and augmentation, at least 0.
        first_epoch: The first epoch of the stream, counted from 0.
        epochs: The epoch to stop before, counted from the start of training.
        first_step: The first batch of `first_epoch`, counted from 0.
        part: The part of each batch to return; None for all of it.
        colors: Transforms of the colours, whose random numbers come after the others.

    Raises:
        ValueError: If an argument is out of range, the batches cannot be shared out, or a transform moves pixels.
    """
    others = [transform for transform in colors if not isinstance(transform, ColorTransform)]
    if others:
        raise ValueError(f"Expected transforms of colours, which leave pixels in place. Received: {others[0]}")
    check_stream(steps, seed, first_epoch, epochs, first_step)
    if part is not None and not can_be_shared(batch_size, part.count):
        raise ValueError(
            f"Expected batches of a multiple of {2 * part.count} images. Received: batch_size={batch_size}, part={part}"
        )
    places = list(range(batch_size)) if part is None else part.places(batch_size)

    @unconverted
    def items_of_epoch(epoch):
        return split.shuffled(seed, epoch).take(steps * batch_size).batch(batch_size, drop_remainder=True)

    @unconverted
    def with_numbers(step, items):
        shape = (batch_size, random_numbers)
        own = stream_seed(seed, IMAGE_STREAM, step)
        numbers = tf.random.stateless_uniform(shape, own, alg="philox")
        numbers = tf.concat([numbers, *own_numbers(colors, own, batch_size)], axis=-1)
        return tf.gather(items, places), tf.gather(numbers, places)

    step_numbers = tf.data.Dataset.range(first_epoch * steps + first_step, epochs * steps)
    items = tf.data.Dataset.range(first_epoch, epochs).flat_map(items_of_epoch).skip(first_step)
    return tf.data.Dataset.zip(step_numbers, items).map(with_numbers).unbatch()
