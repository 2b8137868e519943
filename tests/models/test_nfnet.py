import math

import numpy as np
import pytest
from keras import layers as keras_layers

from keras_tricks import models
from keras_tricks.layers import ScaledStandardizedConv2D, SkipInit, SqueezeExcite
from keras_tricks.model_facts import MODELS
from keras_tricks.models import NFNetF0

GAMMA = 1.7015043497085571

PUBLISHED = {
    # Parameters in millions, resolution in training and tests, dropout, magnitude of RandAugment.
    0: (71.49, 192, 256, 0.2, 5),
    1: (132.6, 224, 320, 0.3, 10),
    2: (193.8, 256, 352, 0.4, 10),
    3: (254.9, 320, 416, 0.4, 15),
    4: (316.1, 384, 512, 0.5, 15),
    5: (377.2, 416, 544, 0.5, 15),
    6: (438.4, 448, 576, 0.5, 15),
    7: (None, 480, 608, 0.5, 15),
}


@pytest.fixture(scope="module")
def f0():
    return NFNetF0()


def convolutions(model):
    """Return kernel size, strides, filters and groups of each convolution."""
    return {
        layer.name: (layer.kernel_size[0], layer.strides[0], layer.filters, layer.groups)
        for layer in model.layers
        if isinstance(layer, ScaledStandardizedConv2D)
    }


def structure(widths, depths):
    """Return what the paper says about the convolutions."""
    expected = {
        "stem_conv1": (3, 2, 16, 1),
        "stem_conv2": (3, 1, 32, 1),
        "stem_conv3": (3, 1, 64, 1),
        "stem_conv4": (3, 2, widths[0] // 2, 1),
        "final_conv": (1, 1, 2 * widths[-1], 1),
    }
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        inner = width // 2 // 128 * 128
        for block in range(1, depth + 1):
            name = f"stage{stage}_block{block}"
            if block == 1:
                expected[f"{name}_shortcut_conv"] = (1, 1, width, 1)
            expected[f"{name}_conv1"] = (1, 1, inner, 1)
            expected[f"{name}_conv2"] = (3, 2 if block == 1 and stage > 1 else 1, inner, inner // 128)
            expected[f"{name}_conv2b"] = (3, 1, inner, inner // 128)
            expected[f"{name}_conv3"] = (1, 1, width, 1)
    return expected


def test_f0_has_the_published_parameters(f0):
    assert sum(int(np.prod(weight.shape)) for weight in f0.trainable_weights) == 71_489_284
    assert not f0.non_trainable_weights


def test_f0_is_that_of_the_paper(f0):
    assert convolutions(f0) == structure((256, 512, 1536, 1536), (1, 2, 6, 3))
    assert f0.input_shape == (None, 192, 192, 3)
    assert f0.get_layer("final_act").output.shape == (None, 6, 6, 3072)
    gates = [layer for layer in f0.layers if isinstance(layer, SqueezeExcite)]
    assert {(gate.ratio, gate.scale) for gate in gates} == {(0.5, 2.0)}
    assert [gate.fc1.units for gate in gates] == [128, *[256] * 2, *[768] * 9]
    skips = [layer for layer in f0.layers if isinstance(layer, SkipInit)]
    assert len(gates) == len(skips) == 12
    assert {skip.scale for skip in skips} == {0.2}
    pools = [layer.name for layer in f0.layers if isinstance(layer, keras_layers.AveragePooling2D)]
    assert pools == [f"stage{stage}_block1_shortcut_pool" for stage in (2, 3, 4)]
    for layer in f0.layers:
        if isinstance(layer, ScaledStandardizedConv2D):
            assert (layer.epsilon, layer.epsilon_mode, layer.padding, layer.symmetric) == (1e-4, "floor", "same", False)


def test_shortcuts_are_of_the_activated_input_or_the_raw_one(f0):
    pool = f0.get_layer("stage2_block1_shortcut_pool")
    assert pool.input is f0.get_layer("stage2_block1_act1").output
    assert f0.get_layer("stage2_block1_shortcut_conv").input is pool.output
    assert f0.get_layer("stage1_block1_shortcut_conv").input is f0.get_layer("stage1_block1_act1").output
    assert f0.get_layer("stage2_block2_add").input[0] is f0.get_layer("stage2_block1_add").output
    assert f0.get_layer("stage1_block1_act1").input is f0.get_layer("stem_conv4").output


def test_kernels_carry_gamma_and_beta(f0):
    variance = 1.0
    for stage, depth in enumerate((1, 2, 6, 3), start=1):
        for block in range(1, depth + 1):
            name = f"stage{stage}_block{block}"
            scale = GAMMA / math.sqrt(variance)
            assert f0.get_layer(f"{name}_conv1").scale == pytest.approx(scale, rel=1e-12)
            if block == 1:
                assert f0.get_layer(f"{name}_shortcut_conv").scale == pytest.approx(scale, rel=1e-12)
                variance = 1.0
            variance += 0.2**2
            assert {f0.get_layer(f"{name}_conv{place}").scale for place in ("2", "2b", "3")} == {GAMMA}
    assert [f0.get_layer(f"stem_conv{index}").scale for index in (1, 2, 3, 4)] == [1, GAMMA, GAMMA, GAMMA]
    assert f0.get_layer("final_conv").scale == 1
    assert f0.get_layer("final_act").gamma == GAMMA


@pytest.mark.parametrize("size", PUBLISHED)
def test_facts_are_the_published_ones(size):
    parameters, train, test, dropout, magnitude = PUBLISHED[size]
    for facts in (MODELS[f"nfnet_f{size}"], MODELS[f"nfnet_f{size}_plus"]):
        assert (facts.default_image_size, facts.test_image_size) == (train, test)
        assert (facts.dropout_rate, facts.stochastic_depth_rate) == (dropout, 0.25)
        assert facts.rand_augment_magnitude == magnitude
    if parameters is not None:
        digits = 2 if size == 0 else 1
        assert round(MODELS[f"nfnet_f{size}"].parameters["original"] / 1e6, digits) == parameters


@pytest.mark.parametrize("wide", ["", "_plus"])
def test_each_size_adds_the_blocks_of_f0_once_more(wide):
    counts = [MODELS[f"nfnet_f{size}{wide}"].parameters["original"] for size in range(8)]
    assert len(set(np.diff(counts))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("size", range(8))
def test_wide_variants_are_those_of_the_paper(size):
    model = getattr(models, f"NFNetF{size}Plus")()
    depths = tuple(depth * (size + 1) for depth in (1, 2, 6, 3))
    assert convolutions(model) == structure((384, 768, 2048, 2048), depths)


def test_timm_variant_differs_in_epsilon_and_gelu_only():
    model = NFNetF0(input_shape=(None, None, 3), variant="timm")
    for layer in model.layers:
        if isinstance(layer, ScaledStandardizedConv2D):
            assert (layer.epsilon, layer.epsilon_mode, layer.padding, layer.symmetric) == (1e-5, "add", "same", False)
    assert model.get_layer("stage1_block1_act1").activation == "gelu_erf"
    assert model.get_layer("final_act").gamma == GAMMA
    assert convolutions(model) == structure((256, 512, 1536, 1536), (1, 2, 6, 3))
    assert sum(int(np.prod(weight.shape)) for weight in model.weights) == 71_489_284
