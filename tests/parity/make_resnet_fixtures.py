"""Write fixtures/resnet.json: what torchvision and timm compute with seeded weights.

The tests give our models the same weights, drawn by name with `seeded_weight`, and compare. Needs
torch, torchvision and timm: `python tests/parity/make_resnet_fixtures.py`.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np

FIXTURE = Path(__file__).parent / "fixtures" / "resnet.json"
CLASSES = 10
IMAGE_SIZES = (64, 65)


def seeded_weight(layer: str, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Draw a weight in Keras's layout from our layer name and the weight's name."""
    draw = np.random.RandomState(zlib.crc32(f"{layer}/{kind}".encode())).standard_normal(shape)
    if kind == "kernel":
        return draw * np.sqrt(2 / np.prod(shape[:-1]))
    if kind == "gamma":
        return 1 + 0.1 * draw
    if kind == "moving_variance":
        return np.exp(0.2 * draw)
    return 0.1 * draw


def images(size: int) -> np.ndarray:
    """Return four images, channels last."""
    return np.random.RandomState(size).standard_normal((4, size, size, 3))


def labels() -> np.ndarray:
    """Return the one-hot labels of the images."""
    return np.eye(CLASSES)[[3, 1, 4, 7]]


def _torch_weights(model):
    """Yield our layer name, our weight name and the tensor, in the original's order."""
    from torch import nn

    stem = {"conv": 0, "bn": 0}
    for path, module in model.named_modules():
        parts = path.split(".")
        if isinstance(module, nn.Linear):
            layer, kinds = "predictions", {"kernel": "weight", "bias": "bias"}
        elif isinstance(module, nn.Conv2d):
            layer, kinds = "conv", {"kernel": "weight"}
        elif isinstance(module, nn.BatchNorm2d):
            layer = "bn"
            kinds = {
                "gamma": "weight",
                "beta": "bias",
                "moving_mean": "running_mean",
                "moving_variance": "running_var",
            }
        else:
            continue
        if layer in stem:
            if parts[0].startswith("layer"):
                place = f"shortcut_{layer}" if parts[2] == "downsample" else parts[2]
                layer = f"stage{parts[0][5:]}_block{int(parts[1]) + 1}_{place}"
            else:
                stem[layer] += 1
                layer = f"stem_{layer}{stem[layer]}"
        for kind, attribute in kinds.items():
            yield layer, kind, getattr(module, attribute)


def _keras_layout(kind: str, array: np.ndarray) -> np.ndarray:
    if kind != "kernel":
        return array
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def _torch_layout(kind: str, array: np.ndarray) -> np.ndarray:
    if kind != "kernel":
        return array
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T


def _computed(model) -> dict:
    """Return the logits in inference and the norms of the gradients in one training step."""
    import torch

    model = model.double()
    with torch.no_grad():
        for layer, kind, tensor in _torch_weights(model):
            shape = _keras_layout(kind, tensor.numpy()).shape
            value = _torch_layout(kind, seeded_weight(layer, kind, shape))
            tensor.copy_(torch.from_numpy(value.copy()))
    batches = {size: torch.from_numpy(images(size).transpose(0, 3, 1, 2)) for size in IMAGE_SIZES}
    model.eval()
    with torch.no_grad():
        logits = {str(size): model(batch).numpy().tolist() for size, batch in batches.items()}
    model.train()
    loss = torch.nn.functional.cross_entropy(model(batches[IMAGE_SIZES[-1]]), torch.from_numpy(labels()))
    loss.backward()
    return {
        "logits": logits,
        "loss": loss.item(),
        "gradient_norms": {
            f"{layer}/{kind}": tensor.grad.norm().item()
            for layer, kind, tensor in _torch_weights(model)
            if tensor.requires_grad
        },
        "moving_mean_norms": {
            layer: tensor.norm().item() for layer, kind, tensor in _torch_weights(model) if kind == "moving_mean"
        },
    }


def main() -> None:
    """Run the originals and write the fixture."""
    import timm
    import torch
    import torchvision

    fixture = {
        "made_with": {
            "torch": torch.__version__.split("+")[0],
            "torchvision": torchvision.__version__.split("+")[0],
            "timm": timm.__version__,
        },
        "ResNet18 B": _computed(torchvision.models.resnet18(num_classes=CLASSES)),
        "ResNet18 D": _computed(timm.create_model("resnet18d", num_classes=CLASSES)),
        "ResNet50 D": _computed(timm.create_model("resnet50d", num_classes=CLASSES)),
    }
    FIXTURE.parent.mkdir(exist_ok=True)
    FIXTURE.write_text(json.dumps(fixture, indent=1) + "\n")


if __name__ == "__main__":
    main()
