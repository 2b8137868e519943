"""timm's weights for our NFNets, NF-ResNets and ResNets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np

from keras_tricks.weights.assignment import Origin, assign, weights_of
from keras_tricks.weights.hub import download
from keras_tricks.weights.safetensors_file import SafetensorsFile
from keras_tricks.weights.structure import HEAD, Structure, structure_of
from keras_tricks.weights_facts import weights_kind, weights_problem

RESNETS: dict[tuple[bool, tuple[int, ...]], int] = {
    (False, (2, 2, 2, 2)): 18,
    (False, (3, 4, 6, 3)): 34,
    (True, (2, 2, 2, 2)): 26,
    (True, (3, 4, 6, 3)): 50,
    (True, (3, 4, 23, 3)): 101,
    (True, (3, 8, 36, 3)): 152,
}
"""The number in a ResNet's name, by whether it has bottlenecks and by the blocks of its stages."""

_NFNET_WIDTH = 3072
_RESNET_SUFFIXES = {"B": "", "C": "c", "D": "d"}
_BATCH_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def load_timm(model: keras.Model, source: str | Path, head: bool = True) -> None:
    """Load weights that timm publishes, or that were trained with timm, into one of our models.

    | ours | timm's |
    |---|---|
    | `NFNetF0` to `NFNetF6` | `dm_nfnet_f0` to `dm_nfnet_f6` |
    | `NFResNet26`, `NFResNet50`, `NFResNet101`, of `variant="timm"` | `nf_resnet26`, `nf_resnet50`, `nf_resnet101` |
    | `ResNet18`, `ResNet34` of variant A or B, larger ones of variant B | `resnet18` to `resnet152` |
    | ResNets of variant C | `resnet50c` to `resnet152c` |
    | ResNets of variant D | `resnet18d` to `resnet152d` |

    The answers are timm's to rounding at any size, odd ones too; images are to be normalized with
    `imagenet_preprocessing` unless the checkpoint says otherwise. NFNets have two variants. `dm_nfnet`
    weights are DeepMind's: `variant="original"` computes what they were trained with (an epsilon of 1e-4 as
    a floor under variance times fan in, gelu in its tanh form), `variant="timm"` what timm makes of them (1e-5
    added to the variance, gelu in its erf form). For kernels as large as they start, the logits of the two
    variants of F0 differ by about 3 % of the largest; for smaller kernels by more.

    Networks of timm that differ without a difference in their tensors, such as `resnetaa50d` from
    `resnet50d`, cannot be told apart in a file; in the ids of timm's own repositories they are.

    Args:
        model: One of ours. Its weights are overwritten.
        source: Path of a `.safetensors` file; or the id of a repository on the Hugging Face hub, such as
            `"timm/dm_nfnet_f0.dm_in1k"`, which `huggingface_hub` downloads.
        head: Whether the classifier is loaded too. With False the model may have another number of classes.
            A model without a classifier never needs one.

    Raises:
        ValueError: If the source is none, the model is not the network that the weights are of, or a tensor is
            missing, left over or of another shape. The error lists all of them, and the model is unchanged.
        ImportError: If the id of a repository is given and `huggingface_hub` is not installed.
        ConnectionError: If it must be downloaded and the hub cannot be reached.

    Example:

        model = NFNetF0(variant="timm", classes=10)
        load_timm(model, "timm/dm_nfnet_f0.dm_in1k", head=False)

    Source: https://github.com/huggingface/pytorch-image-models, `timm/models/nfnet.py` and `resnet.py`.
    """
    kind = weights_kind(source)
    if kind not in ("safetensors", "hub"):
        raise ValueError(
            "Expected source to be the path of a .safetensors file or the id of a repository on the Hugging Face "
            f"hub, such as 'timm/dm_nfnet_f0.dm_in1k'. Received: source={str(source)!r}"
        )
    problem = weights_problem(source)
    if problem:
        raise ValueError(problem)
    published = None
    if kind == "hub":
        timm_counterpart(structure_of(model))
        if str(source).startswith("timm/"):
            published = str(source).removeprefix("timm/").partition(".")[0]
        path = download(str(source))
    else:
        path = Path(source).expanduser()
    _copy(SafetensorsFile(path), model, head, title=f"the weights in {source}", published=published)


