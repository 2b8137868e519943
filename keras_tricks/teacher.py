"""Load a teacher, and give it a student's images as it wants them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks import models, saved_model, weights
from keras_tricks.data_facts import IMAGENET_MEAN, IMAGENET_STD
from keras_tricks.losses import Distillation
from keras_tricks.model_facts import model_facts
from keras_tricks.recipe import RecipeError
from keras_tricks.runs import RunError
from keras_tricks.teacher_facts import TeacherPlace, find_teacher, image_size_of_teacher
from keras_tricks.trick import RunFacts
from keras_tricks.weights.safetensors_file import SafetensorsFile
from keras_tricks.weights.timm import architecture_of
from keras_tricks.weights_facts import weights_kind

TIMM_MEAN = (123.675, 116.28, 103.53)
TIMM_STD = (58.395, 57.12, 57.375)
"""Mean and standard deviation of red, green and blue in timm and in DeepMind's code, for pixels from 0 to 255."""

Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Prepare:
    """Turn a student's images into those that a teacher wants.

    Args:
        scale: Factor of each channel.
        offset: Number that is added to each channel after that.
        image_size: Height and width to resize to, in pixels, where they are others; None leaves the size as it is.
    """

    scale: Channels
    offset: Channels
    image_size: int | None = None

    def __call__(self, images: Any) -> Any:
        """Return the teacher's images for those of the student, (batch, height, width, 3)."""
        images = ops.cast(images, "float32")
        if self.image_size is not None and images.shape[1:3] != (self.image_size, self.image_size):
            images = ops.image.resize(images, (self.image_size, self.image_size), antialias=True)
        if self.scale == (1.0, 1.0, 1.0) and self.offset == (0.0, 0.0, 0.0):
            return images
        return images * ops.array(self.scale, "float32") + ops.array(self.offset, "float32")


@dataclass(frozen=True)
class Teacher:
    """A trained network, and how it sees a student's images.

    Args:
        model: It returns logits.
        prepare: From the student's images to its own.
    """

    model: keras.Model
    prepare: Prepare

    def distillation(self, temperature: float, weight: float) -> Distillation:
        """Return the loss of learning from it."""
        return Distillation(self.model, temperature, weight, prepare=self.prepare)


def load_teacher(teacher: str, facts: RunFacts, variant: str = "published") -> Teacher:
    """Load a teacher for the student of a run.

    Args:
        teacher: A run, a `.keras` file of keras-tricks, or `MODEL:WEIGHTS`.
        facts: What is known of the student's run: its classes, and size and normalization of its images.
        variant: Variant of a model that is built anew; `"published"` is the one that its weights are of.

    Raises:
        RecipeError: There is no such teacher, it cannot be read, or it knows other classes.
    """
    try:
        place = find_teacher(teacher)
        if place.kind == "weights":
            return _built(place, facts, variant)
        return _loaded(place, facts)
    except (ImportError, OSError, ValueError, RunError) as error:
        raise RecipeError(f"The teacher {teacher} cannot be used: {error}") from error


def _loaded(place: TeacherPlace, facts: RunFacts) -> Teacher:
    saved = saved_model.load(place.place)
    if saved.class_names != facts.class_names:
        raise ValueError(
            "its classes are not those of the data, in their order. "
            f"Expected: {_listed(facts.class_names)} Received: {_listed(saved.class_names)}"
        )
    seen = saved.preprocessing
    return Teacher(saved.model, _conversion(facts, seen.mean, seen.std, saved.model.input_shape[1]))


def _built(place: TeacherPlace, facts: RunFacts, variant: str) -> Teacher:
    described = model_facts(place.model)
    size = image_size_of_teacher(place.model, facts.image_size)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        model = getattr(models, described.builder)(
            classes=facts.classes,
            input_shape=(size, size, 3),
            classifier_activation=None,
            **_variant(place, variant),
        )
    finally:
        keras.config.set_dtype_policy(policy)
    weights.load(model, place.place)
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if place.place == "imagenet" else (TIMM_MEAN, TIMM_STD)
    return Teacher(model, _conversion(facts, mean, std, size))


def _variant(place: TeacherPlace, variant: str) -> dict[str, str]:
    """Return the builder's argument for the variant that weights are of, if there is a choice."""
    known = model_facts(place.model).parameters
    if variant == "published":
        variant = _published_variant(place)
    return {"variant": variant} if len(known) > 1 else {}


def _published_variant(place: TeacherPlace) -> str:
    kind, facts = weights_kind(place.place), model_facts(place.model)
    if facts.family == "nfnet" or kind == "npz":
        return "original"
    if facts.family == "nf_resnet":
        return "timm"
    if kind == "imagenet":
        return "A"
    name = place.place.rpartition("/")[2].partition(".")[0]
    if kind == "safetensors":
        name = architecture_of(SafetensorsFile(Path(place.place).expanduser())) or ""
    return {"c": "C", "d": "D"}.get(name[-1:], "B")


def _conversion(facts: RunFacts, mean: Channels, std: Channels, image_size: int | None) -> Prepare:
    """Undo the student's normalization and make the teacher's, in one step."""
    ours, theirs = (np.asarray(each, "float64") for each in (facts.std, std))
    scale = ours / theirs
    offset = (np.asarray(facts.mean, "float64") - np.asarray(mean, "float64")) / theirs
    return Prepare(tuple(scale.tolist()), tuple(offset.tolist()), image_size)


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(names[:5])}{more}."
