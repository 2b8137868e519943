"""Write fixtures/timm_dilated.json: what dilated models of timm compute with seeded weights at the end of each stage.

The weights and images are those of make_timm_fixtures.py. Of the maps, in float64, the shape, the norm and the product
with a seeded direction are kept. Needs torch and timm: `python tests/parity/make_timm_dilated_fixtures.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

from make_timm_fixtures import direction, images, seeded_tensor

FILE = Path(__file__).parent / "fixtures" / "timm_dilated.json"
MODELS = (
    ("resnet18d", 16, 2),
    ("resnet50", 8, 1),
    ("resnet50d", 16, 2),
    ("nf_resnet50", 16, 2),
    ("dm_nfnet_f0", 16, 2),
)
"""The models, their output strides, and the step at which their maps are looked at.

Where shortcuts have average pools, timm's count zeros beyond the last row and column, which no strided pool does and
ours do not: only the places of the strided network are the same. At an output stride of 8 its pools are not dilated.
"""
IMAGE_SIZE = 64


def _computed(name: str, output_stride: int, step: int) -> dict:
    import timm
    import torch

    model = timm.create_model(name, num_classes=0, output_stride=output_stride).double().eval()
    for path, tensor in model.state_dict().items():
        tensor.copy_(torch.from_numpy(seeded_tensor(path, tuple(tensor.shape))))
    stages = model.stages if hasattr(model, "stages") else [getattr(model, f"layer{stage}") for stage in range(1, 5)]
    found = {}

    def keep(stage):
        def hook(module, inputs, output):
            maps = output.numpy().transpose(0, 2, 3, 1)[:, ::step, ::step]
            product = (maps * direction(stage, maps.shape)).sum()
            norm = (maps**2).sum() ** 0.5
            found[stage] = [list(maps.shape), *(float(f"{value:.9g}") for value in (norm, product))]

        return hook

    for number, module in enumerate(stages, start=1):
        module.register_forward_hook(keep(f"stage{number}"))
    with torch.no_grad():
        model(torch.from_numpy(images(IMAGE_SIZE).transpose(0, 3, 1, 2)).double())
    return {"output_stride": output_stride, "step": step, "made_with": timm.__version__, "stages": found}


if __name__ == "__main__":
    text = json.dumps({name: _computed(name, *how) for name, *how in MODELS})
    FILE.write_text(text.replace('"stage', '\n"stage') + "\n")