def copy_timm_weights(tensors: Mapping[str, np.ndarray], model: keras.Model, head: bool = True) -> None:
    """Copy the tensors of a timm model into one of ours, as `load_timm` does from a file.

    Args:
        tensors: NumPy arrays by the names of the model's `state_dict`.
        model: One of ours. Its weights are overwritten.
        head: Whether the classifier is copied too.

    Raises:
        ValueError: If they do not fit; the error lists all that do not, and the model is unchanged.

    Example:

        state = timm.create_model("resnet50d").state_dict()
        copy_timm_weights({name: tensor.numpy() for name, tensor in state.items()}, ResNet50(variant="D"))
    """
    _copy(tensors, model, head, title="the tensors", published=None)


def _copy(
    tensors: Mapping[str, np.ndarray], model: keras.Model, head: bool, *, title: str, published: str | None
) -> None:
    ours = timm_counterpart(structure_of(model))
    theirs = published or architecture_of(tensors)
    origins = timm_origins(model)
    reason = "" if theirs in (ours, None) else f"They are those of timm's {theirs}, {_way_out(theirs, ours)}."
    fitting = {name: tensors[name] for name in tensors if not name.endswith("num_batches_tracked")}
    assign(model, origins, fitting, head=head, title=title, reason=reason)


def timm_origins(model: keras.Model) -> dict[str, Origin]:
    """Return which tensor of timm each weight of a model of ours is, and those of a classifier in any case.

    Args:
        model: One of ours.
    """
    structure = structure_of(model)
    return {path: _origin(path, structure) for path in (*weights_of(model), f"{HEAD}/kernel", f"{HEAD}/bias")}


def timm_counterpart(structure: Structure) -> str:
    """Return timm's name of the network that a model of ours is.

    Args:
        structure: Of the model.

    Raises:
        ValueError: If timm has no such network.
    """
    if structure.family in ("inception_v3", "mobilenet"):
        raise ValueError(
            "Expected a ResNet, NF-ResNet or NFNet: timm's Inception-V3 counts the padding in its average pools, and "
            "its MobileNet pads evenly, so that the same weights compute something else in ours. Those of "
            f"weights='imagenet' fit. Received: {structure.family}"
        )
    if not structure.large_stem:
        raise ValueError(
            "Expected a model with a stem for large images, as timm's have. Build it with small_images=False, "
            "or with a larger input_shape. Received: a model with a stem for small images"
        )
    if structure.family == "nf_resnet" and structure.skip_gains:
        raise ValueError(
            "Expected an NF-ResNet of variant='timm': timm's NF-ResNets pool in the shortcuts, have no skip gains and "
            "scale the stem, so their weights mean nothing to the published network. Received: variant='original'"
        )
    if structure.family == "nfnet":
        size = structure.depths[0] - 1
        if size > 6 or structure.final_width != _NFNET_WIDTH or structure.depths != _nfnet_depths(size):
            raise ValueError(
                "Expected one of NFNetF0 to NFNetF6: timm has no other NFNets of DeepMind. "
                f"Received: stages of {structure.depths} blocks and {structure.final_width} last channels"
            )
        return f"dm_nfnet_f{size}"
    number = RESNETS[structure.bottleneck, structure.depths]
    if structure.family == "nf_resnet":
        return f"nf_resnet{number}"
    if structure.resnet_variant == "A":
        raise ValueError(
            "Expected a ResNet of variant='B', 'C' or 'D': timm's ResNets stride the 3x3 convolution of a bottleneck, "
            "variant A strides its first 1x1, so that the same weights compute something else. "
            "Received: variant='A'"
        )
    return f"resnet{number}{_RESNET_SUFFIXES[structure.resnet_variant]}"


def _nfnet_depths(size: int) -> tuple[int, ...]:
    return tuple(depth * (size + 1) for depth in (1, 2, 6, 3))


