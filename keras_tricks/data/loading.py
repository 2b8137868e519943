"""Read images of a split in parallel, in order, and survive those that can no longer be read."""

import os
from collections.abc import Callable

import tensorflow as tf

from keras_tricks.data.image_data_set import Split
from keras_tricks.data.image_folder import FileSplit

FILES_IN_GROUP = 16

# AutoGraph has nothing to convert here, and looking takes a good part of the start-up time.
unconverted = tf.autograph.experimental.do_not_convert


def on_image(split: Split, function: Callable) -> Callable:
    """Return a function that reads an item and applies `function` to the image."""

    def read_and_apply(item, *uniforms):
        image, label = split.read(item)
        return function(image, *uniforms), label

    return read_and_apply


def parallel(dataset: tf.data.Dataset, function: Callable) -> tf.data.Dataset:
    """Map a function over a dataset, in parallel and in order."""
    return dataset.map(unconverted(function), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def load_images(
    items: tf.data.Dataset,
    split: Split,
    function: Callable,
    blank: Callable[[], tf.Tensor],
    files_in_group: int = FILES_IN_GROUP,
) -> tf.data.Dataset:
    """Return (image, label) of each item, in order.

    A file that has been damaged or removed since the data set was loaded becomes a blank image and is noted in
    `split.unreadable`, so neither an epoch nor its order is lost.

    Args:
        items: Tuples that begin with an item of the split.
        split: The split.
        function: Makes of an image, and of the rest of its tuple, what is returned for it.
        blank: Returns what stands for an image that cannot be read.
        files_in_group: How many files are read in turn; 1 where `function` returns images of several sizes.
    """
    read_and_apply = on_image(split, function)
    if not isinstance(split, FileSplit):
        return parallel(items, read_and_apply)

    def blank_of(item, *_):
        noted = tf.numpy_function(split.unreadable.add, [split.path(item)], [], stateful=True)
        with tf.control_dependencies([noted]):
            return blank(), split.label(item)

    def image_or_blank(*item):
        one = tf.data.Dataset.from_tensors(item)
        return one.map(read_and_apply).ignore_errors().concatenate(one.map(blank_of)).take(1)

    @unconverted
    def group_of_images(*group):
        count = tf.shape(group[0], tf.int64)[0]
        single = tf.data.Dataset.from_tensor_slices(group)
        # After an error too few images are left for a batch: it is dropped and the group read again.
        at_once = single.map(read_and_apply).batch(count, drop_remainder=True).ignore_errors()
        one_by_one = single.flat_map(image_or_blank).batch(count)
        return at_once.concatenate(one_by_one).take(1)

    groups_at_once = 2 * (os.cpu_count() or 1)
    groups = items.batch(files_in_group).interleave(
        group_of_images,
        cycle_length=groups_at_once,
        num_parallel_calls=groups_at_once,
        deterministic=True,
    )
    return groups.unbatch()
