"""Write fixtures/timm/*.json: what timm computes with seeded weights, in float64.

The tests give our models the same weights, drawn by name and shape with `seeded_tensor`, and compare. Needs torch and
timm: `python tests/parity/make_timm_fixtures.py [MODEL ...]`, some minutes for all models.

Of each gradient the norm and the product with a seeded direction are kept, which any error of it would change.
"""

from __future__ import annotations

import json
import sys
import zlib
from functools import cache
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "fixtures" / "timm"
CLASSES = 10
IMAGES = 2
IMAGE_SIZES = {
    "resnet18": (64, 49),
    "resnet18d": (64, 49),
    "resnet50": (64, 49),
    "resnet50d": (64, 49),
    "nf_resnet50": (64, 33),
    "dm_nfnet_f0": (64, 33),
    "dm_nfnet_f2": (64, 33),
}
"""The models, and the sides of the images that logits are kept for; gradients are those of the last."""


@cache
def _pool() -> np.ndarray:
    """Return standard normal numbers; their count is prime, so that tensors do not repeat them in rows."""
    return np.random.RandomState(2102).standard_normal(1_000_003).astype("float32")


def _draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return numbers of the pool, from a place that the name gives."""
    start = zlib.crc32(name.encode()) % len(_pool())
    return np.resize(np.roll(_pool(), -start), shape)


def seeded_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return a value for a tensor of a `state_dict`, in float32."""
    draw, kind = _draw(name, shape), name.rpartition(".")[2]
    if kind == "num_batches_tracked":
        return np.array(7)
    if kind == "weight" and draw.ndim > 1:
        draw = draw * np.float32(np.prod(shape[1:]) ** -0.5)
        # Some kernels of networks without normalization are small enough for the epsilons to matter.
        small = ("stages." in name or name.startswith("final")) and zlib.crc32(name.encode()) % 3 == 0
        return draw * np.float32(0.2) if small else draw * np.float32(2**0.5)
    if kind == "running_var":
        return np.asarray(np.exp(np.float32(0.2) * draw))
    return np.asarray((kind in ("weight", "gain", "skipinit_gain")) + np.float32(0.1) * draw, "float32")


def direction(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return what the gradient of a tensor is multiplied with."""
    return _draw(f"direction of {name}", shape)


def images(size: int) -> np.ndarray:
    """Return a batch, channels last."""
    return np.random.RandomState(size).standard_normal((IMAGES, size, size, 3)).astype("float32")


def labels() -> np.ndarray:
    """Return the one-hot labels of a batch."""
    return np.eye(CLASSES, dtype="float32")[[3, 7]]


def _computed(name: str) -> dict:
    """Return names and shapes of the tensors, logits in inference, and what one step of training gives."""
    import timm
    import torch

    model = timm.create_model(name, num_classes=CLASSES).double()
    state = model.state_dict()
    for path, tensor in state.items():
        tensor.copy_(torch.from_numpy(seeded_tensor(path, tuple(tensor.shape))))
    batches = {size: torch.from_numpy(images(size).transpose(0, 3, 1, 2)).double() for size in IMAGE_SIZES[name]}
    model.eval()
    with torch.no_grad():
        logits = {str(size): model(batch).numpy().round(9).tolist() for size, batch in batches.items()}
    model.train()
    loss = torch.nn.functional.cross_entropy(model(batches[IMAGE_SIZES[name][-1]]), torch.from_numpy(labels()).double())
    loss.backward()
    gradients = {}
    for path, parameter in model.named_parameters():
        product = parameter.grad.numpy() * direction(path, tuple(parameter.shape))
        gradients[path] = [float(f"{value:.9g}") for value in (parameter.grad.norm().item(), product.sum())]
    return {
        "made_with": {"torch": torch.__version__.split("+")[0], "timm": timm.__version__},
        "tensors": {path: list(tensor.shape) for path, tensor in state.items()},
        "logits": logits,
        "loss": round(loss.item(), 9),
        "gradients": gradients,
        "means": {
            path: float(f"{tensor.norm().item():.9g}")
            for path, tensor in model.state_dict().items()
            if path.endswith("running_mean")
        },
    }


def main(names: list[str]) -> None:
    """Run the models of timm and write a fixture for each."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or IMAGE_SIZES:
        computed = _computed(name)
        # One line for each tensor.
        text = json.dumps(computed, separators=(",", ":")).replace('],"', '],\n"').replace('},"', '},\n"')
        (FOLDER / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
