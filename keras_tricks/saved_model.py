"""Save and load `model.keras` together with what its predictions mean."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_tricks import data
from keras_tricks.runs import RunError

_MEMBER = "keras_tricks.json"


@dataclass(frozen=True)
class SavedModel:
    """A classifier with the facts that its predictions need.

    Args:
        model: The model; it returns logits.
        class_names: The name of each class, in the order of the logits.
        preprocessing: How an image becomes an input.
    """

    model: keras.Model
    class_names: tuple[str, ...]
    preprocessing: data.Preprocessing

    def predict(self, images: Sequence[str | Path], top: int = 5) -> list[list[dict[str, Any]]]:
        """Classify image files.

        Args:
            images: Paths of the files.
            top: How many of the most likely classes to return for each. Defaults to 5.

        Returns:
            For each image a list of `{"class": name, "probability": p}`, the most likely first.

        Raises:
            RunError: A file cannot be read as an image.
        """
        inputs = []
        for image in images:
            try:
                inputs.append(data.prepare_image(image, self.preprocessing))
            except (OSError, ValueError) as error:
                raise RunError(f"{image} cannot be read as an image: {error}") from error
        logits = self.model.predict(np.stack(inputs), verbose=0)
        probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
        best = np.argsort(-probabilities, axis=-1, kind="stable")[:, :top]
        return [
            [{"class": self.class_names[place], "probability": float(row[place])} for place in places]
            for row, places in zip(probabilities, best, strict=True)
        ]


def save(
    model: keras.Model,
    path: str | Path,
    class_names: tuple[str, ...],
    preprocessing: data.Preprocessing,
) -> None:
    """Save a model as a `.keras` file that also holds class names and preprocessing.

    `keras.models.load_model` reads the file as any other: both stand in a member of their own.

    Args:
        model: The classifier.
        path: The file; an old one is replaced in one go.
        class_names: The name of each class, in the order of the outputs.
        preprocessing: How an image becomes an input.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        model.save(temporary)
        facts = {
            "class_names": class_names,
            "preprocessing": data.preprocessing_config(preprocessing),
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
        model = keras.models.load_model(path, compile=False)
    except FileNotFoundError as error:
        raise RunError(f"There is no model {path}.") from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    return SavedModel(model, tuple(facts["class_names"]), data.preprocessing_from_config(facts["preprocessing"]))
