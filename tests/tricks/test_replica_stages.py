"""What the tricks of the optimizer's outermost and the trainer's stages do, alone and together."""

import keras
import numpy as np
import pytest

from keras_tricks import Recipe, data, optimizers, train, tricks
from keras_tricks.recipe import RecipeError

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the trainer is TensorFlow's")


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def built(digits, *on, **fields):
    fields = {"model": "resnet20", "image_size": 8, "batch_size": 64, "tricks": on, **fields}
    return train.build(Recipe(**fields), digits)


def test_loss_scaling_is_around_clipping_and_only_for_float16(digits):
    on = (tricks.AdaptiveGradientClipping(), tricks.GradientClipping(max_norm=2.0))
    optimizer = built(digits, *on, tricks.MixedPrecision(), model="nfnet_tiny").model.optimizer
    assert type(optimizer) is optimizers.LossScaleOptimizer
    assert type(optimizer.inner_optimizer) is optimizers.GradientClipping
    assert optimizer.inner_optimizer.max_norm == 2.0
    assert type(optimizer.inner_optimizer.inner_optimizer) is optimizers.AdaptiveGradientClipping
    bfloat16 = built(digits, tricks.MixedPrecision(dtype="bfloat16")).model.optimizer
    assert type(bfloat16) is optimizers.SGD


def test_accumulation_and_sharpness_meet_in_one_trainer(digits):
    from keras_tricks.distribute import ReplicaModel, SharpnessAware

    plain = built(digits).model
    assert not isinstance(plain, ReplicaModel)
    on = (tricks.GradientAccumulation(steps=3), tricks.SharpnessAware(rho=0.1, ascent="per_replica", ascent_share=0.2))
    model = built(digits, *on).model
    assert isinstance(model, ReplicaModel)
    assert model.accumulation_steps == 3
    method = model._training_options()["gradient_method"]
    assert isinstance(method, SharpnessAware)
    assert (method.rho, method.ascent, method.ascent_share) == (0.1, "per_replica", 0.2)


@pytest.mark.slow
def test_one_micro_batch_changes_nothing(digits):
    ends = []
    for on in ((), (tricks.GradientAccumulation(steps=1),)):
        training = built(digits, *on)
        training.model.fit(training.training_batches(), epochs=1, steps_per_epoch=2, verbose=0, shuffle=False)
        ends.append(training.model.get_weights())
    for ours, theirs in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_batch_normalization_is_synchronized_on_replicas_unless_switched_off(digits, two_replicas):
    from keras_tricks.callbacks import StatisticsAveraging

    def synchronized(training):
        return {
            layer.synchronized for layer in training.model.layers if isinstance(layer, keras.layers.BatchNormalization)
        }

    together = built(digits, replicas=2)
    apart = built(digits, replicas=2, synchronized_batch_norm=False)
    assert synchronized(together) == {True}
    assert synchronized(apart) == {False}
    assert synchronized(built(digits, synchronized_batch_norm=False)) == {False}
    assert not together.callbacks
    assert [type(callback) for callback in apart.callbacks] == [StatisticsAveraging]


@pytest.mark.parametrize(
    "trick", [tricks.GradientAccumulation(), tricks.SharpnessAware()], ids=lambda trick: trick.name
)
def test_they_need_tensorflow(digits, monkeypatch, trick):
    recipe = Recipe(tricks=(trick,), image_size=8)
    with monkeypatch.context() as patched:
        patched.setattr(keras.backend, "backend", lambda: "jax")
        with pytest.raises(RecipeError, match=f"{trick.name} needs the TensorFlow backend"):
            train.check(recipe, digits)
