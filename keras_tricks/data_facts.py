"""What is known about a data set before it is opened: size, classes, style, normalisation."""

import difflib
import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

IMAGENET_MEAN = (123.68, 116.779, 103.939)
IMAGENET_STD = (58.393, 57.12, 57.375)

FOLDER_PREFIX = "folder:"
MASKS_PREFIX = "masks:"
VOC_PREFIX = "voc:"

Task = Literal["classification", "detection", "segmentation"]

# What lies below a path: the task, and what it is called.
_DIRECTORIES: dict[str, tuple[Task, str]] = {
    FOLDER_PREFIX: ("classification", "Images"),
    MASKS_PREFIX: ("segmentation", "Images and masks"),
    VOC_PREFIX: ("detection", "Images and boxes"),
}

_TFDS_NAME = re.compile(r"(?P<base>[a-z][a-z0-9_]*)(?:/(?P<config>[A-Za-z0-9_.+\-]+))?(?::(?P<version>\d+\.\d+\.\d+))?")


class DataFacts(BaseModel):
    """Describe a data set, as far as it is known without opening it.

    Args:
        name: The name as the user gives it: `digits`, a TensorFlow Datasets name such as `cifar10` or
            `imagenette/320px-v2`, or `folder:PATH`, `masks:PATH`, `voc:PATH`.
        title: The name to show to people.
        task: What the labels are: the class of an image, its boxes, or the class of each pixel.
        style: `small` pads, crops and flips; `imagenet` takes a random area and aspect.
        image_size: Default side of the training images, in pixels.
        native_size: Side of the stored images in pixels; None where it varies or is unknown.
        classes: Number of classes; None where it is known only after loading.
        training_images: Number of training images; None where it is known only after loading.
        flip: Whether a mirrored image keeps its class; false for written characters.
        mean: Mean of the red, green and blue channels, on the scale 0..255.
        std: Standard deviation of the channels, on the same scale.
        train_split: Name of the training split in TensorFlow Datasets.
        validation_split: Name of the split to validate on; None takes `validation`, else `test`, else
            a seeded share of the training split.

    Example:
        >>> data_facts("cifar10").classes
        10
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    title: str
    task: Task = "classification"
    style: Literal["small", "imagenet"] = "imagenet"
    image_size: int = Field(224, ge=1)
    native_size: int | None = Field(None, ge=1)
    classes: int | None = Field(None, ge=1)
    training_images: int | None = Field(None, ge=1)
    flip: bool = True
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    train_split: str = "train"
    validation_split: str | None = None


def _small(name: str, title: str, training_images: int, classes: int = 10, **more) -> DataFacts:
    facts = {"style": "small", "image_size": 32, "native_size": 32, "validation_split": "test"}
    return DataFacts(
        name=name,
        title=title,
        training_images=training_images,
        classes=classes,
        **(facts | more),
    )


def _large(name: str, title: str, training_images: int, classes: int, split: str, **more) -> DataFacts:
    return DataFacts(
        name=name,
        title=title,
        training_images=training_images,
        classes=classes,
        validation_split=split,
        **more,
    )


def _voc(years: str, training_images: int, **splits: str) -> DataFacts:
    return _large(f"voc/{years}", f"Pascal VOC {years}", training_images, 20, task="detection", **splits)


KNOWN_DATA_SETS: dict[str, DataFacts] = {
    facts.name: facts
    for facts in (
        _small(
            "digits",
            "Digits (scikit-learn)",
            1437,
            image_size=16,
            native_size=8,
            flip=False,
            mean=(77.98, 77.98, 77.98),
            std=(95.89, 95.89, 95.89),
        ),
        _small(
            "cifar10",
            "CIFAR-10",
            50_000,
            mean=(125.307, 122.950, 113.865),
            std=(62.993, 62.089, 66.705),
        ),
        _small(
            "cifar100",
            "CIFAR-100",
            50_000,
            classes=100,
            mean=(129.304, 124.070, 112.434),
            std=(68.170, 65.392, 70.418),
        ),
        _small("mnist", "MNIST", 60_000, native_size=28, flip=False),
        _small("fashion_mnist", "Fashion-MNIST", 60_000, native_size=28),
        _small("kmnist", "Kuzushiji-MNIST", 60_000, native_size=28, flip=False),
        _small("svhn_cropped", "Street View House Numbers", 73_257, flip=False),
        _large("imagenette", "Imagenette", 9_469, 10, "validation"),
        _large("stanford_dogs", "Stanford Dogs", 12_000, 120, "test"),
        _large("oxford_flowers102", "Oxford Flowers 102", 1_020, 102, "validation"),
        _large("oxford_iiit_pet", "Oxford-IIIT Pets", 3_680, 37, "test"),
        _large("food101", "Food-101", 75_750, 101, "validation"),
        _large("imagenet2012", "ImageNet (ILSVRC 2012)", 1_281_167, 1000, "validation"),
        _voc("2007", 5_011, train_split="train+validation", split="test"),
        _voc("2012", 5_717, split="validation"),
        _voc("2007+2012", 16_551, train_split="train+validation", split="test"),
        _large("cityscapes/semantic_segmentation", "Cityscapes", 2_975, 19, "validation", task="segmentation"),
        _large("oxford_iiit_pet_trimaps", "Oxford-IIIT Pets, trimaps", 3_680, 2, "test", task="segmentation"),
    )
}


def folder_of(name: str) -> Path | None:
    """Return the directory that the name of a data set means; None where it is none.

    Args:
        name: For example `folder:photos`.
    """
    prefix = next((prefix for prefix in _DIRECTORIES if name.startswith(prefix)), None)
    return None if prefix is None else Path(name.removeprefix(prefix)).expanduser()


def split_tfds_name(name: str) -> tuple[str, str | None, str | None]:
    """Split a TensorFlow Datasets name into data set, configuration and version.

    Args:
        name: For example `imagenette/320px-v2:1.0.0`; configuration and version may be left out.

    Raises:
        ValueError: If the name does not have this form; close known names are part of the message.
    """
    match = _TFDS_NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            "Expected the name of a data set: digits, a TensorFlow Datasets name such as cifar10 "
            f"(lower case letters, digits and _), or {FOLDER_PREFIX}PATH, {MASKS_PREFIX}PATH or {VOC_PREFIX}PATH."
            f"{did_you_mean(name)} "
            f"Received: name={name!r}"
        )
    return match["base"], match["config"], match["version"]


def did_you_mean(name: str, names: tuple[str, ...] = ()) -> str:
    """Return " Did you mean ...?" with the names that are close to a mistyped one, or nothing.

    Args:
        name: What was typed.
        names: Further names to compare with, beside the known data sets.
    """
    plain = {known.replace("_", ""): known for known in (*names, *KNOWN_DATA_SETS)}
    typed = re.sub(r"[^a-z0-9]", "", name.lower())
    close = [plain[match] for match in difflib.get_close_matches(typed, plain, n=3, cutoff=0.7)]
    return f" Did you mean {' or '.join(close)}?" if close else ""


def data_facts(name: str) -> DataFacts:
    """Return the facts of a data set by its name, without opening it.

    Args:
        name: A known name, any other TensorFlow Datasets name (`NAME`, `NAME/CONFIG`,
            `NAME:VERSION`), `folder:PATH`, `masks:PATH` (images and masks) or `voc:PATH` (images and
            boxes). An unknown name is assumed to hold ImageNet-style
            photographs and its counts are None.

    Raises:
        ValueError: If the name is empty or cannot be the name of a data set.

    Example:
        >>> data_facts("folder:photos").image_size
        224
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"Expected the name of a data set, for example cifar10. Received: name={name!r}")
    for prefix, (task, what) in _DIRECTORIES.items():
        if name.startswith(prefix):
            path = name.removeprefix(prefix)
            if not path.strip():
                raise ValueError(f"Expected a path after {prefix}. Received: name={name!r}")
            return DataFacts(name=name, title=f"{what} under {path}", task=task)
    base, config, version = split_tfds_name(name)
    configurations = [name for name in KNOWN_DATA_SETS if name.startswith(f"{base}/")]
    if configurations and config is None and base not in KNOWN_DATA_SETS:
        raise ValueError(f"Expected one of {', '.join(configurations)}. Received: name={name!r}")
    known = KNOWN_DATA_SETS.get(f"{base}/{config}" if config else base) or KNOWN_DATA_SETS.get(base)
    if known is None:
        return DataFacts(name=name, title=name)
    if base == "digits" and (config or version):
        raise ValueError(f"digits has neither configurations nor versions. Received: name={name!r}")
    return known.model_copy(update={"name": name})
