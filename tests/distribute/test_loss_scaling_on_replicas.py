"""An overflow on any replica is seen by all: nobody makes the step, the scale is halved, the next step is fine."""

import keras
import numpy as np
import pytest

from keras_tricks.optimizers import SGD, AdaptiveGradientClipping, LossScaleOptimizer

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="replicas are TensorFlow's")

SCALE = 2.0**10


def trained(strategy, make_model, overflow_on, optimizer_class=LossScaleOptimizer):
    """Train three steps, the second with an overflow on some replicas; return weights and state after each."""
    keras.config.set_dtype_policy("mixed_float16")
    keras.utils.set_random_seed(0)
    replicas = strategy.num_replicas_in_sync
    generator = np.random.default_rng(0)
    x = generator.normal(size=(3, replicas, 2, 3)).astype("float32")
    x[1, list(overflow_on)] = 1e4
    with strategy.scope():
        model = make_model()
        optimizer = AdaptiveGradientClipping(SGD(0.01, momentum=0.9), no_clipping=())
        model.compile(optimizer_class(optimizer, initial_scale=SCALE), "mse")
    after = []
    for step in range(3):
        batch = x[step].reshape(-1, 3)
        model.fit(batch, np.ones((len(batch), 1), "float32"), batch_size=len(batch), verbose=0, shuffle=False)
        copies = [
            [copy.numpy() for copy in strategy.experimental_local_results(each.value)]
            for each in [*model.trainable_variables, *model.optimizer.inner_optimizer.variables]
        ]
        after.append((copies, model.optimizer))
        after[-1] = (copies, float(model.optimizer.dynamic_scale.numpy()), int(model.optimizer.iterations.numpy()))
    return after, model.optimizer


def plain():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1, dtype="float32")])


def with_our_trainer():
    from keras_tricks.distribute import ReplicaModel

    return ReplicaModel.of(plain())


def with_accumulation():
    from keras_tricks.distribute import ReplicaModel

    return ReplicaModel.of(plain(), accumulation_steps=2)


def with_sharpness():
    from keras_tricks.distribute import ReplicaModel, SharpnessAware

    return ReplicaModel.of(plain(), gradient_method=SharpnessAware())


def assert_skipped(after):
    (before, scale, count), (skipped, new_scale, same_count), (then, last_scale, last_count) = after
    assert (scale, new_scale, last_scale) == (SCALE, SCALE / 2, SCALE / 2)
    assert (count, same_count, last_count) == (1, 1, 2)
    for old, new in zip(before, skipped, strict=True):
        for one, other in zip(old, new, strict=True):
            np.testing.assert_array_equal(one, other)
    assert all(np.isfinite(copy).all() for copies in then for copy in copies)
    for copies in then:
        for copy in copies[1:]:
            np.testing.assert_array_equal(copy, copies[0])
    assert any((one[0] != other[0]).any() for one, other in zip(skipped[:4], then[:4], strict=True))


@pytest.mark.parametrize("overflow_on", [(0,), (1,), (0, 1)])
def test_on_two_replicas(two_replicas, overflow_on):
    after, optimizer = trained(two_replicas, plain, overflow_on)
    assert_skipped(after)
    assert (int(optimizer.skipped_steps.numpy()), int(optimizer.skips_in_a_row.numpy())) == (1, 0)


@pytest.mark.parametrize("overflow_on", [(3,), pytest.param((0, 1, 2, 3), marks=pytest.mark.slow)])
def test_on_four_replicas(four_replicas, overflow_on):
    after, _ = trained(four_replicas, plain, overflow_on)
    assert_skipped(after)


@pytest.mark.parametrize("make_model", [with_our_trainer, with_accumulation, with_sharpness])
def test_with_our_trainer(two_replicas, make_model):
    after, _ = trained(two_replicas, make_model, (1,))
    assert_skipped(after)


def test_that_of_keras_destroys_the_weights(two_replicas):
    """When this fails, Keras has mended it: `optimizers.LossScaleOptimizer` may then go."""
    after, _ = trained(two_replicas, plain, (1,), keras.optimizers.LossScaleOptimizer)
    copies, scale, _ = after[1]
    assert scale == SCALE
    assert not np.isfinite(copies[0][0]).all()


def test_mixed_precision_trick_uses_it(two_replicas):
    from keras_tricks import Recipe, data, train, tricks

    recipe = Recipe(model="resnet20", data="digits", image_size=8, replicas=2, tricks=(tricks.MixedPrecision(),))
    assert recipe.problems() == []
    training = train.build(recipe, data.load("digits"))
    assert type(training.model.optimizer) is LossScaleOptimizer
