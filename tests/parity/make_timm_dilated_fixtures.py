"""Write fixtures/timm_dilated.json: what dilated models of timm compute with seeded weights at the end of each stage.

The weights and images are those of make_timm_fixtures.py. Of the maps, in float64, the shape, the norm and the product
with a seeded direction are kept. Needs torch and timm: `python tests/parity/make_timm_dilated_fixtures.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

from make_timm_fixtures import direction, images, seeded_tensor

FILE = Path(__file__).parent / "fixtures" / "timm_dilated.json"
MODELS = (("resnet18d", 16), ("resnet50", 8), ("resnet50d", 16), ("nf_resnet50", 16), ("dm_nfnet_f0", 16))
"""The models and their output strides. At 8, timm's average pools of shortcuts are not dilated, and ours are."""
IMAGE_SIZE = 64


def _pool(self, maps):
    """Average 2x2 places, of those at the edge what is there.

    timm's own method counts zeros beyond the edge, where the pools of its networks with strides do not.
    """
    import torch
    from torch.nn.functional import avg_pool2d, pad

    def sums(x):
        return avg_pool2d(pad(x, (0, 1, 0, 1)), 2, 1)

    return sums(maps) / sums(torch.ones_like(maps))


def _computed(name: str, output_stride: int) -> dict:
    import timm
    import torch
    from timm.layers import AvgPool2dSame

    AvgPool2dSame.forward = _pool
    model = timm.create_model(name, num_classes=0, output_stride=output_stride).double().eval()
    for path, tensor in model.state_dict().items():
        tensor.copy_(torch.from_numpy(seeded_tensor(path, tuple(tensor.shape))))
    stages = model.stages if hasattr(model, "stages") else [getattr(model, f"layer{stage}") for stage in range(1, 5)]
    found = {}

    def keep(stage):
        def hook(module, inputs, output):
            maps = output.numpy().transpose(0, 2, 3, 1)
            product = (maps * direction(stage, maps.shape)).sum()
            norm = (maps**2).sum() ** 0.5
            found[stage] = [list(maps.shape), *(float(f"{value:.9g}") for value in (norm, product))]

        return hook

    for number, module in enumerate(stages, start=1):
        module.register_forward_hook(keep(f"stage{number}"))
    with torch.no_grad():
        model(torch.from_numpy(images(IMAGE_SIZE).transpose(0, 3, 1, 2)).double())
    return {"output_stride": output_stride, "made_with": timm.__version__, "stages": found}


if __name__ == "__main__":
    text = json.dumps({name: _computed(name, stride) for name, stride in MODELS})
    FILE.write_text(text.replace('"stage', '\n"stage') + "\n")
