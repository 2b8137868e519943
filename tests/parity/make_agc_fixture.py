"""Write fixtures/agc.npz: gradients clipped by timm.

    python tests/parity/make_agc_fixture.py

Every tensor is kept in Keras's layout; timm sees it with the outputs on the first axis. `zeros` starts at zero, so that
only the floor of 1e-3 lets it move.
"""

from pathlib import Path

import numpy as np
import timm
import torch
from timm.utils import adaptive_clip_grad

SHAPES = {
    "conv/kernel": (3, 3, 4, 6),
    "pointwise/kernel": (1, 1, 6, 5),
    "depthwise/kernel": (3, 3, 5, 1),
    "zeros/kernel": (3, 3, 2, 4),
    "fc/kernel": (5, 7),
    "fc/bias": (7,),
    "skip/gain": (),
}
TO_TORCH = {
    "conv/kernel": (3, 2, 0, 1),
    "pointwise/kernel": (3, 2, 0, 1),
    "depthwise/kernel": (2, 3, 0, 1),
    "zeros/kernel": (3, 2, 0, 1),
    "fc/kernel": (1, 0),
}
CLIPPINGS = (0.01, 0.08)


def clip(weight, gradient, axes, clipping):
    """Return the gradient clipped by timm, in Keras's layout."""
    axes = range(weight.ndim) if axes is None else axes
    parameter = torch.nn.Parameter(torch.tensor(weight.transpose(axes).copy()))
    parameter.grad = torch.tensor(gradient.transpose(axes).copy())
    adaptive_clip_grad(parameter, clip_factor=clipping)
    return parameter.grad.numpy().transpose(np.argsort(axes))


def main():
    """Write the fixture."""
    generator = np.random.default_rng(2102)
    arrays = {}
    for name, shape in SHAPES.items():
        weight = generator.normal(0, 0.3, shape) * (not name.startswith("zeros"))
        # Some units lie under the bound and some above it.
        gradient = generator.normal(0, 0.3, shape) * 10 ** generator.uniform(-4, 0, shape[-1:])
        if name == "depthwise/kernel":
            gradient = gradient * 10 ** generator.uniform(-4, 0, (5, 1))
        arrays[f"weight:{name}"] = np.asarray(weight, "float32")
        arrays[f"gradient:{name}"] = np.asarray(gradient, "float32")
        for clipping in CLIPPINGS:
            arrays[f"clipped:{clipping}:{name}"] = clip(
                arrays[f"weight:{name}"], arrays[f"gradient:{name}"], TO_TORCH.get(name), clipping
            )
    np.savez_compressed(
        Path(__file__).parent / "fixtures" / "agc.npz",
        clippings=CLIPPINGS,
        timm_version=timm.__version__,
        torch_version=torch.__version__,
        **arrays,
    )


if __name__ == "__main__":
    main()
