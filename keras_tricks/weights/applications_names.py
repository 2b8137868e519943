"""Our names of the layers of `keras.applications`."""

from __future__ import annotations

import re
from collections.abc import Iterable

import keras

from keras_tricks.weights.structure import HEAD


def our_names(source: keras.Model, targets: Iterable[str]) -> dict[str, str]:
    """Return our name of each layer that has weights, by its own; an unknown name stays as it is.

    Args:
        source: A model of `keras.applications`.
        targets: The names of the layers that our model has.
    """
    names = [layer.name for layer in source.layers if layer.weights]
    if any(layer.name == "mixed10" for layer in source.layers):
        return {name: name for name in names} | _inception_names(names, targets)
    return {name: _mobilenet_name(name) or _resnet_name(name) or name for name in names}


def _inception_names(names: Iterable[str], targets: Iterable[str]) -> dict[str, str]:
    """Pair the layers of Inception-V3, which Keras numbers as it makes them: in the order of the paper, as ours are."""
    pairs: dict[str, str] = {}
    for theirs, ours in (("conv2d", r"_conv\d"), ("batch_normalization", r"_bn\d")):
        numbered = sorted((name for name in names if name.startswith(theirs)), key=_number)
        placed = sorted((name for name in targets if re.search(ours, name)), key=_place)
        pairs |= dict(zip(numbered, placed, strict=False))
    return pairs


def _number(name: str) -> int:
    """Return the number that Keras ended a name in; a session's first layer has none."""
    end = re.search(r"_(\d+)$", name)
    return int(end[1]) if end else 0


def _place(name: str) -> tuple[bool, list[int], str]:
    """Return what sorts our layers as the paper does; the letter of `conv2a` decides last."""
    return not name.startswith("stem_"), [int(number) for number in re.findall(r"\d+", name)], name


def _mobilenet_name(name: str) -> str | None:
    if name in ("conv1", "conv1_bn"):
        return "stem_conv1" if name == "conv1" else "stem_bn1"
    if name == "conv_preds":
        return HEAD
    block = re.fullmatch(r"conv_(dw|pw)_(\d+)(_bn)?", name)
    return f"block{block[2]}_{'bn' if block[3] else 'conv'}{1 if block[1] == 'dw' else 2}" if block else None


def _resnet_name(name: str) -> str | None:
    stem = re.fullmatch(r"conv1_(conv|bn)", name)
    if stem:
        return f"stem_{stem[1]}1"
    unit = re.fullmatch(r"conv(\d+)_block(\d+)_(\d+)_(conv|bn)", name)
    if not unit:
        return None
    stage, block, index, kind = int(unit[1]) - 1, unit[2], unit[3], unit[4]
    place = f"shortcut_{kind}" if index == "0" else f"{kind}{index}"
    return f"stage{stage}_block{block}_{place}"
