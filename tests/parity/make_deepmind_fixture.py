"""Write fixtures/deepmind_f0.json: what DeepMind's own code of NFNet-F0 computes with seeded weights.

Needs jax and dm-haiku, and a checkout of https://github.com/google-deepmind/deepmind-research, whose folder `nfnets` is
imported: `python tests/parity/make_deepmind_fixture.py CHECKOUT`.
"""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path

import numpy as np

FIXTURE = Path(__file__).parent / "fixtures" / "deepmind_f0.json"
CLASSES = 10
IMAGE_SIZES = (64, 33)


def seeded_parameter(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return a value for a parameter of Haiku, in float32, by `module/parameter`."""
    random = np.random.RandomState(zlib.crc32(name.encode()))
    # A few numbers, repeated, are faster than as many as a large kernel has.
    draw = np.resize(random.standard_normal(10_007).astype("float32"), shape)
    kind = name.rpartition("/")[2]
    if kind == "w":
        scale = np.prod(shape[:-1]) ** -0.5
        # Some kernels are so small that their variance times fan in is under the floor of 1e-4.
        small = "linear" not in name and zlib.crc32(name.encode()) % 4 == 0
        return draw * np.float32(0.009 * scale if small else scale)
    return np.asarray((kind in ("gain", "skip_gain")) + np.float32(0.1) * draw, "float32")


def images(size: int) -> np.ndarray:
    """Return two images, channels last."""
    return np.random.RandomState(size).standard_normal((2, size, size, 3)).astype("float32")


def main(checkout: str) -> None:
    """Run DeepMind's network and write the fixture."""
    sys.path.insert(0, checkout)
    import haiku
    import jax
    from nfnets.nfnet import NFNet

    jax.config.update("jax_enable_x64", True)

    def forward(batch):
        return NFNet(CLASSES, variant="F0")(batch, is_training=False)["logits"]

    network = haiku.without_apply_rng(haiku.transform(forward))
    shapes = jax.eval_shape(network.init, jax.random.PRNGKey(0), images(64).astype("float64"))
    parameters = {
        module: {
            kind: seeded_parameter(f"{module}/{kind}", value.shape).astype("float64") for kind, value in found.items()
        }
        for module, found in shapes.items()
    }
    run = jax.jit(network.apply)
    fixture = {
        "made_with": {"jax": jax.__version__, "dm-haiku": haiku.__version__},
        "parameters": {
            f"{module}/{kind}": list(value.shape) for module, found in shapes.items() for kind, value in found.items()
        },
        "logits": {
            str(size): np.asarray(run(parameters, images(size).astype("float64"))).round(9).tolist()
            for size in IMAGE_SIZES
        },
    }
    text = json.dumps(fixture, separators=(",", ":")).replace('],"', '],\n"').replace('},"', '},\n"')
    FIXTURE.write_text(text + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
