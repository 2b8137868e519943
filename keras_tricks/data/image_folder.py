"""A directory of images, one folder a class."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_tricks.data.decoded_images import DecodedImages
from keras_tricks.data.image_data_set import DataNotFound, ImageDataSet, IndexedSplit
from keras_tricks.data.image_files import problems_of_image_files
from keras_tricks.data.preprocessing import decode_rgb
from keras_tricks.data.stratified_split import stratified_split
from keras_tricks.data.unreadable_files import UnreadableFiles
from keras_tricks.data_facts import FOLDER_PREFIX, DataFacts

TRAIN_FOLDER = "train"
VALIDATION_FOLDERS = ("val", "validation", "test")

_NAMED_FILES = 5


class FileSplit(IndexedSplit):
    """A split of image files, read when they are needed.

    `unreadable` holds those that could not be read then, though they could when the data set was loaded.

    Args:
        paths: The files.
        labels: Class index of each file.
    """

    def __init__(self, paths: list[Path], labels: np.ndarray):
        super().__init__(len(paths))
        with tf.device("CPU:0"):
            self.paths = tf.constant([os.fsencode(path) for path in paths])
            self.labels = tf.constant(labels, tf.int64)
        self.unreadable = UnreadableFiles()

    def read(self, item):
        """Return the contents of the file at an index, and its label."""
        return tf.io.read_file(self.path(item)), self.label(item)

    def path(self, item: tf.Tensor) -> tf.Tensor:
        """Return the path of the file at an index."""
        return tf.gather(self.paths, item)

    def label(self, item: tf.Tensor) -> tf.Tensor:
        """Return the label of the file at an index."""
        return tf.gather(self.labels, item)


class DecodedFileSplit(FileSplit):
    """A split of image files that have been decoded.

    A file that could not be read at that time is read when it is needed, and noted in `unreadable` if it still cannot.

    Args:
        paths: The files.
        labels: Class index of each file.
        decoded: The images of these files, and maybe of others.
        places: The place of each file among them.
    """

    def __init__(self, paths: list[Path], labels: np.ndarray, decoded: DecodedImages, places: np.ndarray):
        super().__init__(paths, labels)
        self.decoded = decoded
        with tf.device("CPU:0"):
            self.places = tf.constant(places, tf.int64)

    def read(self, item):
        """Return the pixels of the file at an index, and its label."""
        place = tf.gather(self.places, item)
        pixels = tf.cond(
            self.decoded.has(place),
            lambda: self.decoded.pixels(place),
            lambda: decode_rgb(tf.io.read_file(self.path(item))),
        )
        return pixels, self.label(item)


@dataclass
class _ClassTree:
    root: Path
    files: dict[str, list[Path]] = field(default_factory=dict)
    skipped: dict[Path, str] = field(default_factory=dict)

    @property
    def paths(self) -> list[Path]:
        return [path for paths in self.files.values() for path in paths]

    @property
    def labels(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.files)), [len(paths) for paths in self.files.values()])


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise ValueError(f"{folder} cannot be listed: {error.strerror}.") from error


def _files_below(folder: Path) -> list[Path]:
    files = []
    for path in _visible(folder):
        files += _files_below(path) if path.is_dir() and not path.is_symlink() else [path]
    return files


def _read_tree(root: Path) -> _ClassTree:
    tree = _ClassTree(root)
    for entry in _visible(root):
        if entry.is_dir():
            tree.files[entry.name] = _files_below(entry)
        else:
            tree.skipped[entry] = "outside the class folders"
    if not tree.files:
        raise DataNotFound(f"{root} has no class folders: expected one folder of images for each class.")
    if len(tree.files) == 1:
        raise ValueError(f"{root} has only one class, {next(iter(tree.files))!r}: expected two class folders or more.")
    problems = problems_of_image_files(tree.paths)
    tree.skipped |= problems
    for name, paths in tree.files.items():
        tree.files[name] = [path for path in paths if path not in problems]
        if not tree.files[name]:
            raise ValueError(f"Class {name!r} has no readable image in {root / name}.")
    return tree


def _check_same_classes(train: _ClassTree, validation: _ClassTree) -> None:
    for here, there in ((train, validation), (validation, train)):
        missing = sorted(here.files.keys() - there.files.keys())
        if missing:
            raise ValueError(
                f"{here.root} and {there.root} must have the same class folders: "
                f"{', '.join(map(repr, missing))} is only in {here.root}."
            )


def _skipped_files(root: Path, skipped: dict[Path, str]) -> tuple[str, ...]:
    if not skipped:
        return ()
    named = [f"{path.relative_to(root)} ({why})" for path, why in skipped.items()][:_NAMED_FILES]
    if len(skipped) > len(named):
        named.append(f"and {len(skipped) - len(named)} more")
    were = "1 file was" if len(skipped) == 1 else f"{len(skipped)} files were"
    return (f"{were} skipped in {root}: {', '.join(named)}.",)


def _two_folders(root: Path) -> tuple[Path, Path | None] | None:
    """Return the training and the validation folder, or None if `root` is one tree of classes."""
    train = root / TRAIN_FOLDER
    validation = next((root / name for name in VALIDATION_FOLDERS if (root / name).is_dir()), None)
    if train.is_dir() and (validation or any(path.is_dir() for path in _visible(train))):
        return train, validation
    if validation and any(path.is_dir() for path in _visible(validation)):
        raise DataNotFound(f"{root} has {validation.name}/ but no {TRAIN_FOLDER}/.")
    return None


def _hold_out(tree: _ClassTree, seed: int, fraction: float) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return the places of the images to train and to validate on, and warnings."""
    paths, labels = tree.paths, tree.labels
    names = [path.relative_to(tree.root).as_posix() for path in paths]
    train, validation = stratified_split(labels, names, fraction, seed)
    if not validation.size:
        raise ValueError(f"{tree.root} has a single image in every class: nothing is left to validate on.")
    warnings = tuple(
        f"Class {name!r} has a single image, which is trained on and not validated on."
        for name, files in tree.files.items()
        if len(files) == 1
    )
    return train, validation, warnings


