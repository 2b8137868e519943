"""Data sets that TensorFlow Datasets has prepared on this machine, read without its downloader."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_tricks.data.decoded_images import DecodedImages, DecodedSplit
from keras_tricks.data.image_data_set import (
    ORDER_STREAM,
    ArraySplit,
    ImageDataSet,
    Split,
    stream_seed,
)
from keras_tricks.data.preprocessing import decode_rgb
from keras_tricks.data.stratified_split import stratified_split
from keras_tricks.data.tfds_directory import open_prepared, split_files
from keras_tricks.data_facts import DataFacts

IN_MEMORY_BYTES = 1 << 30
SHUFFLE_BYTES = 1 << 30
SHUFFLE_AT_LEAST = 1000

_FILES_AT_ONCE = 16


@dataclass(frozen=True)
class RecordFiles:
    """The records of one TFDS split.

    Args:
        paths: Its TFRecord files.
        lengths: Number of records in each file.
        bytes: Size of all files.
        features: The image and the label feature, by their keys.
        image_key: Key of the image.
        label_key: Key of the label.
    """

    paths: tuple[str, ...]
    lengths: tuple[int, ...]
    bytes: int
    features: tfds.features.FeaturesDict
    image_key: str
    label_key: str

    @property
    def size(self) -> int:
        """Number of records."""
        return sum(self.lengths)

    def parse(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the encoded image and the label of a record."""
        example = self.features.deserialize_example(record, decoders={self.image_key: tfds.decode.SkipDecoding()})
        return example[self.image_key], example[self.label_key]


