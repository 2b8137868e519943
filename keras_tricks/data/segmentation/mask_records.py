"""Images and masks that TensorFlow Datasets has prepared on this machine."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_tricks.data.prepared_tfds import RecordFiles, RecordSplit
from keras_tricks.data.segmentation.classes import IGNORED, MaskClasses
from keras_tricks.data.segmentation.mask_folder import SegmentationDataSet
from keras_tricks.data.tfds_directory import open_prepared, split_files
from keras_tricks.data_facts import DataFacts

_CITYSCAPES = (
    *("unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground"),
    *("road", "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel"),
    *("pole", "polegroup", "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider"),
    *("car", "truck", "bus", "caravan", "trailer", "train", "motorcycle", "bicycle"),
)


@dataclass(frozen=True)
class MaskLayout:
    """Where a data set keeps its masks.

    Args:
        name: Its name in TensorFlow Datasets.
        image: Key of the image.
        mask: Key of the mask.
        classes: What the values of the mask mean.
    """

    name: str
    image: str
    mask: str
    classes: MaskClasses


LAYOUTS = {
    "cityscapes/semantic_segmentation": MaskLayout(
        "cityscapes/semantic_segmentation",
        "image_left",
        "segmentation_label",
        MaskClasses(_CITYSCAPES, ignored=(*range(7), 9, 10, 14, 15, 16, 18, 29, 30, IGNORED)),
    ),
    "oxford_iiit_pet_trimaps": MaskLayout(
        "oxford_iiit_pet",
        "image",
        "segmentation_mask",
        MaskClasses(("none", "pet", "background", "not classified"), ignored=(0, 3, IGNORED)),
    ),
}
"""The data sets that can be read, by their names here.

Source: `cityscapesscripts/helpers/labels.py` of Cityscapes, for the 19 classes that count; the `README` of the
annotations of Oxford-IIIT Pet.
"""


class MaskRecords(RecordFiles):
    """The records of an image with its mask."""

    def parse(self, record):
        """Return ((encoded image, values of the mask (height, width)), 0) of a record."""
        skip = dict.fromkeys((self.image_key, self.label_key), tfds.decode.SkipDecoding())
        example = self.features.deserialize_example(record, decoders=skip)
        values = tf.io.decode_png(example[self.label_key], channels=1)[..., 0]
        return (example[self.image_key], values), tf.constant(0, tf.int64)


class RecordMaskSplit(RecordSplit):
    """A split of records with masks.

    Args:
        records: The records.
        classes: What the values of the masks mean.
    """

    def __init__(self, records: MaskRecords, classes: MaskClasses):
        super().__init__(records)
        self.classes = classes

    def read(self, item):
        """Return ((encoded image, class indices of the mask), 0) of a record."""
        (image, values), number = super().read(item)
        mask = tf.numpy_function(lambda each: self.classes.indices(np.asarray(each)), [values], tf.uint8, False)
        return (image, tf.ensure_shape(mask, (None, None))), number


def load_mask_records(facts: DataFacts, data_dir: str | Path | None) -> SegmentationDataSet:
    """Load images and masks that TensorFlow Datasets has prepared on this machine, streamed from their files.

    Args:
        facts: Facts of the data set, with its name.
        data_dir: Where prepared data sets lie; None takes the default of TensorFlow Datasets.

    Raises:
        DataNotFound: If the data set or a part of it is not there.
        ValueError: If it lacks images, masks or a split. A value of a mask that belongs to no class stops the reading.
    """
    name, _, version = facts.name.partition(":")
    layout = LAYOUTS[name]
    builder = open_prepared(f"{layout.name}:{version}" if version else layout.name, data_dir)
    keys = (layout.image, layout.mask)
    missing = [key for key in keys if key not in builder.info.features]
    if missing:
        raise ValueError(f"{layout.name} as it is prepared has no feature {missing[0]!r}.")
    features = tfds.features.FeaturesDict({key: builder.info.features[key] for key in keys})

    def split(name: str) -> RecordMaskSplit:
        return RecordMaskSplit(MaskRecords(*split_files(layout.name, builder, name), features, *keys), layout.classes)

    train, class_names = split(facts.train_split), layout.classes.class_names
    return SegmentationDataSet(
        name=facts.name,
        class_names=class_names,
        train=train,
        validation=split(facts.validation_split or "validation"),
        facts=facts.model_copy(update={"classes": len(class_names), "training_images": train.size}),
        palette=layout.classes.palette,
    )
