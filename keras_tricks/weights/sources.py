"""Load weights from wherever they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras

from keras_tricks.runs import schema
from keras_tricks.weights.deepmind import load_deepmind
from keras_tricks.weights.imagenet import APPLICATIONS, load_imagenet_weights
from keras_tricks.weights.keras_file import load_keras_file
from keras_tricks.weights.structure import structure_of
from keras_tricks.weights.timm import RESNETS, load_timm
from keras_tricks.weights_facts import Kind, run_directory, weights_kind, weights_problem


def load(model: keras.Model, source: str | Path, head: bool = True) -> None:
    """Load published or saved weights into one of our models.

    Args:
        model: What a builder of `keras_tricks.models` returned. Its weights are overwritten.
        source: `"imagenet"`, those that Keras publishes for `InceptionV3`, `MobileNet`, and `ResNet50`, `ResNet101`
            and `ResNet152` of variant A; the path of a `.safetensors` file or the id of a repository on the Hugging
            Face hub, for `load_timm`; the path of a `.npz` file, for `load_deepmind`; the path of a `.keras` or
            `.weights.h5` file that was saved from the same model; or a finished run of it, its directory or its id in
            the folder of the runs.
        head: Whether the classifier is loaded too. With False the model may have another number of classes.
            A model without a classifier never needs one.

    Raises:
        ValueError: If the source is none of these, or its weights do not fit the model. The error lists
            everything that is missing, left over or of another shape, and the model is unchanged.
        ImportError: If a package is needed that is not installed; the message names it.
        ConnectionError: If a download is needed and there is no network.

    Example:

        model = NFNetF0(classes=10)
        load(model, "timm/dm_nfnet_f0.dm_in1k", head=False)
    """
    problem = weights_problem(source)
    if problem:
        raise ValueError(problem)
    loaders: dict[Kind | None, Callable[..., None]] = {
        "imagenet": _load_imagenet,
        "safetensors": load_timm,
        "hub": load_timm,
        "npz": load_deepmind,
        "keras": load_keras_file,
        "run": _load_run,
    }
    loaders[weights_kind(source)](model, source, head=head)


def _load_run(model: keras.Model, source: str | Path, head: bool) -> None:
    load_keras_file(model, run_directory(source) / schema.MODEL_FILE, head=head)


def _load_imagenet(model: keras.Model, source: str | Path, head: bool) -> None:
    structure = structure_of(model)
    if structure.family in APPLICATIONS:
        load_imagenet_weights(model, APPLICATIONS[structure.family], head=head)
        return
    published = structure.family == "resnet" and structure.bottleneck and structure.resnet_variant == "A"
    if not published or not structure.large_stem:
        raise ValueError(
            "Expected InceptionV3, MobileNet, or ResNet50, ResNet101 or ResNet152 of variant 'A' for "
            f"weights='imagenet': Keras publishes weights for no other of our models. Received: model={model.name!r}"
        )
    load_imagenet_weights(model, f"ResNet{RESNETS[True, structure.depths]}", head=head)
