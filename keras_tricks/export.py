"""Write a model as a file for other programs, and check that the file gives the same outputs."""

from __future__ import annotations

import json
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_tricks import data
from keras_tricks.export_formats import FORMATS, check_target
from keras_tricks.folding import fold_standardization, functional_graph
from keras_tricks.recipe import Recipe
from keras_tricks.runs import Run, RunError
from keras_tricks.saved_model import SavedModel
from keras_tricks.training import check, load_data, plan_data

TOLERANCE = 1e-4
"""Largest difference between the outputs of a file and of its model, as a share of the largest output."""

_RANDOM_BATCHES = (1, 3)
_BATCH_SIZE = 4


class ExportError(RuntimeError):
    """A model could not be written, or the file gives other outputs than the model; no file was kept."""


@dataclass(frozen=True)
class Exported:
    """A file that was written and checked.

    Args:
        path: The file, or the folder of a SavedModel.
        description_path: The JSON file beside it.
        description: What that file holds: inputs, preprocessing, outputs, classes, and the check.
    """

    path: Path
    description_path: Path
    description: dict[str, Any]


def export(
    saved: SavedModel,
    path: str | Path,
    format: str,
    *,
    fold: bool = True,
    probabilities: bool = True,
    images: np.ndarray | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a model for inference elsewhere, and check the file against the model.

    The file takes a batch, of any size, of images that went through the evaluation preprocessing: float32, RGB,
    `(batch, height, width, 3)`; a segmenter's are squares as it was trained with. Detectors return the boxes of all
    anchors with the probabilities of the classes, before any is suppressed. It computes in float32 with the weights as
    they were trained, mixed precision or not. What an input is and what the outputs mean stands in a JSON file beside
    it. Whoever loads a `.keras` file of an NF network or a segmenter imports `keras_tricks.layers` before, of a
    detector `keras_tricks.models.hub`; the other formats need nothing of this package.

    The check runs random images, and `images`, through the file and through the model as it was, in float32. A file
    whose outputs differ is not kept.

    Args:
        saved: The model, which returns logits, with its classes and preprocessing.
        path: Where to write.
        format: One of `FORMATS`: `keras`, `saved_model`, `litert` or `onnx`. All but `keras` need the TensorFlow
            backend, `onnx` the extra `export`.
        fold: Whether to fold the network (`fold_standardization`), which makes it faster. Defaults to `True`.
        probabilities: Whether the file returns probabilities, and boxes in pixels; logits and offsets otherwise.
            Defaults to `True`.
        images: Preprocessed images to check with as well, `(n, height, width, 3)`. Defaults to None.
        overwrite: Whether to replace what is at `path`. Defaults to `False`.

    Raises:
        RunError: The arguments cannot be used here, or a package is missing.
        ExportError: Writing failed, or the file gives other outputs than the model.

    Example:

        export(saved_model.load("runs/x/model.keras"), "model.onnx", "onnx")
    """
    path = Path(path)
    check_target(path, format, overwrite)
    backend = keras.backend.backend()
    if format != "keras" and backend != "tensorflow":
        raise RunError(
            f"The format {format} needs the TensorFlow backend: set KERAS_BACKEND=tensorflow. "
            f"Received: KERAS_BACKEND={backend}"
        )
    size = saved.preprocessing.image_size
    model = _for_inference(saved, probabilities)
    real = 0 if images is None else len(images)
    batches = [np.random.default_rng(n).normal(size=(n, size, size, 3)).astype("float32") for n in _RANDOM_BATCHES]
    if real:
        batches += np.split(np.asarray(images, "float32"), range(_BATCH_SIZE, real, _BATCH_SIZE))
    kind = FORMATS[format]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
        written = Path(folder) / path.name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                kind.write(fold_standardization(model, split_groups=True) if fold else model, written)
                run = kind.open(written)
                outputs = [run(batch) for batch in batches]
            except Exception as error:
                reason = str(error).strip().splitlines() or [""]
                raise ExportError(
                    f"{saved.model.name} could not be written as {format}: {type(error).__name__}: {reason[-1]}"
                ) from error
        expected = model.predict(np.concatenate(batches), batch_size=_BATCH_SIZE, verbose=0)
        both = (saved.task.parts(each) for each in (np.concatenate(outputs), expected))
        difference = max(_largest_difference(*pair) for pair in zip(*both, strict=True))
        if not difference <= TOLERANCE:
            raise ExportError(
                f"The {format} file gives other outputs than the model: they differ by {difference:.2g} of the largest "
                f"output, and {TOLERANCE:g} is tolerated. It was not kept."
            )
        description = _description(saved, model, path, format, fold, probabilities)
        description["check"] = {
            "largest_difference": difference,
            "tolerance": TOLERANCE,
            "random_images": sum(_RANDOM_BATCHES),
            "real_images": real,
        }
        _move(written, path)
    description_path = path.with_name(f"{path.name}.json")
    description_path.write_text(json.dumps(description, indent=2) + "\n")
    return Exported(path, description_path, description)


def validation_images(run: Run, preprocessing: Any, count: int) -> np.ndarray | None:
    """Return the first validation images of a run, preprocessed; None where its data set is not on this machine.

    Images that are no squares are cut off, or filled up with the mean colour.

    Args:
        run: The run.
        preprocessing: That of its model.
        count: How many images to return at most.
    """
    if count == 0:
        return None
    try:
        recipe = Recipe.from_document(run.recipe())
        data_set = load_data(recipe.changed(decoded_cache=None))
        plan = plan_data(recipe, data_set, check(recipe.changed(replicas=1), data_set)[1])
    except (OSError, ValueError):
        return None
    batches = plan.evaluation_batches(data_set, min(count, data_set.validation.size))
    images = next(iter(batches))[0].numpy()
    size = preprocessing.image_size
    squares = np.zeros((len(images), size, size, 3), "float32")
    parts = images[:, :size, :size]
    squares[:, : parts.shape[1], : parts.shape[2]] = parts
    return squares


def _for_inference(saved: SavedModel, probabilities: bool) -> keras.Model:
    """Return a copy of a model in float32, for images of one size."""
    model, size = saved.inference_model, saved.preprocessing.image_size
    images = keras.Input((size, size, model.input_shape[-1]), name="images")
    copy = _in_float32(model, images)
    if not probabilities:
        return copy
    return keras.Model(copy.input, saved.task.activated(saved, copy.output), name=model.name)


def _in_float32(model: keras.Model, inputs: Any = None) -> keras.Model:
    pairs: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []

    def copy(operation: Any) -> Any:
        if not isinstance(operation, keras.layers.Layer):
            return operation
        if isinstance(operation, keras.Model) and functional_graph(operation) is not None:
            return _in_float32(operation)
        layer = operation.__class__.from_config({**operation.get_config(), "dtype": "float32"})
        pairs.append((layer, operation))
        return layer

    copied = keras.models.clone_model(functional_graph(model), input_tensors=inputs, clone_function=copy)
    for layer, original in pairs:
        layer.set_weights(original.get_weights())
    return copied


def _largest_difference(outputs: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference as a share of the largest output; NaN if any output is none."""
    if outputs.shape != expected.shape:
        return float("inf")
    return float(np.abs(outputs - expected).max() / np.abs(expected).max())


def _description(
    saved: SavedModel, model: keras.Model, path: Path, format: str, fold: bool, probabilities: bool
) -> dict[str, Any]:
    preprocessing = saved.preprocessing
    return {
        "file": path.name,
        "format": format,
        "model": model.name,
        "folded": fold,
        "input": {
            "name": "images",
            "shape": list(model.input_shape),
            "dtype": "float32",
            "channels": "RGB",
            "values": "(pixel - mean) / std, with pixels from 0 to 255",
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
        },
        "preprocessing": data.preprocessing_config(preprocessing),
        "output": {
            "values": saved.task.outputs if probabilities else saved.task.logits,
            "shape": list(model.output_shape),
            **saved.task.decoding(saved),
        },
        "task": saved.task_name,
        "classes": list(saved.class_names),
    }


def _move(written: Path, path: Path) -> None:
    """Put what was written in its place; folders cannot be replaced in one go."""
    if path.exists() and (path.is_dir() or written.is_dir()):
        path.rename(written.with_name("replaced"))
    written.replace(path)
