"""Save and load `model.keras` together with what its predictions mean."""

from __future__ import annotations

import importlib
import json
import os
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from keras_tricks import data
from keras_tricks.data_facts import Task as TaskName
from keras_tricks.runs import RunError
from keras_tricks.tasks import Answer, Task, task_of

if TYPE_CHECKING:
    from keras_tricks.training import Training

_MEMBER = "keras_tricks.json"


@dataclass(frozen=True)
class SavedModel:
    """A model with the facts that its predictions need.

    Args:
        model: The model; it returns logits.
        class_names: The name of each class, in the order of the logits.
        preprocessing: How an image becomes an input.
        task_name: What it was trained for.
        palette: Red, green and blue to draw each class with, from 0 to 255, where classes have colours.
        anchor_size: That of a detector; see `models.detection.anchors`.
    """

    model: keras.Model
    class_names: tuple[str, ...]
    preprocessing: Any
    task_name: TaskName = "classification"
    palette: tuple[tuple[int, int, int], ...] = ()
    anchor_size: float = 4.0

    @property
    def task(self) -> Task:
        """What differs from the models of other tasks."""
        return task_of(self.task_name)

    @cached_property
    def inference_model(self) -> keras.Model:
        """The model with its predictions as the only output."""
        return self.task.inference_model(self.model)

    def answer(self, image: str | Path, top: int | None = None) -> Answer:
        """Say what is in an image file.

        Args:
            image: Path of the file.
            top: How many findings to return at most, the surest first. Defaults to None: 5 classes, all boxes.

        Raises:
            RunError: The file cannot be read as an image.
        """
        return self.task.answer(self, Path(image), top)


def of_training(training: Training) -> SavedModel:
    """Return what a training has trained, with the facts that its predictions need."""
    return SavedModel(
        training.model,
        tuple(training.data_set.class_names),
        training.plan.evaluation,
        training.recipe.task,
        tuple(getattr(training.data_set, "palette", ())),
        training.recipe.anchor_size,
    )


def save(saved: SavedModel, path: str | Path) -> None:
    """Save a model as a `.keras` file that also holds what its predictions mean.

    `keras.models.load_model` reads the file as any other: all that stands in a member of its own.

    Args:
        saved: The model and its facts.
        path: The file; an old one is replaced in one go.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        saved.model.save(temporary)
        facts = {
            "task": saved.task_name,
            "class_names": saved.class_names,
            "preprocessing": data.preprocessing_config(saved.preprocessing),
            "palette": saved.palette,
            "anchor_size": saved.anchor_size,
        }
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(_MEMBER, json.dumps(facts))
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: str | Path) -> SavedModel:
    """Load what `save` wrote.

    Raises:
        RunError: The file is missing, damaged, or was not written by `save`.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if _MEMBER not in archive.namelist():
                raise RunError(f"{path} has no class names: keras-tricks did not write it.")
            facts = json.loads(archive.read(_MEMBER))
        if facts.get("task") == "detection":
            # The layers of a detector are keras-hub's, which must be known.
            importlib.import_module("keras_tricks.models.hub")
        model = keras.models.load_model(path, compile=False)
    except ImportError as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    except FileNotFoundError as error:
        raise RunError(f"There is no model {path}.") from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    return SavedModel(
        model,
        tuple(facts["class_names"]),
        data.preprocessing_from_config(facts["preprocessing"]),
        facts.get("task", "classification"),
        tuple(tuple(color) for color in facts.get("palette", ())),
        facts.get("anchor_size", 4.0),
    )
