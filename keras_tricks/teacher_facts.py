"""What can be said of a teacher without loading it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Literal, NamedTuple

from keras_tricks.model_facts import LARGEST_SMALL_IMAGE, MODELS, model_facts
from keras_tricks.runs import RunError, default_root, find_run, schema
from keras_tricks.weights_facts import unfit_weights, weights_kind, weights_problem

ACCEPTED = (
    "a run (its directory, or its id in the folder of the runs), a .keras file that keras-tricks wrote, or "
    "MODEL:WEIGHTS, such as resnet152:imagenet"
)
"""What a teacher may be, for messages."""

IMAGENET_CLASSES = 1000

_FACTS_MEMBER = "keras_tricks.json"
"""Where a `.keras` file has its class names; see `saved_model.save`."""


class TeacherPlace(NamedTuple):
    """Where a teacher is.

    Args:
        kind: `file`, or `weights` for one that is built anew and given weights.
        place: The `.keras` file, or the weights.
        model: Name of the model that is built; empty for a file.
    """

    kind: Literal["file", "weights"]
    place: str
    model: str = ""


def find_teacher(teacher: str) -> TeacherPlace:
    """Return where a teacher is, by what a user called it.

    Args:
        teacher: A run, a `.keras` file, or `MODEL:WEIGHTS`.

    Raises:
        ValueError: There is none, as a sentence that says what to change.

    Example:
        >>> find_teacher("resnet152:imagenet").model
        'resnet152'
    """
    model, colon, weights = teacher.partition(":")
    if colon and model in MODELS:
        problem = weights_problem(weights)
        if problem:
            raise ValueError(problem)
        if weights_kind(weights) in ("keras", "run"):
            raise ValueError(
                "The teacher's images are unknown from weights alone. Give a run, or the .keras file itself. "
                f"Received: teacher={teacher!r}"
            )
        return TeacherPlace("weights", weights, model)
    path = Path(teacher).expanduser()
    if path.suffix == ".keras":
        if not path.is_file():
            raise ValueError(f"There is no model {path}.")
        return TeacherPlace("file", str(path))
    try:
        # An id alone needs no look at all the other runs.
        named = default_root() / teacher
        run = find_run(default_root(), str(named if (named / schema.RECIPE_FILE).is_file() else path))
    except RunError as error:
        raise ValueError(f"Expected a teacher to be {ACCEPTED}. {error} Received: teacher={teacher!r}") from error
    model_file = run.directory / schema.MODEL_FILE
    if not model_file.is_file():
        raise ValueError(f"The run {run.id} has no {schema.MODEL_FILE}: it has not finished. Choose another teacher.")
    return TeacherPlace("file", str(model_file))


def image_size_of_teacher(model: str, image_size: int) -> int:
    """Return the size of the images that a model which is built anew sees as a teacher, in pixels.

    Those of the student, or where they are too small for it, of the size that it was published with.

    Args:
        model: Name of the teacher's model.
        image_size: Height and width of the student's images, in pixels.
    """
    facts = model_facts(model)
    is_small = image_size <= LARGEST_SMALL_IMAGE and not facts.family.endswith("_cifar")
    return facts.default_image_size if is_small or image_size < facts.min_image_size else image_size


def class_names_in(path: str | Path) -> tuple[str, ...] | None:
    """Return the class names in a `.keras` file, in the order of its logits, without loading the model.

    Args:
        path: The file.

    Returns:
        None where the file is damaged, or keras-tricks did not write it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(map(str, json.loads(archive.read(_FACTS_MEMBER))["class_names"]))
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None


def teacher_problem(teacher: str | None, data: str, classes: int | None) -> str | None:
    """Return what is wrong with a teacher, as a sentence that says what to change; None if nothing is known to be.

    Classes are counted here. Their names are compared where the teacher is loaded, as those of most data are known only
    then.

    Args:
        teacher: What a user called it; None if nobody teaches.
        data: The data that the student learns from.
        classes: How many classes that has; None if it is not known yet.
    """
    if teacher is None:
        return f"Nobody teaches. Set distillation.teacher to {ACCEPTED}."
    try:
        kind, place, model = find_teacher(teacher)
    except ValueError as error:
        return str(error)
    if kind == "file":
        names = class_names_in(place)
        if names is None or classes in (None, len(names)):
            return None
        shown = f"{', '.join(names[:5])}{', ...' * (len(names) > 5)}"
        return (
            f"{teacher} knows {len(names)} classes ({shown}), and {data} has {classes} others. "
            f"Set distillation.teacher to a network that was trained on {data}."
        )
    message = unfit_weights(place, model_facts(model))
    if message is None and place == "imagenet" and classes not in (None, IMAGENET_CLASSES):
        return (
            f"{teacher} knows the {IMAGENET_CLASSES} classes of ImageNet, and {data} has {classes} others. "
            f"Set distillation.teacher to a network that was trained on {data}."
        )
    return message