def load_image_folder(
    facts: DataFacts, seed: int, validation_fraction: float, decoded_cache: str | Path | None = None
) -> ImageDataSet:
    """Load a directory of JPEG, PNG, GIF (first frame), BMP or WebP images.

    Either `train/` and `val/` (or `validation/`, `test/`) with the same class folders in both, or
    one tree of class folders, of which a share is held out (so it is, too, if `train/` is alone).
    Images may lie in subfolders of their class; names that start with a dot are ignored. A file
    that is not a readable image is skipped and named in `warnings`. The rotation in EXIF data is
    not applied.

    Args:
        facts: Facts of `folder:PATH`.
        seed: Seed of the split of one tree.
        validation_fraction: Share of each class that is held out of one tree.
        decoded_cache: Directory that keeps the decoded images of the tree that is trained on, for each seed the same;
            None keeps none. Images to validate on are read from their files.

    Raises:
        DataNotFound: If the directory or its class folders are missing.
        ValueError: If there is only one class, a class has no readable image, the classes of
            the two parts differ, or there is no room for the decoded images.
    """
    root = Path(facts.name.removeprefix(FOLDER_PREFIX)).expanduser()
    if not root.is_dir():
        kind = "is a file" if root.exists() else "does not exist"
        raise DataNotFound(f"{root} {kind}: expected a directory with one folder for each class.")
    train_root, validation_root = _two_folders(root) or (root, None)
    tree = _read_tree(train_root)
    skipped = tree.skipped
    members = np.arange(len(tree.paths))
    if validation_root:
        held_out = _read_tree(validation_root)
        _check_same_classes(tree, held_out)
        skipped |= held_out.skipped
        validation, warnings = FileSplit(held_out.paths, held_out.labels), ()
    else:
        members, others, warnings = _hold_out(tree, seed, validation_fraction)
        validation = FileSplit([tree.paths[place] for place in others], tree.labels[others])
    paths, labels = [tree.paths[place] for place in members], tree.labels[members]
    if decoded_cache is None:
        train = FileSplit(paths, labels)
    else:
        decoded = DecodedImages(FileSplit(tree.paths, tree.labels), tree.paths, decoded_cache)
        train = DecodedFileSplit(paths, labels, decoded, members)
        warnings += decoded.warnings()
    class_names = tuple(tree.files)
    return ImageDataSet(
        name=facts.name,
        class_names=class_names,
        train=train,
        validation=validation,
        facts=facts.model_copy(update={"classes": len(class_names), "training_images": train.size}),
        warnings=_skipped_files(root, skipped) + warnings,
    )