class RecordSplit(Split):
    """A split too large for memory, streamed from TFRecord files.

    An epoch's order comes from a permutation of the files and a shuffle buffer of about 1 GB (at
    least 1,000 images).

    Args:
        records: The files.
        members: Which of their records belong to the split; None takes all.
    """

    def __init__(self, records: RecordFiles, members: np.ndarray | None = None):
        super().__init__(records.size if members is None else int(members.sum()))
        self.records = records
        with tf.device("CPU:0"):
            self.paths = tf.constant(records.paths)
            self.offsets = tf.constant(np.cumsum([0, *records.lengths[:-1]]), tf.int64)
            self.members = None if members is None else tf.constant(members)
        record_bytes = max(1, records.bytes // records.size)
        self.buffer = min(self.size, max(SHUFFLE_AT_LEAST, SHUFFLE_BYTES // record_bytes))

    def ordered(self):
        """Return the records in the stored order."""
        files = tf.data.Dataset.from_tensor_slices((self.paths, self.offsets))
        return files.flat_map(self._records_of_file)

    def shuffled(self, seed, epoch):
        """Return the records in the random order of this epoch."""
        order_seed = stream_seed(seed, ORDER_STREAM, epoch)
        order = tf.random.experimental.stateless_shuffle(tf.range(len(self.records.paths)), order_seed, alg="philox")
        files = tf.data.Dataset.from_tensor_slices((tf.gather(self.paths, order), tf.gather(self.offsets, order)))
        records = files.interleave(
            self._records_of_file,
            cycle_length=min(_FILES_AT_ONCE, len(self.records.paths)),
            block_length=16,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        buffer_seed = tf.random.stateless_uniform([], order_seed, maxval=tf.int64.max, dtype=tf.int64, alg="philox")
        return records.shuffle(self.buffer, buffer_seed, reshuffle_each_iteration=False)

    def read(self, item):
        """Return the encoded image and the label of a record."""
        return self.records.parse(item)

    def _records_of_file(self, path: tf.Tensor, offset: tf.Tensor) -> tf.data.Dataset:
        records = tf.data.TFRecordDataset(path)
        if self.members is None:
            return records
        numbered = records.enumerate(offset)
        members = numbered.filter(lambda number, _: tf.gather(self.members, number))
        return members.map(lambda _, record: record)


def _image_and_label_keys(name: str, info: tfds.core.DatasetInfo) -> tuple[str, str]:
    keys = info.supervised_keys or ("image", "label")
    known = [key for key in keys[:2] if isinstance(key, str) and key in info.features]
    image, label = [info.features[key] for key in known] if len(known) == 2 else (None, None)
    if not isinstance(image, tfds.features.Image) or not isinstance(label, tfds.features.ClassLabel):
        raise ValueError(f"{name} is not a data set of images with one class label each.")
    if image.np_dtype != np.uint8:
        raise ValueError(f"{name} has images of type {np.dtype(image.np_dtype)}; expected uint8.")
    return keys[0], keys[1]


def _record_files(name: str, builder: tfds.core.DatasetBuilder, split: str) -> RecordFiles:
    files = split_files(name, builder, split)
    image_key, label_key = _image_and_label_keys(name, builder.info)
    features = {key: builder.info.features[key] for key in (image_key, label_key)}
    return RecordFiles(*files, tfds.features.FeaturesDict(features), image_key, label_key)


def _fits_in_memory(records: RecordFiles) -> bool:
    height, width, _ = records.features[records.image_key].shape
    return None not in (height, width) and records.size * height * width * 3 <= IN_MEMORY_BYTES


def _arrays(records: RecordFiles) -> tuple[np.ndarray, np.ndarray]:
    height, width, _ = records.features[records.image_key].shape

    def decode(record):
        image, label = records.parse(record)
        return tf.ensure_shape(decode_rgb(image), (height, width, 3)), label

    stored = RecordSplit(records).ordered()
    decoded = stored.map(decode, tf.data.AUTOTUNE, deterministic=True).batch(1000)
    images, labels = zip(*decoded.as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _split(records: RecordFiles) -> Split:
    return ArraySplit(*_arrays(records)) if _fits_in_memory(records) else RecordSplit(records)


def _hold_out(records: RecordFiles, seed: int, fraction: float) -> tuple[Split, Split]:
    """Divide a split: by class where it is read into memory, else without regard to the class."""
    names = [str(number) for number in range(records.size)]
    if _fits_in_memory(records):
        images, labels = _arrays(records)
        parts = stratified_split(labels, names, fraction, seed)
        train, validation = (ArraySplit(images[part], labels[part]) for part in parts)
        return train, validation
    _, held_out = stratified_split(np.zeros(records.size), names, fraction, seed)
    members = np.zeros(records.size, bool)
    members[held_out] = True
    return RecordSplit(records, ~members), RecordSplit(records, members)


def _decoded(train: Split, records: RecordFiles, directory: str | Path) -> DecodedSplit:
    """Return a split of records with its images decoded; those of the whole split, so that each seed finds them."""
    assert isinstance(train, RecordSplit)
    members = None if train.members is None else np.flatnonzero(train.members.numpy())
    return DecodedSplit(DecodedImages(RecordSplit(records), records.paths, directory), members)


def load_prepared_tfds(
    facts: DataFacts,
    data_dir: str | Path | None,
    seed: int,
    validation_fraction: float,
    decoded_cache: str | Path | None = None,
) -> ImageDataSet:
    """Load a data set that TensorFlow Datasets has prepared on this machine.

    Images of one size that fit into 1 GB are decoded into memory, others are streamed. Nothing is
    downloaded and no network is touched.

    Args:
        facts: Facts of the data set, with its name.
        data_dir: Where prepared data sets lie; None takes the default of TensorFlow Datasets.
        seed: Seed of the split where there is only a training split.
        validation_fraction: Share of the training split that is then held out.
        decoded_cache: Directory that keeps the decoded images of the training split where they would be streamed; the
            order of an epoch is then one permutation of all images. None keeps none.

    Raises:
        DataNotFound: If the data set or a part of it is not there.
        ValueError: If it is not a data set of images with one label each, or there is no room for the decoded images.
    """
    name = facts.name
    builder = open_prepared(name, data_dir)
    records = _record_files(name, builder, facts.train_split)
    wanted = (facts.validation_split, "validation", "test")
    held_out = next((split for split in wanted if split in builder.info.splits), None)
    if held_out:
        train, validation = _split(records), _split(_record_files(name, builder, held_out))
    else:
        train, validation = _hold_out(records, seed, validation_fraction)
    warnings: tuple[str, ...] = ()
    if decoded_cache is not None and isinstance(train, RecordSplit):
        train = _decoded(train, records, decoded_cache)
        warnings = train.decoded.warnings()
    class_names = tuple(builder.info.features[records.label_key].names)
    counts = {"classes": len(class_names), "training_images": train.size}
    return ImageDataSet(
        name=name,
        class_names=class_names,
        train=train,
        validation=validation,
        facts=facts.model_copy(update=counts),
        warnings=warnings,
    )
