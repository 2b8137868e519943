"""DeepMind's weights for our NFNets."""

from __future__ import annotations

import re
from pathlib import Path

import keras

from keras_tricks.weights.assignment import Origin, assign, weights_of
from keras_tricks.weights.haiku_file import read_haiku_file
from keras_tricks.weights.structure import HEAD, Structure, structure_of

_PLACES = {
    "conv1": "conv0",
    "conv2": "conv1",
    "conv2b": "conv1b",
    "conv3": "conv2",
    "shortcut_conv": "conv_shortcut",
}
"""Our names of the convolutions of a block, and DeepMind's."""

_LINEAR = {"fc1": "linear", "fc2": "linear_1"}
_NETWORK = "NFNet/~"


def load_deepmind(model: keras.Model, npz: str | Path, head: bool = True) -> None:
    """Load the weights that DeepMind published with the NFNet paper into one of our NFNets.

    The files are `F0_haiku.npz` to `F6_haiku.npz` in https://storage.googleapis.com/dm-nfnets/. Despite their
    ending they are pickles, of Haiku's nested mapping `{module: {parameter: array}}` with modules such as
    `NFNet/~/nf_block_1/~/conv0` and parameters `w` (height, width, in, out), `gain`, `bias`, `b` and
    `skip_gain`. The names are those that Haiku gives DeepMind's modules; that the files are pickles of Haiku's
    mappings is known from the notebook beside them, which reads them with `dill.load`, and from ports that do.
    Files made in this way are tested, the published ones are not. Nothing in a file is run: only arrays are read
    from it. A file of `numpy.savez` with the keys `module/parameter` is read too.

    Use `variant="original"`, the default, which computes what they were trained with; `variant="timm"`
    takes them too. Images are to be normalized with `imagenet_preprocessing`.

    Args:
        model: One of `NFNetF0` to `NFNetF7`, or of the wide ones. Its weights are overwritten.
        npz: Path of the file.
        head: Whether the classifier is loaded too. With False the model may have another number of classes.
            A model without a classifier never needs one.

    Raises:
        ValueError: If the file holds anything but arrays, the model is no NFNet, or an array is missing, left
            over or of another shape. The error lists all of them, and the model is unchanged.
        FileNotFoundError: If there is no such file.

    Example:

        model = NFNetF0(classifier_activation=None)
        load_deepmind(model, "F0_haiku.npz")

    Source: https://github.com/google-deepmind/deepmind-research, `nfnets/nfnet.py`, `nfnets/base.py` and
    `nfnets/nfnet_demo_colab.ipynb`.
    """
    structure = structure_of(model)
    if structure.family != "nfnet" or not structure.large_stem:
        raise ValueError(
            "Expected an NFNet with a stem for large images (small_images=False, or a larger input_shape): DeepMind "
            f"published the weights of no other. Received: model={model.name!r}"
        )
    paths = [*weights_of(model), f"{HEAD}/kernel", f"{HEAD}/bias"]
    origins = {path: Origin(_name(path, structure)) for path in paths}
    assign(model, origins, read_haiku_file(Path(npz).expanduser()), head=head, title=f"the weights in {npz}")


def _name(path: str, structure: Structure) -> str:
    """Return DeepMind's name of one of our weights."""
    layer, _, kind = path.partition("/")
    block = re.fullmatch(r"stage(\d+)_block(\d+)_(.+)", layer)
    if layer == HEAD:
        return f"{_NETWORK}/linear/{_dense_kind(kind)}"
    if not block:
        stem = re.fullmatch(r"stem_conv(\d)", layer)
        return f"{_NETWORK}/{f'stem_conv{int(stem[1]) - 1}' if stem else layer}/{_convolution_kind(kind)}"
    # Blocks are counted through all stages, and Haiku gives the first of a name no number.
    index = sum(structure.depths[: int(block[1]) - 1]) + int(block[2]) - 1
    module = f"{_NETWORK}/nf_block{f'_{index}' if index else ''}"
    if block[3] == "skip":
        return f"{module}/skip_gain"
    if block[3] == "se":
        dense, _, kind = kind.partition("/")
        return f"{module}/~/squeeze_excite/~/{_LINEAR[dense]}/{_dense_kind(kind)}"
    return f"{module}/~/{_PLACES[block[3]]}/{_convolution_kind(kind)}"


def _convolution_kind(kind: str) -> str:
    return "w" if kind == "kernel" else kind


def _dense_kind(kind: str) -> str:
    return {"kernel": "w", "bias": "b"}[kind]
