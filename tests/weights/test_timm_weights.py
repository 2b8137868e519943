import json
import sys
from pathlib import Path

import keras
import ml_dtypes
import numpy as np
import pytest
from keras import ops
from safetensors.numpy import save_file

from keras_tricks.models import NFNetTiny, NFResNet26, ResNet18, ResNet20, ResNet50
from keras_tricks.weights import copy_timm_weights, load_timm
from keras_tricks.weights.structure import Structure
from keras_tricks.weights.timm import architecture_of, timm_counterpart, timm_origins

FIXTURES = Path(__file__).parents[1] / "parity" / "fixtures" / "timm"
ANY_SIZE = (None, None, 3)


def shapes(name):
    return json.loads((FIXTURES / f"{name}.json").read_text())["tensors"]


def zeros(name):
    """Return tensors of timm's names and shapes that take no memory."""
    return {path: np.broadcast_to(np.float32(0), shape) for path, shape in shapes(name).items()}


def random_tensors(name, dtype="float32"):
    draw = np.random.default_rng(0)
    return {path: draw.random(shape, "float32").astype(dtype) for path, shape in shapes(name).items()}


def with_stem_of_d_and_shortcuts_of_b():
    """Return the tensors of variant C, which timm has of its larger ResNets."""
    moved = {"downsample.1.": "downsample.0.", "downsample.2.": "downsample.1."}
    tensors = {}
    for path, tensor in zeros("resnet18d").items():
        place = next((place for place in moved if place in path), None)
        tensors[path.replace(place, moved[place]) if place else path] = tensor
    return tensors


@pytest.fixture(scope="module")
def resnet18():
    return ResNet18(input_shape=ANY_SIZE, classes=10)


@pytest.fixture(scope="module")
def variants(resnet18):
    """ResNet-18 of each variant; A is B, without bottlenecks."""
    deep = {variant: ResNet18(input_shape=ANY_SIZE, classes=10, variant=variant) for variant in "CD"}
    return {"A": resnet18, **deep}


@pytest.fixture(scope="module")
def headless():
    return ResNet18(input_shape=ANY_SIZE, include_top=False)


def assert_loaded(model, tensors):
    origins = timm_origins(model)
    for weight in model.weights:
        if not weight.path.startswith("predictions"):
            origin = origins[weight.path]
            expected = origin.convert(np.asarray(tensors[origin.name], "float32"))
            np.testing.assert_array_equal(ops.convert_to_numpy(weight), expected)


def error_of(call, *arguments, **options):
    with pytest.raises(ValueError, match="Received: ") as error:
        call(*arguments, **options)
    return str(error.value)


@pytest.mark.backend
@pytest.mark.parametrize("dtype", [pytest.param("float16", marks=pytest.mark.backend_slow), ml_dtypes.bfloat16])
def test_half_precision_checkpoints_become_float32(dtype, resnet18):
    tensors = random_tensors("resnet18", dtype)
    copy_timm_weights(tensors, resnet18)
    assert {weight.dtype for weight in resnet18.weights} == {"float32"}
    assert_loaded(resnet18, tensors)


def test_bfloat16_models_take_float32_checkpoints():
    keras.config.set_dtype_policy("bfloat16")
    model = ResNet18(input_shape=ANY_SIZE, classes=10)
    tensors = random_tensors("resnet18")
    copy_timm_weights(tensors, model)
    kernel = model.get_layer("stage4_block2_conv2").kernel
    assert kernel.dtype == "bfloat16"
    expected = tensors["layer4.1.conv2.weight"].transpose(2, 3, 1, 0).astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(ops.convert_to_numpy(ops.cast(kernel, "float32")), expected.astype("float32"))


