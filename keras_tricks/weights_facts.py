"""What can be said of a source of weights without opening it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from keras_tricks.model_facts import MODELS, ModelFacts
from keras_tricks.runs import default_root, schema

Kind = Literal["imagenet", "safetensors", "npz", "keras", "hub", "run"]
"""What a source of weights may be."""

SUFFIXES: dict[str, Kind] = {".safetensors": "safetensors", ".npz": "npz", ".keras": "keras", ".weights.h5": "keras"}
"""The endings of files of weights, and the kind that each is."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_OTHER_SUFFIXES = (".bin", ".ckpt", ".h5", ".msgpack", ".onnx", ".pickle", ".pkl", ".pt", ".pth", ".tar", ".tf", ".zip")

ACCEPTED = (
    "'imagenet' (those that Keras publishes), the path of a .safetensors file (timm's), of a .npz file (DeepMind's), "
    "of a .keras or .weights.h5 file (ours), a run (its directory, or its id in the folder of the runs), or the id of "
    "a repository on the Hugging Face hub such as 'timm/dm_nfnet_f0.dm_in1k'"
)
"""The sources of weights, for messages."""


def weights_kind(source: str | Path) -> Kind | None:
    """Return what kind of source of weights something is, by its looks; None if it cannot be one.

    Args:
        source: What a user gave. Whether a file of that name exists is not looked at; whether a run does, is.

    Example:
        >>> weights_kind("timm/dm_nfnet_f0.dm_in1k")
        'hub'
    """
    text = str(source)
    if text == "imagenet":
        return "imagenet"
    for suffix, kind in SUFFIXES.items():
        if text.endswith(suffix):
            return kind
    if (run_directory(source) / schema.RECIPE_FILE).is_file():
        return "run"
    if isinstance(source, str) and _HUB_ID.fullmatch(text) and not text.endswith(_OTHER_SUFFIXES):
        return None if Path(text).exists() else "hub"
    return None


def run_directory(source: str | Path) -> Path:
    """Return the directory that a source of weights means if it is a run: a path, or an id in the folder of the runs.

    Args:
        source: What a user gave.
    """
    path = Path(source).expanduser()
    return path if (path / schema.RECIPE_FILE).is_file() else default_root() / source


def weights_problem(source: str | Path) -> str | None:
    """Return why a source of weights cannot be right, as a sentence; None if it can.

    Nothing is opened or downloaded, and Keras is not imported.

    Args:
        source: What a user gave as weights.

    Example:
        >>> weights_problem("imagenet") is None
        True
    """
    kind = weights_kind(source)
    if kind is None:
        return f"Expected weights to be {ACCEPTED}. Received: weights={str(source)!r}"
    if kind == "run" and not (run_directory(source) / schema.MODEL_FILE).is_file():
        return f"Expected the run to have finished: it has no {schema.MODEL_FILE}. Received: weights={str(source)!r}"
    if kind in ("imagenet", "hub", "run") or Path(source).expanduser().is_file():
        return None
    return f"Expected weights to be an existing file. Received: weights={str(source)!r}"


def unfit_weights(weights: str, model: ModelFacts) -> str | None:
    """Return why weights cannot be those of a model, as a sentence; None if they may be.

    Args:
        weights: The source of the weights.
        model: The model.
    """
    kind = weights_kind(weights)
    if kind == "imagenet" and not model.imagenet_weights:
        names = ", ".join(facts.name for facts in MODELS.values() if facts.imagenet_weights)
        return f"There are no ImageNet weights for {model.name}. Choose one of {names}, or other weights."
    message = weights_problem(weights)
    if message is None and kind in ("hub", "safetensors", "npz") and model.family.endswith("_cifar"):
        message = f"{weights} cannot be of {model.name}: published weights are of networks for large images."
    if message is None and kind in ("hub", "safetensors", "npz") and "residual" not in model.features:
        message = f"{weights} cannot be loaded into {model.name}. Its published weights are weights=imagenet."
    return message
