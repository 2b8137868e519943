"""Compare with timm, from its tensors to logits and gradients; parity/make_timm_fixtures.py makes the fixtures."""

import importlib.util
import json
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from safetensors.numpy import save_file

from keras_tricks import models
from keras_tricks.weights import copy_timm_weights, load_timm
from keras_tricks.weights.timm import timm_origins

PARITY = Path(__file__).parents[1] / "parity"
spec = importlib.util.spec_from_file_location("timm_parity", PARITY / "make_timm_fixtures.py")
parity = importlib.util.module_from_spec(spec)
spec.loader.exec_module(parity)

BUILDERS = {
    "resnet18": ("ResNet18", "B"),
    "resnet18d": ("ResNet18", "D"),
    "resnet50": ("ResNet50", "B"),
    "resnet50d": ("ResNet50", "D"),
    "nf_resnet50": ("NFResNet50", "timm"),
    "dm_nfnet_f0": ("NFNetF0", "timm"),
    "dm_nfnet_f2": ("NFNetF2", "timm"),
}
ON_ALL_BACKENDS = ("resnet18",)


@cache
def fixture(name):
    return json.loads((PARITY / "fixtures" / "timm" / f"{name}.json").read_text())


def tensors(name):
    return {path: parity.seeded_tensor(path, tuple(shape)) for path, shape in fixture(name)["tensors"].items()}


def build(name, variant=None):
    builder, same = BUILDERS[name]
    return getattr(models, builder)(
        input_shape=(None, None, 3), classes=parity.CLASSES, classifier_activation=None, variant=variant or same
    )


def distances(name, model):
    """Return how far the logits are from timm's at each size, as a share of the largest."""
    for size, expected in fixture(name)["logits"].items():
        logits = ops.convert_to_numpy(model(parity.images(int(size)), training=False))
        yield np.abs(logits - expected).max() / np.abs(expected).max()


def marks(name):
    if name in ON_ALL_BACKENDS:
        return [pytest.mark.backend]
    return [pytest.mark.slow] if name == "dm_nfnet_f2" else []


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in BUILDERS])
def test_a_checkpoint_of_timm_gives_timms_logits(name, tmp_path):
    model = build(name)
    if name == "dm_nfnet_f2":
        # 775 MB are not written to the disk.
        copy_timm_weights(tensors(name), model)
    else:
        save_file(tensors(name), tmp_path / "model.safetensors")
        load_timm(model, tmp_path / "model.safetensors")
    assert list(fixture(name)["logits"]) == [str(size) for size in parity.IMAGE_SIZES[name]]
    assert max(distances(name, model)) < 1e-5


def gradients(model, size, training):
    """Return the loss and the gradient of each trainable weight, by its path."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        logits = model(parity.images(size), training=training)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, dtype=logits.dtype)(parity.labels(), logits)
    found = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    return float(loss), {w.path: np.asarray(g) for w, g in zip(model.trainable_weights, found, strict=True)}


# Batch normalization over two images makes float32 gradients of ResNets inexact, timm's too: in float64 they are equal.
# Nothing in an NFNet depends on training here but that activations are compiled for it, which takes seconds.
@pytest.mark.parametrize(
    ("name", "dtype", "training", "tolerance"),
    [
        ("resnet18", "float64", True, 1e-6),
        pytest.param("resnet50", "float64", True, 1e-6, marks=pytest.mark.slow),
        ("resnet50d", "float64", True, 1e-6),
        pytest.param("nf_resnet50", "float64", True, 1e-6, marks=pytest.mark.slow),
        ("dm_nfnet_f0", "float32", False, 1e-4),
        pytest.param("dm_nfnet_f0", "float32", True, 1e-4, marks=pytest.mark.slow),
        pytest.param("dm_nfnet_f2", "float32", True, 1e-4, marks=pytest.mark.slow),
    ],
)
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the gradients are taken with TensorFlow's tape")
def test_gradients_are_timms(name, dtype, training, tolerance):
    keras.config.set_dtype_policy(dtype)
    model = build(name)
    copy_timm_weights(tensors(name), model)
    loss, found = gradients(model, parity.IMAGE_SIZES[name][-1], training)
    expected, origins = fixture(name)["gradients"], timm_origins(model)
    assert loss == pytest.approx(fixture(name)["loss"], rel=1e-5)
    assert {origins[path].name for path in found} == set(expected)
    for path, gradient in found.items():
        origin = origins[path]
        norm, product = expected[origin.name]
        direction = parity.direction(origin.name, tuple(fixture(name)["tensors"][origin.name]))
        assert abs(np.linalg.norm(gradient) - norm) < tolerance * norm, path
        assert abs((gradient * origin.convert(direction)).sum() - product) < tolerance * norm, path


@pytest.fixture
def float64():
    """Compute in float64: a sign that float32 rounds the other way at a ReLU shows in the third digit of a gradient."""
    keras.config.set_dtype_policy("float64")
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    with jax.enable_x64(True):
        yield


@pytest.mark.backend
@pytest.mark.backend_slow
@pytest.mark.usefixtures("float64")
def test_fitting_has_timms_gradients_and_means_on_every_backend():
    name = "resnet18d"
    model = build(name)
    copy_timm_weights(tensors(name), model)
    before = {weight.path: ops.convert_to_numpy(weight) for weight in model.weights}
    learning_rate = 1e3
    backend = keras.backend.backend()
    model.compile(
        keras.optimizers.SGD(learning_rate),
        keras.losses.CategoricalCrossentropy(from_logits=True, dtype="float64"),
        run_eagerly=backend == "tensorflow",
        jit_compile=backend == "jax",
    )
    loss = model.train_on_batch(parity.images(parity.IMAGE_SIZES[name][-1]), parity.labels())
    assert float(loss) == pytest.approx(fixture(name)["loss"], rel=1e-5)
    origins = timm_origins(model)
    for weight in model.weights:
        value, theirs = ops.convert_to_numpy(weight), origins[weight.path].name
        if weight.trainable:
            norm = np.linalg.norm(value - before[weight.path]) / learning_rate
            assert norm == pytest.approx(fixture(name)["gradients"][theirs][0], rel=1e-5), weight.path
        elif weight.name == "moving_mean":
            assert np.linalg.norm(value) == pytest.approx(fixture(name)["means"][theirs], rel=1e-5), weight.path