def test_all_but_the_classifier_for_another_number_of_classes(tmp_path):
    model = ResNet18(input_shape=ANY_SIZE, classes=3)
    head = model.get_layer("predictions").get_weights()
    tensors = random_tensors("resnet18")
    save_file(tensors, tmp_path / "model.safetensors")
    message = error_of(load_timm, model, tmp_path / "model.safetensors")
    assert "head=False loads all but the classifier. Received: shape of fc.weight for predictions/kernel: " in message
    assert "(512, 10) instead of (512, 3); shape of fc.bias for predictions/bias: (10,) instead of (3,)" in message
    load_timm(model, str(tmp_path / "model.safetensors"), head=False)
    assert_loaded(model, tensors)
    for old, new in zip(head, model.get_layer("predictions").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("head_in_file", [True, False])
def test_models_without_a_classifier_take_any_checkpoint(head_in_file, headless):
    tensors = random_tensors("resnet18")
    if not head_in_file:
        del tensors["fc.weight"], tensors["fc.bias"]
    copy_timm_weights(tensors, headless)
    assert_loaded(headless, tensors)


def test_one_error_lists_everything_and_nothing_is_changed(resnet18):
    tensors = random_tensors("resnet18")
    before = resnet18.get_weights()
    del tensors["layer1.0.conv1.weight"], tensors["fc.bias"]
    tensors["layer1.0.se.fc1.weight"] = np.zeros(3)
    tensors["conv1.weight"] = np.zeros((64, 1, 7, 7))
    tensors["bn1.running_var"] = np.zeros(32)
    tensors["layer2.0.downsample.0.weight"] = np.zeros((128, 64))
    message = error_of(copy_timm_weights, tensors, resnet18)
    assert message.startswith("Expected the tensors to fit the model resnet18. Received: ")
    assert sorted(message.partition("Received: ")[2].split("; ")) == [
        "left over: layer1.0.se.fc1.weight",
        "missing: fc.bias for predictions/bias",
        "missing: layer1.0.conv1.weight for stage1_block1_conv1/kernel",
        "shape of bn1.running_var for stem_bn1/moving_variance: (32,) instead of (64,)",
        "shape of conv1.weight for stem_conv1/kernel: (7, 7, 1, 64) instead of (7, 7, 3, 64)",
        "shape of layer2.0.downsample.0.weight for stage2_block1_shortcut_conv/kernel: "
        "(128, 64) instead of (1, 1, 64, 128)",
    ]
    for old, new in zip(before, resnet18.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("theirs", "ours", "message"),
    [
        ("resnet18d", "A", "They are those of timm's resnet18d, which needs variant='D'; the model has variant='B'."),
        ("resnet18", "D", "They are those of timm's resnet18, which needs variant='B'; the model has variant='D'."),
        ("resnet18c", "D", "They are those of timm's resnet18c, which needs variant='C'; the model has variant='D'."),
        ("resnet50", "A", "They are those of timm's resnet50, and the model is its resnet18."),
        ("dm_nfnet_f0", "C", "They are those of timm's dm_nfnet_f0, and the model is its resnet18c."),
    ],
)
def test_weights_of_another_network_are_named(theirs, ours, message, variants):
    tensors = with_stem_of_d_and_shortcuts_of_b() if theirs == "resnet18c" else zeros(theirs)
    received = error_of(copy_timm_weights, tensors, variants[ours])
    assert message in received
    assert "left over: " in received


def test_variant_c_has_the_stem_of_d_and_the_shortcuts_of_b(variants):
    copy_timm_weights(with_stem_of_d_and_shortcuts_of_b(), variants["C"])
    assert not any(np.any(weight) for weight in variants["C"].get_weights())


def test_variant_a_is_refused_where_it_is_another_network():
    model = ResNet50(input_shape=ANY_SIZE, classes=10)
    message = error_of(copy_timm_weights, zeros("resnet50"), model)
    assert "variant='B'" in message and "stride the 3x3 convolution" in message
    assert any(np.any(weight) for weight in model.get_weights())


def test_models_that_timm_has_not_are_refused():
    for model, message in (
        (NFResNet26(input_shape=ANY_SIZE), "variant='timm'.*no skip gains.*Received: variant='original'"),
        (NFNetTiny(), "stem for large images.*small_images=False"),
        (ResNet20(), "stem for large images"),
        (keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)], name="mine"), "builder.*model='mine'"),
    ):
        with pytest.raises(ValueError, match=message):
            copy_timm_weights({}, model)


def nfnet_structure(depths, final_width=3072):
    return Structure("nfnet", depths, True, True, True, True, False, True, final_width)


