"""Batches of images with boxes for training and evaluation, the same ones for the same seed."""

import functools
from collections.abc import Callable

import tensorflow as tf

from keras_tricks.data.color import ColorTransform
from keras_tricks.data.detection.box_records import RecordBoxSplit
from keras_tricks.data.detection.preprocessing import DetectionPreprocessing, Targets, pad_targets
from keras_tricks.data.detection.voc_folder import BoxSplit, DetectionDataSet
from keras_tricks.data.drawn_items import drawn_items
from keras_tricks.data.image_data_set import BATCH_STREAM, stream_seed
from keras_tricks.data.loading import load_images, parallel, unconverted
from keras_tricks.data.pipeline import Part, evaluated_split, finish, steps_per_epoch


def detection_training_batches(
    data_set: DetectionDataSet,
    preprocessing: DetectionPreprocessing,
    batch_size: int,
    seed: int,
    first_epoch: int = 0,
    epochs: int = 1,
    batch_transforms: tuple = (),
    first_step: int = 0,
    part: Part | None = None,
    max_boxes: int | None = None,
    image_transforms: tuple[ColorTransform, ...] = (),
) -> tf.data.Dataset:
    """Return the training batches of the epochs `first_epoch` to `epochs - 1` in one stream.

    It has the properties of `training_batches`: order and augmentation are a function of the seed, the epoch and the
    place in it, and a stream that starts later is bit for bit the rest of the whole one.

    Args:
        data_set: The data set.
        preprocessing: How an image and its boxes are augmented.
        batch_size: Images in a batch, over all replicas.
        seed: Seed of order, augmentation and batch transforms, at least 0.
        first_epoch: The first epoch of the stream, counted from 0.
        epochs: The epoch to stop before, counted from the start of training.
        batch_transforms: Called in turn as `(images, targets, seed) -> (images, targets)`, such as `DetectionMixUp`.
        first_step: The first batch of `first_epoch`, counted from 0.
        part: The part of each batch to return, which together are the whole batches; only without batch transforms.
            Defaults to None, all of it.
        max_boxes: Places for the boxes of an image; None takes as many as the image with the most of the data set has.
        image_transforms: What happens to the colours of each image, before the batch transforms.

    Returns:
        A dataset of float32 images (batch, size, size, 3) and a dictionary, with known cardinality: float32 `boxes`
        (batch, max_boxes, 4), the left, top, right and bottom in pixels; int32 `labels` (batch, max_boxes); float32
        `weights` (batch, max_boxes), 1 unless mixed. Places without a box hold -1, and the weight 0. Mixup doubles the
        places.

    Raises:
        ValueError: If the training images do not fill one batch, an argument is out of range, or an image has more
            boxes than there are places.
    """
    steps = steps_per_epoch(data_set, batch_size)
    places = _places(data_set, data_set.train, max_boxes)
    if part is not None and batch_transforms:
        raise ValueError(f"Expected no batch transforms of parts. Received: batch_transforms={batch_transforms}")
    numbers = preprocessing.random_numbers
    items = drawn_items(
        data_set.train, steps, batch_size, numbers, seed, first_epoch, epochs, first_step, part, image_transforms
    )

    names = ("boxes", "labels", "weights")
    augment = functools.partial(preprocessing.augment, colors=image_transforms)
    pairs = _pairs(items, data_set.train, augment, preprocessing.image_size, places, names)
    batches = pairs.batch(batch_size // (part.count if part else 1), drop_remainder=True)

    def transform(step, batch):
        for index, batch_transform in enumerate(batch_transforms):
            draw = stream_seed(seed, BATCH_STREAM, step * len(batch_transforms) + index)
            batch = batch_transform(*batch, draw)
        return batch

    if batch_transforms:
        step_numbers = tf.data.Dataset.range(first_epoch * steps + first_step, epochs * steps)
        batches = parallel(tf.data.Dataset.zip(step_numbers, batches), transform)
    return finish(batches, (epochs - first_epoch) * steps - first_step)


def detection_evaluation_batches(
    data_set: DetectionDataSet,
    preprocessing: DetectionPreprocessing,
    batch_size: int,
    split: str = "validation",
    max_boxes: int | None = None,
) -> tf.data.Dataset:
    """Return every image of a split once, whole, in the stored order and without augmentation.

    Args:
        data_set: The data set.
        preprocessing: How image and boxes are prepared.
        batch_size: Images in a batch, over all replicas; the last batch may be smaller.
        split: `validation` or `train`.
        max_boxes: As of `detection_training_batches`.

    Returns:
        As of `detection_training_batches`, with `difficult` (batch, max_boxes), bool, in the dictionary. Boxes are in
        the pixels of the resized image.
    """
    boxes: BoxSplit | RecordBoxSplit = evaluated_split(data_set, split, batch_size)
    items = boxes.ordered().map(lambda item: (item,))
    names = ("boxes", "labels", "weights", "difficult")
    places = _places(data_set, boxes, max_boxes)
    pairs = _pairs(items, boxes, preprocessing.prepare, preprocessing.image_size, places, names)
    return finish(pairs.batch(batch_size), -(-boxes.size // batch_size))


def _places(data_set: DetectionDataSet, split: BoxSplit | RecordBoxSplit, max_boxes: int | None) -> int:
    if max_boxes is None:
        return max(
            part.most_boxes
            for part in (data_set.train, data_set.validation)
            if isinstance(part, BoxSplit | RecordBoxSplit)
        )
    if max_boxes < max(split.most_boxes, 1):
        raise ValueError(
            f"{data_set.name} has an image with {split.most_boxes} boxes: expected at least as many places. "
            f"Received: max_boxes={max_boxes}"
        )
    return max_boxes


def _pairs(
    items: tf.data.Dataset,
    split: BoxSplit | RecordBoxSplit,
    function: Callable,
    image_size: int,
    places: int,
    names: tuple[str, ...],
) -> tf.data.Dataset:
    """Return (image, padded targets) of each item; of a file that has become unreadable the mean colour, no boxes."""

    def of_objects(objects, *uniforms):
        image, boxes, labels, difficult = objects
        weights = tf.ones_like(labels, tf.float32)
        targets = {"boxes": boxes, "labels": labels, "weights": weights, "difficult": difficult}
        placed, kept = function(image, targets, *uniforms)
        return placed, pad_targets({name: kept[name] for name in names}, places)

    def blank():
        nothing: Targets = {
            "boxes": tf.zeros((0, 4)),
            "labels": tf.zeros((0,), tf.int32),
            "weights": tf.zeros((0,)),
            "difficult": tf.zeros((0,), tf.bool),
        }
        return tf.zeros((image_size, image_size, 3)), pad_targets({name: nothing[name] for name in names}, places)

    return load_images(items, split, of_objects, blank).map(unconverted(lambda pair, _: pair))
