"""How many parameters a recipe's model has, and about how much memory its training takes on a device."""

from __future__ import annotations

import json
import math
import zipfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from keras_tricks.data_facts import data_facts
from keras_tricks.model_facts import LARGEST_SMALL_IMAGE, model_facts
from keras_tricks.recipe import Recipe, RecipeError
from keras_tricks.runs import Run, RunError
from keras_tricks.teacher_facts import TeacherPlace, find_teacher, image_size_of_teacher
from keras_tricks.tricks import Distillation, GradientAccumulation, MixedPrecision, ResnetVariant

_FLOAT32 = 4
_FLOAT16 = 2


class MemoryEstimate(NamedTuple):
    """What a training keeps in the memory of each device, in bytes.

    What the device's libraries take for themselves is not in it: code, workspaces of convolutions, the gaps between
    blocks, and the next batch. They come on top, hundreds of megabytes on a GPU.

    Args:
        parameters: Number of trainable parameters, with the classifier of the data's classes where they are known.
        images: Images that a device works on at once.
        weights: Weights, and statistics of batch normalizations.
        gradients: Their gradients, and the sum of those before under gradient_accumulation.
        optimizer: The buffers of the optimizer.
        copies: Weights in other forms: in 16 bits, standardized, averaged, ascended.
        activations: What the layers keep of the images for the backward pass.
        teacher: The teacher of distillation, in float32: its weights, and the most that its tensors hold of the images
            at one time. Of a `.keras` file outside of a run only the weights are known.
    """

    parameters: int
    images: int
    weights: int
    gradients: int
    optimizer: int
    copies: int
    activations: int
    teacher: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self.parts().values())

    def parts(self) -> dict[str, int]:
        """The summands of the total that are not nothing, by name."""
        names = ("weights", "gradients", "optimizer", "copies", "activations", "teacher")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


def estimate_memory(recipe: Recipe) -> MemoryEstimate:
    """Return how much memory the training of a recipe takes on each of its devices.

    Weights, gradients and buffers are exact. The activations come from a table of what the gradients of each
    model's layers read at its own image size, and grow with the number of pixels and of images.

    Args:
        recipe: The recipe; without `replicas` it is taken to train on one device.

    Raises:
        ValueError: There is no such model or data set, or it is not for classification: what a head keeps is not known.
    """
    if recipe.task != "classification":
        raise ValueError(f"Expected a recipe for classification. Received: data={recipe.data}, for {recipe.task}")
    kept = _kept(recipe)
    facts = model_facts(recipe.model)
    parameters = _parameters(recipe)
    weights = parameters + kept["statistics"]
    accumulation, precision = recipe.trick("gradient_accumulation"), recipe.trick("mixed_precision")
    steps = accumulation.steps if isinstance(accumulation, GradientAccumulation) else 1
    compute = _FLOAT16 if isinstance(precision, MixedPrecision) else _FLOAT32
    images = math.ceil(recipe.batch_size / (recipe.replicas or 1) / steps)

    copies = 0
    if compute == _FLOAT16:
        copies += _FLOAT16 * parameters
    if "nf" in facts.features:
        copies += _FLOAT32 * parameters
    if recipe.trick("weight_averaging"):
        copies += 2 * _FLOAT32 * weights
    if recipe.trick("sharpness_aware"):
        copies += 2 * _FLOAT32 * parameters
    pixels = (recipe.resolved_image_size() / kept["image_size"]) ** 2
    return MemoryEstimate(
        parameters=parameters,
        images=images,
        weights=_FLOAT32 * weights,
        gradients=_FLOAT32 * parameters * (2 if steps > 1 else 1),
        optimizer=_FLOAT32 * parameters if recipe.momentum > 0 else 0,
        copies=copies,
        activations=round(images * pixels * (compute * kept["kept"] + _FLOAT32 * kept["kept_float32"])),
        teacher=_teacher(recipe, images),
    )


def as_text(size: int) -> str:
    """Return a number of bytes in the unit that suits it: `310 MiB`, `12.4 GiB`."""
    for unit, bytes_of_unit in (("GiB", 2**30), ("MiB", 2**20)):
        if size >= bytes_of_unit:
            amount = size / bytes_of_unit
            return f"{amount:.1f} {unit}" if amount < 100 and unit == "GiB" else f"{amount:.0f} {unit}"
    return f"{size / 2**10:.0f} KiB"


def _parameters(recipe: Recipe) -> int:
    """The trainable parameters of the recipe's model, with a classifier of the classes of the recipe's data."""
    kept, facts = _kept(recipe), model_facts(recipe.model)
    classes = data_facts(recipe.data).classes or facts.default_classes
    return kept["parameters"] + (kept["features"] + 1) * (classes - facts.default_classes)


def _teacher(recipe: Recipe, images: int) -> int:
    """The bytes of the teacher of distillation for so many images; 0 without one."""
    trick = recipe.trick("distillation")
    if not isinstance(trick, Distillation) or trick.teacher is None:
        return 0
    try:
        place = find_teacher(trick.teacher)
        taught = _recipe_of_teacher(place, recipe, trick.teacher_variant)
    except (ValueError, OSError, RunError):
        return 0
    if taught is None:
        return _bytes_of_weights(Path(place.place))
    kept = _kept(taught)
    pixels = (taught.resolved_image_size() / kept["image_size"]) ** 2
    return round(_FLOAT32 * (_parameters(taught) + kept["statistics"] + images * pixels * kept["inference"]))


def _recipe_of_teacher(place: TeacherPlace, student: Recipe, variant: str) -> Recipe | None:
    """A recipe with the teacher's model and image size; None for a file of which nobody knows what it holds."""
    if place.kind == "file":
        try:
            return Recipe.from_document(Run(Path(place.place).parent).recipe())
        except (RunError, RecipeError):
            return None
    facts, size = model_facts(place.model), image_size_of_teacher(place.model, student.resolved_image_size())
    with_variant = variant in facts.parameters and "resnet_variants" in facts.features
    tricks = (ResnetVariant(variant=variant),) if with_variant else ()
    return Recipe(model=place.model, data=student.data, image_size=size, tricks=tricks)


def _bytes_of_weights(path: Path) -> int:
    """The size of the weights in a `.keras` file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.getinfo("model.weights.h5").file_size
    except (OSError, KeyError, zipfile.BadZipFile):
        return 0


def _kept(recipe: Recipe) -> dict[str, int]:
    """The entry of the recipe's model in the table."""
    facts, entries = model_facts(recipe.model), _table()[recipe.model]
    if "resnet_variants" in facts.features:
        variant = recipe.trick("resnet_variant")
        return entries[variant.variant if isinstance(variant, ResnetVariant) else "A"]
    small = recipe.resolved_image_size() <= LARGEST_SMALL_IMAGE
    return entries["small images"] if small and "small images" in entries else entries["original"]


@cache
def _table() -> dict[str, dict[str, dict[str, int]]]:
    """What `tests/models/make_kept_activations.py` has written."""
    return json.loads(Path(__file__).with_name("kept_activations.json").read_bytes())