def test_nfnets_are_named_by_their_blocks():
    assert timm_counterpart(nfnet_structure((7, 14, 42, 21))) == "dm_nfnet_f6"
    for structure in (
        nfnet_structure((1, 2, 6, 3), 4096),
        nfnet_structure((1, 2, 6, 4)),
        nfnet_structure((8, 16, 48, 24)),
    ):
        with pytest.raises(ValueError, match="one of NFNetF0 to NFNetF6"):
            timm_counterpart(structure)


@pytest.mark.parametrize("name", [path.stem for path in sorted(FIXTURES.glob("*.json"))])
def test_networks_are_told_by_their_tensors(name):
    assert architecture_of(shapes(name)) == name


def test_other_tensors_are_of_no_known_network():
    assert architecture_of(with_stem_of_d_and_shortcuts_of_b()) == "resnet18c"
    plain = {path: shape for path, shape in shapes("dm_nfnet_f0").items() if "skipinit" not in path}
    assert architecture_of(plain) == "nfnet_f0"
    stem_of_b = {path: shape for path, shape in shapes("resnet50d").items() if not path.startswith("conv1")}
    assert architecture_of(stem_of_b) is None
    assert architecture_of({"layer1.0.conv1.weight": (1,), "blocks.0.attn.weight": (1,)}) is None


@pytest.mark.parametrize("source", ["model.pth", "imagenet", "F0_haiku.npz"])
def test_other_sources_are_refused(source, resnet18):
    with pytest.raises(ValueError, match=r"Expected source to be the path of a \.safetensors file or the id"):
        load_timm(resnet18, source)


def test_missing_files_are_refused(resnet18, tmp_path):
    with pytest.raises(ValueError, match="existing file"):
        load_timm(resnet18, tmp_path / "none.safetensors")


class TestHub:
    @pytest.fixture
    def asked(self, monkeypatch, tmp_path):
        """Let the hub give a file of a resnet50d; the list says what it was asked for."""
        hub = pytest.importorskip("huggingface_hub")
        save_file(random_tensors("resnet18d"), tmp_path / "cached.safetensors")
        calls = []

        def hf_hub_download(*arguments):
            calls.append(arguments)
            return str(tmp_path / "cached.safetensors")

        monkeypatch.setattr(hub, "hf_hub_download", hf_hub_download)
        return calls

    def test_ids_are_downloaded(self, asked, variants):
        load_timm(variants["D"], "timm/resnet18d.ra4_e3600_r224_in1k")
        assert asked == [("timm/resnet18d.ra4_e3600_r224_in1k", "model.safetensors")]
        assert_loaded(variants["D"], random_tensors("resnet18d"))

    def test_equal_tensors_of_another_network_of_timm_are_refused(self, asked, variants):
        load_timm(variants["D"], "someone/resnetaa18d")
        with pytest.raises(ValueError, match="timm's resnetaa18d, and the model is its resnet18d"):
            load_timm(variants["D"], "timm/resnetaa18d.in1k")

    def test_models_that_timm_has_not_are_refused_before_the_download(self, asked):
        with pytest.raises(ValueError, match="stem for large images"):
            load_timm(ResNet20(), "timm/resnet20.in1k")
        assert asked == []

    def test_without_the_package_the_error_says_what_to_install(self, monkeypatch, resnet18):
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        with pytest.raises(ImportError, match=r"pip install 'keras-tricks\[weights\]'.*source='timm/resnet18.a1_in1k'"):
            load_timm(resnet18, "timm/resnet18.a1_in1k")

    @pytest.mark.parametrize(
        ("failure", "error", "message"),
        [
            ("LocalEntryNotFoundError", ConnectionError, "Expected a network.*hf download timm/resnet18.a1_in1k"),
            ("EntryNotFoundError", ValueError, "public repository.*the hub says: the message"),
        ],
    )
    def test_failed_downloads_say_why(self, failure, error, message, monkeypatch, resnet18):
        hub = pytest.importorskip("huggingface_hub")

        def hf_hub_download(*arguments):
            raise getattr(hub.errors, failure)("the message")

        monkeypatch.setattr(hub, "hf_hub_download", hf_hub_download)
        with pytest.raises(error, match=message):
            load_timm(resnet18, "timm/resnet18.a1_in1k")
