"""The fixture is made by DeepMind's own code, with parity/make_deepmind_fixture.py."""

import importlib.util
import json
import os
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from keras import ops

from keras_tricks.models import NFNetF0, NFNetTiny, NFResNet20
from keras_tricks.weights import copy_timm_weights, load_deepmind
from keras_tricks.weights.haiku_file import read_haiku_file

PARITY = Path(__file__).parents[1] / "parity"


def script(name):
    spec = importlib.util.spec_from_file_location(name, PARITY / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


parity, timm_parity = script("make_deepmind_fixture"), script("make_timm_fixtures")
FIXTURE = json.loads((PARITY / "fixtures" / "deepmind_f0.json").read_text())


@pytest.fixture(scope="module")
def model():
    return NFNetF0(input_shape=(None, None, 3), classes=parity.CLASSES, classifier_activation=None)


@pytest.fixture(scope="module")
def parameters():
    return {name: parity.seeded_parameter(name, tuple(shape)) for name, shape in FIXTURE["parameters"].items()}


def nested(parameters):
    """Return parameters as Haiku holds them: modules, and the parameters of each."""
    modules = {}
    for name, value in parameters.items():
        module, _, kind = name.rpartition("/")
        modules.setdefault(module, {})[kind] = value
    return modules


def dump_as_haiku(modules, path, monkeypatch):
    """Pickle mappings of Haiku, which is known to no one when the file is read."""
    haiku = types.ModuleType("haiku._src.data_structures")

    class FlatMapping(dict):
        def __reduce__(self):
            return FlatMapping, (dict(self),)

    FlatMapping.__module__, FlatMapping.__qualname__ = haiku.__name__, "FlatMapping"
    haiku.FlatMapping = FlatMapping
    for name in ("haiku", "haiku._src"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, haiku.__name__, haiku)
    content = FlatMapping({module: FlatMapping(found) for module, found in modules.items()})
    with path.open("wb") as file:
        pickle.dump(content, file, protocol=4)
    monkeypatch.undo()


def distance(logits, expected):
    """Return how far logits are from others, as a share of the largest."""
    return np.abs(ops.convert_to_numpy(logits) - expected).max() / np.abs(expected).max()


def test_published_weights_give_deepminds_logits(model, parameters, tmp_path, monkeypatch):
    dump_as_haiku(nested(parameters), tmp_path / "F0_haiku.npz", monkeypatch)
    assert b"haiku._src.data_structures" in (tmp_path / "F0_haiku.npz").read_bytes()
    load_deepmind(model, tmp_path / "F0_haiku.npz")
    assert "haiku" not in sys.modules
    for size in parity.IMAGE_SIZES:
        assert distance(model(parity.images(size)), FIXTURE["logits"][str(size)]) < 1e-5


def test_timm_makes_something_else_of_the_same_weights(model):
    """The kernels are small here, which makes the most of the other epsilon; `load_timm` says what it is otherwise."""
    fixture = json.loads((PARITY / "fixtures" / "timm" / "dm_nfnet_f0.json").read_text())
    tensors = {name: timm_parity.seeded_tensor(name, tuple(shape)) for name, shape in fixture["tensors"].items()}
    copy_timm_weights(tensors, model)
    assert 0.02 < distance(model(timm_parity.images(64)), fixture["logits"]["64"]) < 0.5


def test_all_but_the_classifier_for_another_number_of_classes(model, parameters, tmp_path):
    head = {"NFNet/~/linear/w": np.zeros((3072, 1000), "float32"), "NFNet/~/linear/b": np.zeros(1000, "float32")}
    np.savez(tmp_path / "F0.npz", **(parameters | head))
    with pytest.raises(ValueError, match=r"head=False loads all but the classifier.*NFNet/~/linear/b for predictions"):
        load_deepmind(model, tmp_path / "F0.npz")
    for weight in model.weights:
        weight.assign(np.ones(weight.shape))
    load_deepmind(model, str(tmp_path / "F0.npz"), head=False)
    ones = [weight.path for weight in model.weights if (ops.convert_to_numpy(weight) == 1).all()]
    assert ones == ["predictions/kernel", "predictions/bias"]


def test_one_error_lists_everything_and_nothing_is_changed(model, parameters, tmp_path):
    changed = dict(parameters)
    del changed["NFNet/~/nf_block_3/skip_gain"], changed["NFNet/~/nf_block/~/conv_shortcut/w"]
    changed["NFNet/~/stem_conv0/gain"] = np.zeros((1, 16), "float32")
    changed["NFNet/~/nf_block_12/~/conv0/w"] = np.zeros((1, 1, 2, 3), "float32")
    (tmp_path / "F0.npz").write_bytes(pickle.dumps(nested(changed)))
    before = model.get_layer("final_conv").get_weights()
    with pytest.raises(ValueError, match=r"F0\.npz to fit the model nfnet_f0. Received: ") as error:
        load_deepmind(model, tmp_path / "F0.npz")
    assert sorted(str(error.value).partition("Received: ")[2].split("; ")) == [
        "left over: NFNet/~/nf_block_12/~/conv0/w",
        "missing: NFNet/~/nf_block/~/conv_shortcut/w for stage1_block1_shortcut_conv/kernel",
        "missing: NFNet/~/nf_block_3/skip_gain for stage3_block1_skip/skip_gain",
        "shape of NFNet/~/stem_conv0/gain for stem_conv1/gain: (1, 16) instead of (16,)",
    ]
    for old, new in zip(before, model.get_layer("final_conv").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("builder", [NFResNet20, NFNetTiny])
def test_other_networks_are_refused(builder, tmp_path):
    with pytest.raises(ValueError, match="Expected an NFNet with a stem for large images"):
        load_deepmind(builder(), tmp_path / "F0_haiku.npz")


SMALL = {"NFNet/~/linear/w": np.arange(6, dtype="float32").reshape(2, 3), "NFNet/~/nf_block/skip_gain": np.float32(2)}


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("pickled_by", ["pickle", "dill"])
def test_pickles_of_arrays_are_read(pickled_by, protocol, tmp_path):
    module = pytest.importorskip(pickled_by)
    (tmp_path / "small.npz").write_bytes(module.dumps(nested(SMALL), protocol=protocol))
    arrays = read_haiku_file(tmp_path / "small.npz")
    assert set(arrays) == set(SMALL)
    for name, value in SMALL.items():
        np.testing.assert_array_equal(arrays[name], value)


def test_arrays_under_the_names_of_old_numpy_are_read(tmp_path):
    content = pickle.dumps(nested(SMALL), protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (tmp_path / "old.npz").write_bytes(content)
    np.testing.assert_array_equal(read_haiku_file(tmp_path / "old.npz")["NFNet/~/linear/w"], SMALL["NFNet/~/linear/w"])


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_pickle_is_run(tmp_path):
    (tmp_path / "harmful.npz").write_bytes(pickle.dumps({"a": {"w": Harmful(tmp_path / "made")}}))
    with pytest.raises(ValueError, match=r"which cannot be read: it asks for \w+\.mkdir, which is no array"):
        read_haiku_file(tmp_path / "harmful.npz")
    assert not (tmp_path / "made").exists()


def test_object_arrays_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "objects.npz", a=np.array([Harmful(tmp_path / "made")]))
    with pytest.raises(ValueError, match="which cannot be read: Object arrays cannot be loaded"):
        read_haiku_file(tmp_path / "objects.npz")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"a": {"w": np.ones(1), "name": "text"}}), "something else at a/name"),
        (pickle.dumps([1, 2]), "something else at its top"),
        (b"no pickle", "which cannot be read"),
        (b"", "which cannot be read"),
    ],
)
def test_other_files_are_refused(content, message, tmp_path):
    (tmp_path / "other.npz").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_haiku_file(tmp_path / "other.npz")
