import numpy as np
import pytest
from keras import layers as keras_layers
from keras import ops

from keras_tricks.layers import ScaledStandardizedConv2D, SkipInit, SqueezeExcite
from keras_tricks.model_facts import MODELS
from keras_tricks.models import NFResNet26, NFResNet50

GAMMA = 1.7139588594436646


@pytest.fixture(scope="module")
def nf_resnet50():
    return NFResNet50()


@pytest.fixture(scope="module")
def timm_nf_resnet26():
    return NFResNet26(input_shape=(None, None, 3), variant="timm")


def test_it_is_that_of_the_paper(nf_resnet50):
    found = {
        layer.name: (layer.kernel_size[0], layer.strides[0], layer.filters, layer.groups)
        for layer in nf_resnet50.layers
        if isinstance(layer, ScaledStandardizedConv2D)
    }
    expected = {"stem_conv1": (7, 2, 64, 1)}
    for stage, (width, depth) in enumerate(zip((256, 512, 1024, 2048), (3, 4, 6, 3), strict=True), start=1):
        for block in range(1, depth + 1):
            name, stride = f"stage{stage}_block{block}", 2 if block == 1 and stage > 1 else 1
            if block == 1:
                expected[f"{name}_shortcut_conv"] = (1, stride, width, 1)
            expected[f"{name}_conv1"] = (1, 1, width // 4, 1)
            expected[f"{name}_conv2"] = (3, stride, width // 4, 1)
            expected[f"{name}_conv3"] = (1, 1, width, 1)
    assert found == expected
    kinds = {type(layer) for layer in nf_resnet50.layers}
    assert not kinds & {SqueezeExcite, keras_layers.AveragePooling2D, keras_layers.BatchNormalization}
    assert nf_resnet50.get_layer("final_act").input is nf_resnet50.get_layer("stage4_block3_add").output
    assert nf_resnet50.get_layer("stage1_block1_act2").activation == "relu"
    assert nf_resnet50.get_layer("stem_conv1").scale == 1
    pool = nf_resnet50.get_layer("stem_pool")
    assert (pool.pool_size, pool.strides, pool.padding) == ((3, 3), (2, 2), "same")


def test_parameters_are_those_of_the_resnet_and_one_gain_for_each_block(nf_resnet50):
    count = sum(int(np.prod(weight.shape)) for weight in nf_resnet50.trainable_weights)
    assert count == MODELS["resnet50"].parameters["A"] + 16
    assert MODELS["nf_resnet101"].parameters["original"] == MODELS["resnet101"].parameters["A"] + 33
    facts = MODELS["nf_resnet50"]
    assert facts.parameters["timm"] == MODELS["resnet50"].parameters["A"]
    assert facts.stochastic_depth_rate == 0.1


def test_timm_variant_is_what_timm_calls_nf_resnet(timm_nf_resnet26):
    model = timm_nf_resnet26
    for layer in model.layers:
        assert not isinstance(layer, SkipInit)
        if isinstance(layer, ScaledStandardizedConv2D):
            assert (layer.epsilon, layer.epsilon_mode, layer.symmetric) == (1e-5, "add", True)
            assert ops.convert_to_numpy(layer.gain).any() != layer.name.endswith("conv3")
    pools = [layer.name for layer in model.layers if isinstance(layer, keras_layers.AveragePooling2D)]
    assert pools == [f"stage{stage}_block1_shortcut_pool" for stage in (2, 3, 4)]
    assert model.get_layer("stage1_block1_skip").scale == 0.2
    assert model.get_layer("stem_conv1").scale == GAMMA
    assert model.get_layer("final_act").gamma == 1


@pytest.mark.parametrize("size", [8, 9])
def test_timms_stem_pool_is_padded_evenly_and_with_minus_infinity(size, timm_nf_resnet26):
    maps = -1 - np.random.default_rng(0).random((2, size, size, 64)).astype("float32")
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    places = range(0, size, 2)
    expected = [[padded[:, i : i + 3, j : j + 3].max((1, 2)) for j in places] for i in places]
    windows = timm_nf_resnet26.get_layer("stem_pool_windows")(maps)
    pooled = ops.convert_to_numpy(timm_nf_resnet26.get_layer("stem_pool")(windows))
    np.testing.assert_array_equal(pooled, np.array(expected).transpose(2, 0, 1, 3))
