"""Compare dilated networks with timm's; parity/make_timm_dilated_fixtures.py makes the fixture."""

import json
import re

import keras
import numpy as np
import pytest
from keras import ops
from test_timm_parity import BUILDERS, PARITY, parity, tensors

from keras_tricks import models
from keras_tricks.weights import copy_timm_weights

FIXTURE = json.loads((PARITY / "fixtures" / "timm_dilated.json").read_text())


def marks(name):
    return {"resnet18d": [pytest.mark.backend], "resnet50d": [pytest.mark.slow], "dm_nfnet_f0": [pytest.mark.slow]}.get(
        name, []
    )


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in FIXTURE])
def test_stages_of_dilated_networks_are_timms(name):
    builder, variant = BUILDERS[name]
    model = getattr(models, builder)(
        include_top=False, input_shape=(None, None, 3), variant=variant, output_stride=FIXTURE[name]["output_stride"]
    )
    copy_timm_weights(tensors(name), model)
    end = "_output" if "nf" not in name else "_add"
    ends = {}
    for layer in model.layers:
        found = re.fullmatch(rf"(stage\d)_block\d+{end}", layer.name)
        if found:
            ends[found[1]] = layer.output
    outputs = keras.Model(model.input, ends)(parity.images(64), training=False)
    assert outputs.keys() == FIXTURE[name]["stages"].keys()
    for stage, (shape, norm, product) in FIXTURE[name]["stages"].items():
        maps = ops.convert_to_numpy(outputs[stage]).astype("float64")
        assert list(maps.shape) == shape
        assert np.linalg.norm(maps) == pytest.approx(norm, rel=1e-5)
        assert abs((maps * parity.direction(stage, maps.shape)).sum() - product) < 1e-5 * norm
