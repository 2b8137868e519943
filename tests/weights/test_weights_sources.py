import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks import weights
from keras_tricks.models import NFNetTiny, NFResNet20, ResNet20
from keras_tricks.weights import sources
from keras_tricks.weights_facts import weights_kind, weights_problem

FILES = ("model.keras", "model.weights.h5")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A trained NFNet, and the folder of its files."""
    folder = tmp_path_factory.mktemp("saved")
    model = NFNetTiny(classes=3, stochastic_depth_rate=0.1, dropout_rate=0.1)
    draw = np.random.default_rng(0)
    model.set_weights([draw.normal(size=weight.shape) for weight in model.weights])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    model.save(folder / "model.keras")
    model.save_weights(folder / "model.weights.h5")
    return model, folder


@pytest.mark.backend
@pytest.mark.parametrize("file", FILES)
def test_our_own_files_are_loaded(file, saved):
    theirs, folder = saved
    with keras.name_scope("outer"):
        ours = NFNetTiny(classes=3)
    weights.load(ours, folder / file)
    for old, new in zip(theirs.weights, ours.weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(old), ops.convert_to_numpy(new))


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("options", [{"classes": 5}, {"include_top": False}])
def test_our_own_files_are_loaded_without_the_classifier(file, options, saved):
    theirs, folder = saved
    ours = NFNetTiny(**options)
    head = [layer.get_weights() for layer in ours.layers if layer.name == "predictions"]
    weights.load(ours, str(folder / file), head=False)
    for layer in ours.layers:
        if layer.name != "predictions":
            for old, new in zip(theirs.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True):
                np.testing.assert_array_equal(old, new)
    assert [len(arrays) for arrays in head] == ([] if "include_top" in options else [2])
    if head:
        np.testing.assert_array_equal(head[0][0], ours.get_layer("predictions").get_weights()[0])


def test_our_own_files_of_batch_normalization_are_loaded(tmp_path):
    theirs, ours = ResNet20(zero_gamma=True), ResNet20()
    theirs.set_weights([np.random.default_rng(0).normal(size=weight.shape) for weight in theirs.weights])
    theirs.save_weights(tmp_path / "model.weights.h5")
    weights.load(ours, tmp_path / "model.weights.h5")
    for old, new in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_files_that_do_not_fit_list_everything_and_change_nothing(saved):
    _, folder = saved
    ours = NFResNet20()
    before = ours.get_weights()
    with pytest.raises(ValueError, match=r"model\.keras to fit the model nf_resnet20. Received: ") as error:
        weights.load(ours, folder / "model.keras")
    message = str(error.value)
    assert "missing: layers/scaled_standardized_conv2d_26/vars/0 for " not in message
    assert "left over: layers/squeeze_excite/fc1/vars/0" in message
    assert (
        "shape of layers/scaled_standardized_conv2d/vars/0 for stem_conv1/kernel: (3, 3, 3, 4) "
        "instead of (3, 3, 3, 16)" in message
    )
    for old, new in zip(before, ours.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(ValueError, match="head=False loads all but the classifier"):
        weights.load(NFNetTiny(classes=4), folder / "model.weights.h5")


@pytest.mark.parametrize("name", ["broken.keras", "broken.weights.h5"])
def test_broken_files_are_refused(name, tmp_path):
    (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"Expected a \.weights\.h5 or \.keras file of Keras 3"):
        weights.load(ResNet20(), tmp_path / name)


@pytest.mark.parametrize(
    ("source", "loader"),
    [
        ("org/name", "load_timm"),
        ("a.safetensors", "load_timm"),
        ("a.npz", "load_deepmind"),
        ("a.keras", "load_keras_file"),
    ],
)
def test_each_source_has_its_loader(source, loader, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(sources, loader, lambda *arguments, **options: calls.append((arguments, options)))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").with_suffix("." + source.partition(".")[2] if "." in source else ".none").touch()
    weights.load("a model", source, head=False)
    assert calls == [(("a model", source), {"head": False})]


@pytest.mark.parametrize("builder", [ResNet20, NFNetTiny])
def test_imagenet_weights_are_for_the_models_that_keras_has(builder):
    with pytest.raises(ValueError, match="ResNet50, ResNet101 or ResNet152 of variant 'A'"):
        weights.load(builder(), "imagenet")


@pytest.mark.parametrize(
    "source", ["", "model.pth", "org/model.bin", "https://example.org/a/b", "./model", "a/b/c", "a"]
)
def test_other_sources_are_refused_with_those_accepted(source):
    for accepted in ("imagenet", ".safetensors", ".npz", ".keras", ".weights.h5", "timm/dm_nfnet_f0.dm_in1k"):
        assert accepted in weights_problem(source)
    with pytest.raises(ValueError, match="Expected weights to be 'imagenet'"):
        weights.load(ResNet20(), source)


def test_sources_are_told_by_their_looks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert weights_problem("imagenet") is weights_problem("timm/dm_nfnet_f0.dm_in1k") is None
    for name in ("a.safetensors", "F0_haiku.npz", "b.keras", "c.weights.h5"):
        assert "Expected weights to be an existing file" in weights_problem(name)
        (tmp_path / name).touch()
        assert weights_problem(name) is weights_problem(tmp_path / name) is None
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "best").mkdir()
    assert weights_kind("runs/best") is None
    assert weights_kind("runs/other") == "hub"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights_problem("~/a.safetensors") is None
