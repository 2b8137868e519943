"""Exported files: what they compute, what is said about them, and when none is kept."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_tricks import data, export_formats, models, saved_model
from keras_tricks.cli import main
from keras_tricks.export import ExportError, export
from keras_tricks.export_formats import FORMATS
from keras_tricks.layers import ScaledActivation, ScaledStandardizedConv2D
from keras_tricks.presets import presets
from keras_tricks.runs import RunError, create_run

SIZE = 16
SHAPE = {"input_shape": (SIZE, SIZE, 3), "classifier_activation": None}
CLASSES = tuple("0123456789")
SUFFIXES = {"keras": ".keras", "saved_model": "_saved_model", "litert": ".tflite", "onnx": ".onnx"}

needs_onnx = pytest.mark.skipif(importlib.util.find_spec("tf2onnx") is None, reason="tf2onnx is not installed")


def tiny():
    """A classifier that is quick to build, with a grouped standardized convolution."""
    inputs = keras.Input((None, None, 3), name="images")
    x = ScaledStandardizedConv2D(8, 3, strides=2, padding="symmetric")(inputs)
    x = ScaledStandardizedConv2D(8, 3, groups=2, padding="same")(ScaledActivation("gelu")(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10, dtype="float32")(x), name="tiny")


MODELS = {
    "nf_resnet20": lambda: models.NFResNet20(**SHAPE),
    "resnet20": lambda: models.ResNet20(**SHAPE),
    "tiny": tiny,
}


def make_run(root, model, policy="float32", data_name="digits"):
    """Write a run directory as training does."""
    recipe = presets()["quickstart"].changed(model="resnet20" if model == "tiny" else model, tricks=(), data=data_name)
    directory = create_run(root, model, recipe.model_dump(mode="json"))
    keras.config.set_dtype_policy(policy)
    network = MODELS[model]()
    keras.config.set_dtype_policy("float32")
    rng = np.random.default_rng(0)
    for weight in network.weights:
        if weight.name in ("gain", "gamma", "moving_variance", "skip_gain"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    preprocessing = data.SmallImagePreprocessing(image_size=SIZE, mean=(78.0,) * 3, std=(96.0,) * 3)
    saved_model.save(saved_model.SavedModel(network, CLASSES, preprocessing), directory / "model.keras")
    return directory


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The directories of one run of each model."""
    root = tmp_path_factory.mktemp("runs")
    return {name: make_run(root, name) for name in MODELS}


@pytest.fixture
def command(capfd, monkeypatch, runs):
    """Run the command line; return exit code, standard output and standard error."""
    monkeypatch.setenv("KERAS_TRICKS_RUNS", str(next(iter(runs.values())).parent))

    def run(*words):
        with pytest.raises(SystemExit) as caught:
            main([str(word) for word in words])
        out, err = capfd.readouterr()
        return caught.value.code or 0, out, err

    return run


@pytest.fixture
def classifier(runs):
    return saved_model.load(runs["tiny"] / "model.keras")


@pytest.fixture(scope="module")
def expected(runs):
    """What the model of each run gives for six images."""
    return {name: softmax(logits(runs[name], images(6))) for name in ("nf_resnet20", "resnet20")}


def images(count):
    return np.random.default_rng(count).normal(size=(count, SIZE, SIZE, 3)).astype("float32")


def logits(directory, batch):
    return saved_model.load(directory / "model.keras").model.predict(batch, verbose=0)


