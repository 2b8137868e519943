"""Write keras_tricks/kept_activations.json: what each model keeps of an image until its backward pass.

    python tests/models/make_kept_activations.py

It builds every model that a recipe can ask for, without values for its variables, and adds up the tensors that the
gradients of its layers read.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import keras

import keras_tricks
from keras_tricks import layers, models
from keras_tricks.model_facts import LARGEST_SMALL_IMAGE, MODELS, ModelFacts

TARGET = Path(keras_tricks.__file__).with_name("kept_activations.json")


def measure(facts: ModelFacts, variant: str, small_images: bool = False) -> dict[str, int]:
    """Return an entry of the table.

    Args:
        facts: The model.
        variant: Its variant.
        small_images: Whether it has the stem for small images that a network without normalization takes then.
    """
    size = min(facts.default_image_size, LARGEST_SMALL_IMAGE) if small_images else facts.default_image_size
    with keras.StatelessScope(initialize_variables=False):
        model = getattr(models, facts.builder)(input_shape=(size, size, 3), variant=variant, classifier_activation=None)
    kept, kept_float32 = kept_tensors(model)
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return {
        "image_size": size,
        "kept": sum(kept.values()),
        "kept_float32": sum(kept_float32.values()),
        "inference": most_alive(model),
        "parameters": trainable,
        "statistics": sum(math.prod(weight.shape) for weight in model.weights) - trainable,
        "features": model.get_layer("predictions").input.shape[-1],
    }


def kept_tensors(model: keras.Model) -> tuple[dict[int, int], dict[int, int]]:
    """Return the tensors that the gradients read, as numbers of values an image by the tensors' ids.

    Those of the second dictionary stay float32 under mixed precision.
    """
    kept: dict[int, int] = {}
    kept_float32: dict[int, int] = {}
    for layer in model.layers:
        where = kept_float32 if isinstance(layer, keras.layers.BatchNormalization) else kept
        for tensor in _read_by_gradient(layer):
            where[id(tensor)] = math.prod(tensor.shape[1:])
    return kept, kept_float32


def most_alive(model: keras.Model) -> int:
    """Return the most values an image that tensors hold at one time in inference, layer after layer.

    A tensor is kept until its last reader is through. Activations and sums overwrite what nobody else reads.
    """
    read = [list(map(id, _as_list(layer.input))) for layer in model.layers]
    last = {tensor: place for place, tensors in enumerate(read) for tensor in tensors}
    alive: dict[int, int] = {}
    most = 0
    for place, (layer, inputs) in enumerate(zip(model.layers, read, strict=True)):
        dying = [tensor for tensor in inputs if last[tensor] == place and tensor in alive]
        if isinstance(layer, keras.layers.Activation | layers.ScaledActivation | keras.layers.Add) and dying:
            del alive[dying.pop(0)]
        alive[id(layer.output)] = math.prod(layer.output.shape[1:])
        most = max(most, sum(alive.values()))
        for tensor in dying:
            alive.pop(tensor, None)
    return most


def _as_list(tensors: keras.KerasTensor | list[keras.KerasTensor]) -> list[keras.KerasTensor]:
    return tensors if isinstance(tensors, list) else [tensors]


def _read_by_gradient(layer: keras.layers.Layer) -> list[keras.KerasTensor]:
    inputs = _as_list(layer.input)
    match layer:
        case keras.layers.Conv2D() | keras.layers.Dense() | keras.layers.BatchNormalization():
            return inputs
        case keras.layers.DepthwiseConv2D():
            return inputs
        case keras.layers.Multiply() | layers.SkipInit() | layers.SqueezeExcite():
            return inputs
        case keras.layers.MaxPooling2D():
            return [*inputs, layer.output]
        case keras.layers.Activation() if layer.activation in (keras.activations.relu, keras.activations.relu6):
            return [layer.output]
        case layers.ScaledActivation():
            return [layer.output] if layer.activation == "relu" else inputs
        case keras.layers.Add() | keras.layers.ZeroPadding2D() | keras.layers.InputLayer():
            return []
        case keras.layers.AveragePooling2D() | keras.layers.GlobalAveragePooling2D() | keras.layers.Concatenate():
            return []
    raise TypeError(f"What does the gradient of a {type(layer).__name__} read? Add it here.")


def table() -> dict[str, dict[str, dict[str, int]]]:
    """Return the entries of all models, by model and variant."""
    entries: dict[str, dict[str, dict[str, int]]] = {}
    for name, facts in MODELS.items():
        normalizer_free = "nf" in facts.features
        # Recipes train the published networks without normalization.
        variants = ("original",) if normalizer_free else tuple(facts.parameters)
        entries[name] = {variant: measure(facts, variant) for variant in variants}
        if normalizer_free and facts.default_image_size > LARGEST_SMALL_IMAGE:
            entries[name]["small images"] = measure(facts, "original", small_images=True)
        print(name, entries[name])
    return entries


if __name__ == "__main__":
    TARGET.write_text(json.dumps(table(), indent=1) + "\n")
