"""Pascal VOC as TensorFlow Datasets has prepared it: images and boxes in TFRecord files."""

from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds

from keras_tricks.data.detection.voc_folder import DetectionDataSet
from keras_tricks.data.prepared_tfds import RecordFiles, RecordSplit
from keras_tricks.data.preprocessing import decode_rgb
from keras_tricks.data.tfds_directory import open_prepared, split_files
from keras_tricks.data_facts import DataFacts, split_tfds_name

IMAGE, OBJECTS = "image", "objects"


class BoxRecords(RecordFiles):
    """The records of an image with its boxes."""

    def parse(self, record):
        """Return ((pixels, boxes (n, 4), classes (n,), difficult (n,)), 0) of a record.

        Boxes are left, top, right and bottom in pixels. TensorFlow Datasets divides the corners of the annotation, the
        first and the last pixel in the box counted from 1, by the size of the image; here a box begins at the left of
        the first and ends at the right of the last, as `read_annotation` has it.
        """
        example = self.features.deserialize_example(record, decoders={IMAGE: tfds.decode.SkipDecoding()})
        pixels, objects = decode_rgb(example[IMAGE]), example[OBJECTS]
        height, width = tf.unstack(tf.cast(tf.shape(pixels)[:2], tf.float32))
        top, left, bottom, right = tf.unstack(objects["bbox"], axis=1)
        left, top = tf.maximum(left * width - 1, 0.0), tf.maximum(top * height - 1, 0.0)
        boxes = tf.stack([left, top, tf.minimum(right, 1.0) * width, tf.minimum(bottom, 1.0) * height], axis=1)
        classes, difficult = tf.cast(objects["label"], tf.int32), objects["is_difficult"]
        return (pixels, boxes, classes, difficult), tf.constant(0, tf.int64)

    def most_boxes(self) -> int:
        """Return the largest number of boxes in an image; the images are not decoded."""
        objects = tfds.features.FeaturesDict({OBJECTS: self.features[OBJECTS]})
        counts = tf.data.TFRecordDataset(list(self.paths)).map(
            lambda record: tf.size(objects.deserialize_example(record)[OBJECTS]["label"]), tf.data.AUTOTUNE
        )
        return int(counts.reduce(0, tf.maximum))


class RecordBoxSplit(RecordSplit):
    """A split of records with boxes.

    Args:
        records: The records.
    """

    def __init__(self, records: BoxRecords):
        super().__init__(records)
        self.most_boxes = records.most_boxes()
        """The largest number of boxes in an image."""


def load_box_records(facts: DataFacts, data_dir: str | Path | None) -> DetectionDataSet:
    """Load Pascal VOC that TensorFlow Datasets has prepared on this machine, streamed from its files.

    Of several years, as in `voc/2007+2012`, the images to train on are those of all, and the images to validate on
    those of the first.

    Args:
        facts: Facts of the data set, with its name.
        data_dir: Where prepared data sets lie; None takes the default of TensorFlow Datasets.

    Raises:
        DataNotFound: If a data set or a part of it is not there.
        ValueError: If it is not of images with boxes.
    """
    base, config, version = split_tfds_name(facts.name)
    names = [f"{base}/{year}{f':{version}' if version else ''}" for year in (config or "").split("+")]
    builders = {name: open_prepared(name, data_dir) for name in names}
    train = RecordBoxSplit(_records(builders, facts.train_split))
    first = {names[0]: builders[names[0]]}
    validation = RecordBoxSplit(_records(first, facts.validation_split or "validation"))
    class_names = tuple(train.records.features[OBJECTS]["label"].names)
    return DetectionDataSet(
        name=facts.name,
        class_names=class_names,
        train=train,
        validation=validation,
        facts=facts.model_copy(update={"classes": len(class_names), "training_images": train.size}),
    )


def _records(builders: dict[str, tfds.core.DatasetBuilder], split: str) -> BoxRecords:
    """Return the records of a split, one data set after the other."""
    paths: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    size, features = 0, {}
    for name, builder in builders.items():
        features = {key: builder.info.features[key] for key in (IMAGE, OBJECTS) if key in builder.info.features}
        if len(features) != 2 or not {"bbox", "label", "is_difficult"} <= set(features[OBJECTS].feature):
            raise ValueError(f"{name} is not a data set of images with boxes in the form of Pascal VOC.")
        files = split_files(name, builder, split)
        paths, lengths, size = paths + files[0], lengths + files[1], size + files[2]
    return BoxRecords(paths, lengths, size, tfds.features.FeaturesDict(features), IMAGE, OBJECTS)
