"""A directory of images and of masks that say to which class each pixel belongs."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_tricks.data.annotated_files import hold_out, raise_for
from keras_tricks.data.image_data_set import DataNotFound, ImageDataSet
from keras_tricks.data.image_files import problems_of_image_files
from keras_tricks.data.image_folder import TRAIN_FOLDER, VALIDATION_FOLDERS, FileSplit
from keras_tricks.data.segmentation.classes import (
    CLASS_FILES,
    IGNORED,
    Color,
    MaskClasses,
    numbered_classes,
    read_classes,
)
from keras_tricks.data.segmentation.mask_files import check_mask_files, read_mask
from keras_tricks.data_facts import MASKS_PREFIX, DataFacts

MASK_FOLDERS = ("masks", "annotations", "labels")
MASK_ENDINGS = ("", "_mask", "_label", "_L")


class MaskSplit(FileSplit):
    """A split of image files, each with a mask.

    Args:
        pairs: Each image with its mask.
        classes: What the values of the masks mean.
    """

    def __init__(self, pairs: Sequence[tuple[Path, Path]], classes: MaskClasses):
        super().__init__([image for image, _ in pairs], np.arange(len(pairs)))
        self.classes = classes
        with tf.device("CPU:0"):
            self.mask_paths = tf.constant([os.fsencode(mask) for _, mask in pairs])

    def read(self, item):
        """Return ((contents of the image's file, class indices of the mask), number of the image)."""
        path = tf.gather(self.mask_paths, item)
        mask = tf.ensure_shape(tf.numpy_function(self._mask, [path], tf.uint8, stateful=False), (None, None))
        return (tf.io.read_file(self.path(item)), mask), self.label(item)

    def _mask(self, path: bytes | np.ndarray) -> np.ndarray:
        # Bytes in a graph, an array of them outside of one.
        return self.classes.indices(read_mask(Path(os.fsdecode(np.asarray(path).item()))))


@dataclass(frozen=True, eq=False)
class SegmentationDataSet(ImageDataSet):
    """A loaded data set of images with masks; of its splits each item has an image and a mask.

    Args:
        palette: Red, green and blue to draw each class with, in the order of `class_names`.
    """

    palette: tuple[Color, ...] = ()


def load_mask_folder(
    facts: DataFacts,
    seed: int,
    validation_fraction: float,
    classes: str | Path | Sequence[str] | None = None,
    ignored: Sequence[int] = (IGNORED,),
) -> SegmentationDataSet:
    """Load a directory of images and masks.

    An image and its mask have the same name below their folders, up to the suffix and to a `_mask`, `_label` or `_L` at
    the end of the mask's. The folders are one of

    - `train/images`, `train/masks` and the same in `val/` (or `validation/`, `test/`),
    - `images/train`, `masks/train` and the same for `val`,
    - `train/`, `trainannot/` and the same for `val`, as SegNet's CamVid has them,
    - `images/` and `masks/`, or one of the first two with `train` alone: a share is then held out;

    `annotations/` or `labels/` may stand for `masks/`, and `training` for `train`, as in ADE20K's
    `ADEChallengeData2016`. A mask holds the index of a class for each pixel (of an image with a palette the index is
    what counts), or a colour of the classes file. Names that start with a dot are left out.

    Args:
        facts: Facts of `masks:PATH`.
        seed: Seed of the split of one folder.
        validation_fraction: Share of the images that is held out of one folder.
        classes: The names of the classes, or a classes file (see `read_classes`). None takes `classes.txt`,
            `class_dict.csv`, `label_colors.txt` or `objectInfo150.txt` of the directory; without one the classes are
            the numbers up to the largest that is found.
        ignored: Values of index masks that are ignored, beside those that the classes file says.

    Raises:
        DataNotFound: If the directory or its folders are missing.
        ValueError: If files cannot be used: a mask is missing, not of its image's size, or holds what belongs to no
            class; an image or a mask cannot be read. The message names the files and the reasons.
    """
    root = Path(facts.name.removeprefix(MASKS_PREFIX)).expanduser()
    if not root.is_dir():
        kind = "is a file" if root.exists() else "does not exist"
        raise DataNotFound(f"{root} {kind}: expected a directory with a folder of images and one of masks.")
    folders = _folders(root)
    pairs = [_pairs(root, *each) for each in folders]
    known = _given_classes(root, classes, ignored)
    members = [pair for part in pairs for pair in part]
    problems = {
        path: f"is {reason}" for path, reason in problems_of_image_files([image for image, _ in members]).items()
    }
    readable = [pair for pair in members if pair[0] not in problems]
    of_masks, values = check_mask_files(readable, known)
    raise_for(root, problems | of_masks)
    if known is None:
        known = numbered_classes(max(values - set(ignored), default=0), ignored)
        values = frozenset(known.indices(np.array([sorted(values)])).ravel().tolist())
    if len(pairs) == 2:
        train, validation = pairs
    else:
        train, validation = hold_out(root, pairs[0], seed, validation_fraction)
    class_names = known.class_names
    absent = [name for index, name in enumerate(class_names) if index not in values]
    warnings = (f"No pixel in {root} is of {', '.join(map(repr, absent))}.",) if absent else ()
    return SegmentationDataSet(
        name=facts.name,
        class_names=class_names,
        train=MaskSplit(train, known),
        validation=MaskSplit(validation, known),
        facts=facts.model_copy(update={"classes": len(class_names), "training_images": len(train)}),
        warnings=warnings,
        palette=known.palette,
    )


def _given_classes(
    root: Path, classes: str | Path | Sequence[str] | None, ignored: Sequence[int]
) -> MaskClasses | None:
    if classes is None:
        classes = next((root / name for name in CLASS_FILES if (root / name).is_file()), None)
    if classes is None:
        return None
    if isinstance(classes, str | Path):
        read = read_classes(Path(classes).expanduser())
        return replace(read, ignored=tuple(sorted({*read.ignored, *ignored})))
    return MaskClasses(tuple(classes), (), tuple(ignored))


def _folders(root: Path) -> list[tuple[Path, Path]]:
    """Return the folder of images and that of masks for training, and maybe those for validation."""

    def of(part: str) -> tuple[Path, Path] | None:
        candidates = [(root / part / "images", root / part / name) for name in MASK_FOLDERS]
        candidates += [(root / "images" / part, root / name / part) for name in MASK_FOLDERS]
        candidates.append((root / part, root / f"{part}annot"))
        return next((pair for pair in candidates if pair[0].is_dir() and pair[1].is_dir()), None)

    train = of(TRAIN_FOLDER) or of("training")
    validation = next((found for found in map(of, VALIDATION_FOLDERS) if found), None)
    if train:
        return [train, validation] if validation else [train]
    whole = next((root / name for name in MASK_FOLDERS if (root / name).is_dir()), None)
    if validation is None and whole and (root / "images").is_dir():
        return [(root / "images", whole)]
    lacks = f" has folders to validate on, but none to train on: expected {TRAIN_FOLDER}/" if validation else ""
    raise DataNotFound(
        f"{root}{lacks or ' has no images and masks: expected'} images/ and masks/, train/images/ and train/masks/, or "
        "train/ and trainannot/."
    )


def _files(folder: Path) -> list[Path]:
    try:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
    except OSError as error:
        raise ValueError(f"{folder} cannot be listed: {error.strerror}.") from error
    return [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _pairs(root: Path, images: Path, masks: Path) -> list[tuple[Path, Path]]:
    files = {path.relative_to(masks).with_suffix("").as_posix(): path for path in _files(masks)}
    pairs, problems = [], {}
    for image in _files(images):
        name = image.relative_to(images).with_suffix("").as_posix()
        mask = next((files[name + ending] for ending in MASK_ENDINGS if name + ending in files), None)
        if mask is None:
            problems[image] = f"has no mask: expected {masks / name}.png"
        else:
            pairs.append((image, mask))
    raise_for(root, problems)
    if not pairs:
        raise DataNotFound(f"{images} holds no images.")
    return pairs