def softmax(values):
    powers = np.exp(values - values.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def bad(answer, *reasons):
    """Assert that a command refused its input in one line with these words."""
    code, _, err = answer
    lines = [line for line in err.splitlines() if line]
    assert code == 2, answer
    assert len(lines) == 1, err
    for reason in reasons:
        assert reason in lines[0]


# tf.lite.Interpreter, which comes with TensorFlow, recommends another package.
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
@pytest.mark.parametrize(
    ("model", "format"),
    [
        ("nf_resnet20", "keras"),
        ("nf_resnet20", "saved_model"),
        ("nf_resnet20", "litert"),
        pytest.param("nf_resnet20", "onnx", marks=needs_onnx),
        pytest.param("resnet20", "keras", marks=pytest.mark.slow),
        pytest.param("resnet20", "saved_model", marks=pytest.mark.slow),
        pytest.param("resnet20", "litert", marks=pytest.mark.slow),
        pytest.param("resnet20", "onnx", marks=needs_onnx),
    ],
)
def test_each_format_gives_the_probabilities_of_the_model_for_any_batch(command, runs, expected, model, format):
    code, out, err = command("export", runs[model], "--format", format)
    assert code == 0, err
    assert err == ""
    path = runs[model] / "export" / f"{model}{SUFFIXES[format]}"
    assert str(path) in out
    run = FORMATS[format].open(path)
    for part in (slice(0, 1), slice(1, 6)):
        np.testing.assert_allclose(run(images(6)[part]), expected[model][part], atol=1e-5)
    assert {entry.name for entry in path.parent.iterdir()} >= {path.name, f"{path.name}.json"}
    assert not [entry for entry in path.parent.iterdir() if entry.name.startswith(".")]


def test_the_description_says_what_goes_in_and_what_comes_out(command, runs, tmp_path):
    path = tmp_path / "new" / "net.keras"
    code, out, _ = command("export", runs["tiny"], "--format", "keras", "--output", path, "--json")
    assert code == 0
    document = json.loads(path.with_name("net.keras.json").read_text())
    assert document.items() <= json.loads(out).items()
    assert document["input"]["shape"] == [None, SIZE, SIZE, 3]
    assert (document["input"]["mean"], document["input"]["std"]) == ([78.0] * 3, [96.0] * 3)
    assert document["preprocessing"]["kind"] == "SmallImagePreprocessing"
    assert document["output"] == {"values": "probabilities", "shape": [None, 10]}
    assert document["classes"] == list(CLASSES)
    assert document["check"]["real_images"] == 32
    assert 0 <= document["check"]["largest_difference"] < 1e-5


def test_logits_of_a_model_as_it_is_that_was_trained_in_half_precision(command, tmp_path):
    directory = make_run(tmp_path, "tiny", policy="mixed_float16", data_name=f"folder:{tmp_path}/none")
    path = directory / "export" / "resnet20.keras"
    code, out, _ = command("export", directory, "--format", "keras", "--logits", "--no-fold", "--json")
    assert code == 0
    assert json.loads(out)["check"]["real_images"] == 0
    exported, trained = keras.models.load_model(path), saved_model.load(directory / "model.keras").model
    assert {layer.compute_dtype for layer in exported.layers} == {"float32"}
    for weight, original in zip(exported.weights, trained.weights, strict=True):
        np.testing.assert_array_equal(weight, original)
    np.testing.assert_allclose(exported.predict(images(4), verbose=0), logits(directory, images(4)), atol=2e-2)


def test_an_existing_file_is_replaced_only_by_force(command, runs, tmp_path):
    path = tmp_path / "net"
    words = ["export", runs["tiny"], "--format", "saved_model", "--output", path]
    assert command(*words)[0] == 0
    (path / "variables" / "mark").touch()
    bad(command(*words), str(path), "exists already", "--force")
    assert (path / "variables" / "mark").exists()
    assert command(*words, "--force", "--logits")[0] == 0
    assert not (path / "variables" / "mark").exists()
    np.testing.assert_allclose(
        FORMATS["saved_model"].open(path)(images(2)), logits(runs["tiny"], images(2)), rtol=1e-4, atol=1e-4
    )


def test_a_file_that_computes_something_else_is_not_kept(command, runs, monkeypatch, tmp_path):
    def write(model, path):
        model.weights[0].assign(model.weights[0] * 1.01)
        model.save(path)

    monkeypatch.setitem(FORMATS, "keras", replace(FORMATS["keras"], write=write))
    path = tmp_path / "net.keras"
    code, _, err = command("export", runs["tiny"], "--format", "keras", "--output", path)
    assert code == 1
    assert "gives other outputs than the model" in err
    assert "0.0001 is tolerated" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong", [lambda values: values * np.nan, lambda values: values[:1], lambda values: values + 1e-3]
)
def test_outputs_that_are_no_numbers_or_of_another_shape_are_seen(classifier, monkeypatch, tmp_path, wrong):
    def open_wrongly(path):
        return lambda batch: wrong(softmax(classifier.model.predict(batch, verbose=0)))

    monkeypatch.setitem(FORMATS, "keras", replace(FORMATS["keras"], open=open_wrongly))
    with pytest.raises(ExportError, match="gives other outputs"):
        export(classifier, tmp_path / "net.keras", "keras")


def test_a_converter_that_fails_is_named_in_one_line(command, runs, monkeypatch, tmp_path):
    def write(model, path):
        path.write_text("half a file")
        raise TypeError("first line\nthe reason")

    monkeypatch.setitem(FORMATS, "keras", replace(FORMATS["keras"], write=write))
    code, _, err = command("export", runs["tiny"], "--format", "keras", "--output", tmp_path / "net.keras")
    assert code == 1
    assert err == "keras-tricks: tiny could not be written as keras: TypeError: the reason\n"
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_refused_in_one_line(command, runs, monkeypatch, tmp_path):
    bad(command("export", "nonesuch", "--format", "keras"), "There is no run 'nonesuch'")
    empty = create_run(tmp_path, "x", presets()["quickstart"].model_dump(mode="json"))
    bad(command("export", empty, "--format", "keras"), "has no model yet: it is queued")
    for format, name, reason in (
        ("onnx", "net.tflite", "end in .onnx"),
        ("litert", "net", "end in .tflite"),
        ("saved_model", "net.onnx", "be that of a folder"),
    ):
        bad(command("export", runs["tiny"], "--format", format, "--output", tmp_path / name), reason, name)
    (tmp_path / "folder.keras").mkdir()
    words = ["--format", "keras", "--force", "--output", tmp_path / "folder.keras"]
    bad(command("export", runs["tiny"], *words), "is a folder")
    monkeypatch.setattr(export_formats.importlib.util, "find_spec", lambda name: None)
    words = ["--format", "onnx", "--output", tmp_path / "net.onnx"]
    bad(command("export", runs["tiny"], *words), "tf2onnx, onnx, onnxruntime", "pip install 'keras-tricks[export]'")


def test_an_unknown_format_is_answered_with_the_known_ones(command):
    code, _, err = command("export", "last", "--format", "onx")
    assert code == 2
    assert "'keras', 'saved_model', 'litert', 'onnx'" in err
    with pytest.raises(RunError, match=r"keras, saved_model, litert, onnx. Received: onx"):
        export_formats.check_target(Path("net.onnx"), "onx")


def test_other_backends_write_keras_files_only(classifier, monkeypatch, tmp_path):
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(RunError, match=r"set KERAS_BACKEND=tensorflow. Received: KERAS_BACKEND=jax"):
        export(classifier, tmp_path / "net.tflite", "litert")
