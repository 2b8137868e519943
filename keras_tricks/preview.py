"""Show what a network will see: a contact sheet of images as they leave the input pipeline, with their labels."""

from __future__ import annotations

import math
import textwrap
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from keras_tricks import data
from keras_tricks.recipe import Recipe, RecipeError
from keras_tricks.runs.storage import write_with_folder
from keras_tricks.tasks import task_of
from keras_tricks.training import check, in_order, load_data, plan_data

_INCHES = 1.9
_DPI = 150


class Sample(NamedTuple):
    """Some images as the network sees them.

    Args:
        images: uint8 pixels (height, width, 3) of each, before the normalisation; with its boxes or its mask.
        labels: What each image is, such as `cat .7 + dog .3`.
        about: The recipe, the size of the images and what happens to them, in a line.
    """

    images: tuple[np.ndarray, ...]
    labels: tuple[str, ...]
    about: str


def sample_images(
    recipe: Recipe, images: int = 16, validation: bool = False, data_set: data.ImageDataSet | None = None
) -> Sample:
    """Return a batch of images as a recipe trains on them in its first epoch, or tests with them.

    Args:
        recipe: The recipe.
        images: How many; more where the copies of repeated augmentation do not divide it.
        validation: Show validation images instead of training images. Defaults to False.
        data_set: The recipe's data set, where it has been loaded already.

    Raises:
        RecipeError: The recipe has problems, its data cannot be used, or there are fewer images.
    """
    if images < 1:
        raise RecipeError(f"Expected at least one image. Received: images={images}")
    data_set = data_set or load_data(recipe)
    _, facts = check(recipe, data_set)
    plan = plan_data(recipe, data_set, facts)
    preprocessing = plan.evaluation if validation else plan.preprocessing
    try:
        if validation:
            batches = plan.evaluation_batches(data_set, images)
        else:
            batch_size = math.ceil(images / plan.repeats) * plan.repeats
            batches = plan.training_batches(data_set, batch_size, recipe.seed)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    normalised, targets = next(iter(batches.take(1).as_numpy_iterator()))
    pixels = data.pixels_of(normalised, preprocessing)
    drawn = task_of(recipe.task).draw_batch(data_set, pixels, targets)
    tricks = [trick for trick in in_order(recipe.tricks) if "data" in trick.stages() and trick.group != "Evaluation"]
    on = [trick.name for trick in tricks]
    what = "validation images" if validation else ", ".join(("training images", *on))
    height, size = pixels.shape[1:3]
    sides = f"{size}" if height == size else f"{size} x {height}"
    grows = "" if validation or size == facts.image_size else f", growing to {facts.image_size} px"
    return Sample(
        images=tuple(image for image, _ in drawn),
        labels=tuple(label for _, label in drawn),
        about=f"{recipe.name} · {sides} px{grows} · {what}",
    )


def draw_contact_sheet(sample: Sample, path: str | Path) -> Path:
    """Draw images in a square with their labels under them, pixel for pixel where they are smaller than on the sheet.

    Args:
        sample: The images.
        path: The PNG file.

    Returns:
        The file.

    Raises:
        StorageError: It cannot be written.
    """
    path = Path(path)
    columns = math.ceil(math.sqrt(len(sample.images)))
    rows = math.ceil(len(sample.images) / columns)
    figure = Figure(figsize=(columns * _INCHES, rows * (_INCHES + 0.25) + 0.4), layout="constrained")
    for index, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        if index < len(sample.images):
            image = sample.images[index]
            # Lines of a pixel would be lost in a picture that is made smaller without an average.
            fits = max(image.shape[:2]) <= _INCHES * _DPI
            axes.imshow(image, interpolation="nearest" if fits else "auto")
            axes.set_xlabel(_broken(sample.labels[index]), fontsize=7)
    figure.suptitle(_broken(sample.about, 26 * columns), fontsize=9)
    image = BytesIO()
    figure.savefig(image, format="png", dpi=_DPI)
    return write_with_folder(path, image.getvalue())


def _broken(text: str, width: int = 26) -> str:
    """Return a text in lines of so many characters, broken at spaces."""
    return "\n".join(textwrap.wrap(text.replace("$", r"\$"), width))
