"""A directory in the form of Pascal VOC: images, and boxes of objects in XML files."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_tricks.data.annotated_files import first_of, hold_out, raise_for
from keras_tricks.data.detection.voc_annotation import Annotation, read_annotation
from keras_tricks.data.image_data_set import DataNotFound, ImageDataSet
from keras_tricks.data.image_files import problems_of_image_files
from keras_tricks.data.image_folder import FileSplit
from keras_tricks.data_facts import VOC_PREFIX, DataFacts

IMAGES, ANNOTATIONS = "JPEGImages", "Annotations"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


class BoxSplit(FileSplit):
    """A split of image files with boxes.

    Args:
        paths: The files.
        annotations: Those of each file.
        class_names: The classes, in the order of the labels.
    """

    def __init__(self, paths: list[Path], annotations: Sequence[Annotation], class_names: Sequence[str]):
        super().__init__(paths, np.arange(len(paths)))
        numbers = {name: number for number, name in enumerate(class_names)}
        counts = [len(annotation.names) for annotation in annotations]
        self.most_boxes = max(counts, default=0)
        """The largest number of boxes in an image."""
        boxes = [box for annotation in annotations for box in annotation.boxes]
        with tf.device("CPU:0"):
            self.starts = tf.constant(np.cumsum([0, *counts]), tf.int64)
            self.boxes = tf.constant(np.reshape(boxes, (-1, 4)), tf.float32)
            self.classes = tf.constant([numbers[name] for each in annotations for name in each.names], tf.int32)
            self.difficult = tf.constant([mark for each in annotations for mark in each.difficult], tf.bool)

    def read(self, item):
        """Return ((contents of the file, boxes (n, 4), classes (n,), difficult (n,)), number of the image)."""
        objects = slice(self.starts[item], self.starts[item + 1])
        contents = tf.io.read_file(self.path(item))
        return (contents, self.boxes[objects], self.classes[objects], self.difficult[objects]), self.label(item)


@dataclass(frozen=True, eq=False)
class DetectionDataSet(ImageDataSet):
    """A loaded data set of images with boxes; of its splits each item has an image and boxes."""


def load_voc_folder(
    facts: DataFacts,
    seed: int,
    validation_fraction: float,
    classes: Sequence[str] | None = None,
    sets: tuple[str, str] = ("train", "val"),
) -> DetectionDataSet:
    """Load a directory in the form of Pascal VOC.

    It has `JPEGImages/` and `Annotations/` with an XML file for each image. `ImageSets/Main/train.txt` and `val.txt`
    say which images to train and to validate on; without `ImageSets/Main` a share of all images is held out. Images
    without boxes are kept. See `read_annotation` for boxes that are skipped; `warnings` names them with their files.

    Args:
        facts: Facts of `voc:PATH`.
        seed: Seed of the split, where there are no lists.
        validation_fraction: Share of the images that is held out, where there are no lists.
        classes: The names of the classes in the order of their labels; None takes all that are found, by the alphabet,
            which is the usual order of Pascal VOC.
        sets: Names of the lists to train and to validate on, such as `("trainval", "test")`.

    Raises:
        DataNotFound: If the directory, its folders or a list are missing.
        ValueError: If files cannot be used: an annotation is missing, is no XML, lacks a field, is of an image of
            another size or names an unknown class; an image is missing or cannot be read. The message names the files
            and the reasons.
    """
    root = Path(facts.name.removeprefix(VOC_PREFIX)).expanduser()
    for folder in (root, root / IMAGES, root / ANNOTATIONS):
        if not folder.is_dir():
            raise DataNotFound(f"{folder} is not a directory: expected one with {IMAGES}/ and {ANNOTATIONS}/.")
    parts = _members(root, seed, validation_fraction, sets)
    pairs = [pair for part in parts for pair in part]
    problems = {image: f"is {why}" for image, why in problems_of_image_files([image for image, _ in pairs]).items()}
    raise_for(root, problems)
    annotations = _read_all(root, pairs, classes)
    names = sorted({name for each in annotations.values() for name in each.names}) if classes is None else classes
    if not names:
        raise ValueError(f"{root} has no object with a usable box.{_warning_of(root, annotations)}")
    train, validation = (
        BoxSplit([image for image, _ in part], [annotations[image] for image, _ in part], names) for part in parts
    )
    warning = _warning_of(root, annotations).strip()
    return DetectionDataSet(
        name=facts.name,
        class_names=tuple(names),
        train=train,
        validation=validation,
        facts=facts.model_copy(update={"classes": len(names), "training_images": train.size}),
        warnings=(warning,) if warning else (),
    )


def _members(root: Path, seed: int, fraction: float, sets: tuple[str, str]) -> list[list[tuple[Path, Path]]]:
    images = {path.stem: path for path in sorted((root / IMAGES).iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES}
    lists = root / "ImageSets" / "Main"
    if not lists.is_dir():
        pairs = [(path, root / ANNOTATIONS / f"{stem}.xml") for stem, path in images.items()]
        raise_for(root, {xml: "is missing" for _, xml in pairs if not xml.is_file()})
        return hold_out(root, pairs, seed, fraction)
    parts = []
    for name in sets:
        path = lists / f"{name}.txt"
        if not path.is_file():
            raise DataNotFound(f"{path} does not exist: expected the names of the images of the set. Received: {sets=}")
        stems = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        if not stems:
            raise ValueError(f"{path} names no image.")
        pairs = [
            (images.get(stem, root / IMAGES / f"{stem}.jpg"), root / ANNOTATIONS / f"{stem}.xml") for stem in stems
        ]
        raise_for(root, {path: "is missing" for pair in pairs for path in pair if not path.is_file()})
        parts.append(pairs)
    both = {image for image, _ in parts[0]} & {image for image, _ in parts[1]}
    if both:
        raise ValueError(f"{min(both)} is in both sets: expected none to train and to validate on. Received: {sets=}")
    return parts


def _read_all(root: Path, pairs: Sequence[tuple[Path, Path]], classes: Sequence[str] | None) -> dict[Path, Annotation]:
    def read(pair: tuple[Path, Path]) -> Annotation | str:
        try:
            with Image.open(pair[0]) as image:
                size = image.height, image.width
            annotation = read_annotation(pair[1], size)
        except ValueError as error:
            return str(error)
        unknown = sorted(set(annotation.names) - set(annotation.names if classes is None else classes))
        return f"names a class that is not expected: {unknown[0]!r}" if unknown else annotation

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(read, pairs))
    raise_for(root, {xml: why for (_, xml), why in zip(pairs, results, strict=True) if isinstance(why, str)})
    return {image: each for (image, _), each in zip(pairs, results, strict=True) if isinstance(each, Annotation)}


def _warning_of(root: Path, annotations: dict[Path, Annotation]) -> str:
    """Return a sentence about broken boxes, with a blank before it, or nothing."""
    skipped = [
        f"{ANNOTATIONS}/{image.stem}.xml: {sentence}"
        for image, annotation in annotations.items()
        for sentence in annotation.skipped
    ]
    clipped = [f"{ANNOTATIONS}/{image.stem}.xml" for image, annotation in annotations.items() if annotation.clipped]
    sentences = []
    if skipped:
        were = "1 box was" if len(skipped) == 1 else f"{len(skipped)} boxes were"
        sentences.append(f" {were} skipped in {root}: {first_of(skipped, 'boxes')}.")
    if clipped:
        sentences.append(f" Boxes that reach beyond their images were cut off in {root}: {first_of(clipped, 'files')}.")
    return "".join(sentences)
