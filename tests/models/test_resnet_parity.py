"""Compare with torchvision and timm; the fixture is made by parity/make_resnet_fixtures.py."""

import importlib.util
import json
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks import models

PARITY = Path(__file__).parents[1] / "parity"
spec = importlib.util.spec_from_file_location("resnet_parity", PARITY / "make_resnet_fixtures.py")
parity = importlib.util.module_from_spec(spec)
spec.loader.exec_module(parity)
FIXTURE = json.loads((PARITY / "fixtures" / "resnet.json").read_text())

pytestmark = pytest.mark.backend


@cache
def seeded_model(case):
    builder, variant = case.split()
    model = getattr(models, builder)(
        input_shape=(None, None, 3),
        classes=parity.CLASSES,
        classifier_activation=None,
        variant=variant,
    )
    for layer in model.layers:
        for weight in layer.weights:
            weight.assign(parity.seeded_weight(layer.name, weight.name, tuple(weight.shape)))
    return model


@pytest.mark.parametrize("size", parity.IMAGE_SIZES)
@pytest.mark.parametrize("case", ["ResNet18 B", "ResNet18 D", "ResNet50 D"])
def test_same_weights_give_the_originals_logits(case, size):
    logits = seeded_model(case)(parity.images(size).astype("float32"), training=False)
    expected = np.array(FIXTURE[case]["logits"][str(size)])
    np.testing.assert_allclose(ops.convert_to_numpy(logits), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


# Not ResNet-50: there torch's own float32 gradients are 0.7 % from its float64 ones.
@pytest.mark.parametrize("case", ["ResNet18 B", "ResNet18 D"])
def test_one_training_step_gives_the_originals_gradients(case):
    model = keras.models.clone_model(seeded_model(case))
    model.set_weights(seeded_model(case).get_weights())
    before = {weight.path: ops.convert_to_numpy(weight) for weight in model.weights}
    learning_rate = 1e3
    backend = keras.backend.backend()
    model.compile(
        keras.optimizers.SGD(learning_rate),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        run_eagerly=backend == "tensorflow",
        jit_compile=backend == "jax",
    )
    size = parity.IMAGE_SIZES[-1]
    loss = model.train_on_batch(parity.images(size).astype("float32"), parity.labels())
    np.testing.assert_allclose(float(loss), FIXTURE[case]["loss"], rtol=1e-4)
    norms = {
        weight.path: np.linalg.norm(ops.convert_to_numpy(weight) - before[weight.path]) / learning_rate
        for weight in model.trainable_weights
    }
    expected = FIXTURE[case]["gradient_norms"]
    assert norms.keys() == expected.keys()
    np.testing.assert_allclose([norms[path] for path in expected], list(expected.values()), rtol=1e-3)
    means = {
        layer.name: np.linalg.norm(ops.convert_to_numpy(layer.moving_mean))
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    expected = FIXTURE[case]["moving_mean_norms"]
    np.testing.assert_allclose([means[name] for name in expected], list(expected.values()), rtol=1e-4)
