"""Where images come from: `load` finds the source by the name of the data set."""

from collections.abc import Sequence
from pathlib import Path

from keras_tricks.data.image_data_set import ImageDataSet
from keras_tricks.data_facts import FOLDER_PREFIX, MASKS_PREFIX, VOC_PREFIX, data_facts


def load(
    name: str,
    data_dir: str | Path | None = None,
    seed: int = 0,
    validation_fraction: float = 0.2,
    decoded_cache: str | Path | None = None,
    classes: str | Path | Sequence[str] | None = None,
    ignored: Sequence[int] = (255,),
    sets: tuple[str, str] = ("train", "val"),
) -> ImageDataSet:
    """Load a data set by its name; nothing is ever downloaded.

    Args:
        name: `digits`; a TensorFlow Datasets name (`cifar10`, `imagenette/320px-v2`, `voc/2007`) that has been
            prepared on this machine; `folder:PATH`, a directory of images; `masks:PATH`, one of images and
            masks (see `load_mask_folder`); or `voc:PATH`, one of images and boxes (see `load_voc_folder`).
        data_dir: Where prepared TensorFlow Datasets lie; by default `TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`.
        seed: Seed of the split, where the source has no split of its own.
        validation_fraction: Share of the images for validation, where the source has no split.
        decoded_cache: Directory that keeps the decoded training images of a folder, or of a TFDS data set too large
            for memory, from one training to the next; see `DecodedImages`. None decodes them in every epoch.
        classes: The names of the classes for masks and boxes, for masks also the path of a file of them. None finds
            them.
        ignored: Values of masks that are ignored.
        sets: Names of the lists of a `voc:` directory to train and to validate on.

    Raises:
        DataNotFound: If the data are not there; the message says how to get them.
        ValueError: If the name is malformed or the data cannot be used.

    Example:
        >>> load("digits").train.size
        1437
    """
    facts = data_facts(name)
    if name == "digits":
        from keras_tricks.data.digits import load_digits

        return load_digits()
    if name.startswith(FOLDER_PREFIX):
        from keras_tricks.data.image_folder import load_image_folder

        return load_image_folder(facts, seed, validation_fraction, decoded_cache)
    if name.startswith(MASKS_PREFIX):
        from keras_tricks.data.segmentation.mask_folder import load_mask_folder

        return load_mask_folder(facts, seed, validation_fraction, classes, ignored)
    if name.startswith(VOC_PREFIX):
        from keras_tricks.data.detection.voc_folder import load_voc_folder

        if isinstance(classes, str | Path):
            raise ValueError(f"Expected the names of the classes, or None. Received: classes={classes!r}")
        return load_voc_folder(facts, seed, validation_fraction, classes, sets)
    if facts.task == "detection":
        from keras_tricks.data.detection.box_records import load_box_records

        return load_box_records(facts, data_dir)
    if facts.task == "segmentation":
        from keras_tricks.data.segmentation.mask_records import load_mask_records

        return load_mask_records(facts, data_dir)
    from keras_tricks.data.prepared_tfds import load_prepared_tfds

    return load_prepared_tfds(facts, data_dir, seed, validation_fraction, decoded_cache)
