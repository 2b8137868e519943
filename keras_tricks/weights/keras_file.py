"""Our own files of weights, for all layers or all but the classifier."""

from __future__ import annotations

import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import h5py
import keras
import numpy as np

from keras_tricks.weights.assignment import Origin, assign
from keras_tricks.weights.structure import HEAD

_FOLDER = "layers"
_WEIGHTS_OF_KERAS_FILE = "model.weights.h5"


def load_keras_file(model: keras.Model, source: str | Path, head: bool = True) -> None:
    """Load weights that were saved from one of our models into the same one, with or without its classifier.

    `model.load_weights` does the same with the classifier, but some weights may have changed when it fails.

    Args:
        model: One of ours. Its weights are overwritten.
        source: Path of a `.weights.h5` or `.keras` file.
        head: Whether the classifier is loaded too. With False the model may have another number of classes.
            A model without a classifier never needs one.

    Raises:
        ValueError: If the file cannot be read, or a weight is missing, left over or of another shape. The error
            lists all of them, and the model is unchanged.
        FileNotFoundError: If there is no such file.

    Example:

        load_keras_file(NFNetF0(classes=10), "pretrained.weights.h5", head=False)
    """
    origins = dict(_origins(model))
    origins |= {
        f"{HEAD}/{kind}": Origin(f"{_FOLDER}/dense/vars/{index}") for index, kind in enumerate(("kernel", "bias"))
    }
    try:
        tensors = _read(Path(source).expanduser())
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(
            "Expected a .weights.h5 or .keras file of Keras 3. "
            f"Received: source={str(source)!r}, which cannot be read: {error}"
        ) from error
    assign(model, origins, tensors, head=head, title=f"the weights in {source}")


def _origins(model: keras.Model) -> Iterator[tuple[str, Origin]]:
    """Yield the path of each weight and its place in a file: layers are counted there, class by class."""
    counts: Counter[str] = Counter()
    for layer in model.layers:
        kind = _snake_case(type(layer).__name__)
        place = f"{_FOLDER}/{kind}_{counts[kind]}" if counts[kind] else f"{_FOLDER}/{kind}"
        counts[kind] += 1
        variables: Counter[str] = Counter()
        for weight in layer.weights:
            inside = weight.path.rpartition(layer.name)[2]
            sublayer = inside.rpartition("/")[0]
            yield layer.name + inside, Origin(f"{place}{sublayer}/vars/{variables[sublayer]}")
            variables[sublayer] += 1


def _snake_case(name: str) -> str:
    """Return the name of a class as Keras writes it in files."""
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _read(path: Path) -> dict[str, np.ndarray]:
    """Return all weights of a file by their places in it, the states of random generators left out."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            content: Path | io.BytesIO = io.BytesIO(archive.read(_WEIGHTS_OF_KERAS_FILE))
    else:
        content = path
    tensors = {}

    def keep(place: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset) and "seed_generator" not in place:
            tensors[f"{_FOLDER}/{place}"] = item[()]

    with h5py.File(content, "r") as file:
        file[_FOLDER].visititems(keep)
    return tensors