def architecture_of(tensors: Mapping[str, np.ndarray]) -> str | None:
    """Return timm's name of the network that some tensors are of; None where it is none that we know.

    Args:
        tensors: By the names of timm.
    """
    blocks = {
        tuple(match.groups()) for match in map(re.compile(r"(stages\.|layer)(\d)\.(\d+)\.").match, tensors) if match
    }
    depths = tuple(count for _, count in sorted(Counter(stage for _, stage, _ in blocks).items()))
    if "stages.0.0.conv1.gain" in tensors:
        if "final_conv.weight" in tensors:
            known = depths and depths == _nfnet_depths(depths[0] - 1)
            prefix = "dm_" if "stages.0.0.skipinit_gain" in tensors else ""
            return f"{prefix}nfnet_f{depths[0] - 1}" if known else None
        number = RESNETS.get((True, depths))
        return f"nf_resnet{number}" if number else None
    number = RESNETS.get(("layer1.0.conv3.weight" in tensors, depths))
    deep, pooled = "conv1.0.weight" in tensors, "layer2.0.downsample.2.weight" in tensors
    suffix = {(False, False): "", (True, False): "c", (True, True): "d"}.get((deep, pooled))
    return None if number is None or suffix is None else f"resnet{number}{suffix}"


def _way_out(theirs: str, ours: str) -> str:
    """Return what to do with weights of `theirs` where the model is `ours`."""
    mine, other = (re.fullmatch(r"(resnet\d+)([cd]?)", name) for name in (ours, theirs))
    if mine and other and mine[1] == other[1]:
        return f"which needs variant={(other[2] or 'b').upper()!r}; the model has variant={(mine[2] or 'b').upper()!r}"
    return f"and the model is its {ours}"


def _origin(path: str, structure: Structure) -> Origin:
    layer, _, kind = path.partition("/")
    if structure.family == "resnet":
        return _resnet_origin(layer, kind, structure)
    return _normalizer_free_origin(layer, kind, structure)


def _resnet_origin(layer: str, kind: str, structure: Structure) -> Origin:
    block = re.fullmatch(r"stage(\d+)_block(\d+)_(.+)", layer)
    stem = re.fullmatch(r"stem_(conv|bn)(\d)", layer)
    if layer == HEAD:
        return _dense("fc", kind)
    if block:
        place = block[3]
        if place.startswith("shortcut"):
            place = f"downsample.{int(structure.pooled_shortcuts) + (place == 'shortcut_bn')}"
        name = f"layer{block[1]}.{int(block[2]) - 1}.{place}"
    elif stem and structure.deep_stem and layer != "stem_bn3":
        # In one list with the ReLUs between them; the last batch normalization stands alone.
        name = f"conv1.{3 * (int(stem[2]) - 1) + (stem[1] == 'bn')}"
    else:
        name = "bn1" if stem and stem[1] == "bn" else "conv1"
    return Origin(f"{name}.{_BATCH_NORM[kind]}") if kind in _BATCH_NORM else _convolution(name, kind)


def _normalizer_free_origin(layer: str, kind: str, structure: Structure) -> Origin:
    block = re.fullmatch(r"stage(\d+)_block(\d+)_(.+)", layer)
    if layer == HEAD:
        return _dense("head.fc", kind)
    if not block:
        stem = layer.replace("stem_", "stem.") if structure.deep_stem else "stem.conv"
        return _convolution(layer if layer == "final_conv" else stem, kind)
    name, place = f"stages.{int(block[1]) - 1}.{int(block[2]) - 1}", block[3]
    if place == "skip":
        return Origin(f"{name}.skipinit_gain")
    if place == "se":
        dense, _, kind = kind.partition("/")
        return Origin(
            f"{name}.attn_last.{dense}.{_torch_kind(kind)}", _pointwise_to_dense if kind == "kernel" else np.asarray
        )
    return _convolution(f"{name}.{place.replace('shortcut_conv', 'downsample.conv')}", kind)


def _torch_kind(kind: str) -> str:
    return "weight" if kind == "kernel" else kind


def _convolution(name: str, kind: str) -> Origin:
    convert: dict[str, Callable[[np.ndarray], np.ndarray]] = {"kernel": _to_channels_last, "gain": _to_vector}
    return Origin(f"{name}.{_torch_kind(kind)}", convert.get(kind, np.asarray))


def _dense(name: str, kind: str) -> Origin:
    return Origin(f"{name}.{_torch_kind(kind)}", np.transpose if kind == "kernel" else np.asarray)


def _to_channels_last(kernel: np.ndarray) -> np.ndarray:
    return np.transpose(kernel, (2, 3, 1, 0))


def _to_vector(gain: np.ndarray) -> np.ndarray:
    return np.squeeze(gain, (1, 2, 3))


def _pointwise_to_dense(kernel: np.ndarray) -> np.ndarray:
    return np.transpose(np.squeeze(kernel, (2, 3)))
