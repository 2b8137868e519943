"""Each trick of the catalogue in two real steps, and the order in which they take hold."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_tricks import Recipe, tricks
from keras_tricks.data.image_data_set import ArraySplit
from keras_tricks.tricks import TRICKS

STEPS, BATCH = 2, 8


@pytest.fixture(scope="module")
def digits():
    """The first images of the real data set, enough for two small batches."""
    from keras_tricks import data

    whole = data.load("digits")
    split = ArraySplit(whole.train.images[: STEPS * BATCH].numpy(), whole.train.labels[: STEPS * BATCH].numpy())
    return dataclasses.replace(whole, train=split)


def two_steps(recipe, digits):
    from keras_tricks import train

    training = train.build(recipe, digits)
    assert training.facts.steps_per_epoch == STEPS
    # Tracing a graph costs more than two small steps; tests/train trains compiled.
    training.model.run_eagerly = True
    before = training.model.get_weights()
    history = training.model.fit(
        training.training_batches(), epochs=1, steps_per_epoch=STEPS, verbose=0, callbacks=training.callbacks
    )
    return training, before, history.history


def recipe(*tricks_on, **fields):
    defaults = {"model": "resnet20", "image_size": 8, "batch_size": BATCH, "epochs": 1, "tricks": tricks_on}
    return Recipe(**{**defaults, **fields})


@pytest.mark.parametrize("kind", TRICKS.values(), ids=TRICKS)
def test_two_steps_with_each_trick_alone(kind, digits):
    changes = {"warmup": {"epochs": 0.5}, "step_decay": {"epochs": (0.5,)}}
    training, before, history = two_steps(recipe(kind(**changes.get(kind.name, {}))), digits)
    assert np.isfinite(history["loss"][0])
    assert any(not np.array_equal(old, new) for old, new in zip(before, training.model.get_weights(), strict=True))
    assert int(training.model.optimizer.iterations) + skipped_steps(training.model) == STEPS
    assert keras.config.dtype_policy().name == "float32"


def test_all_that_go_together_take_hold_together(digits):
    together = [kind for name, kind in TRICKS.items() if name not in ("step_decay", "warmup")]
    training, _, history = two_steps(recipe(tricks.Warmup(epochs=0.5), *(kind() for kind in together)), digits)
    model = training.model
    assert np.isfinite(history["loss"][0])
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert set(tricks_optimizer(model).no_decay) >= {"bias", "gamma", "beta"}
    assert model.loss.get_config()["label_smoothing"] == 0.1
    assert len(training.plan.batch_transforms) == 2


def skipped_steps(model):
    """How often loss scaling skipped a step: each time it halves the scale."""
    scale = getattr(model.optimizer, "dynamic_scale", None)
    return 0 if scale is None else round(np.log2(model.optimizer.initial_scale / float(scale)))


def tricks_optimizer(model):
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def test_the_order_of_the_recipe_does_not_matter(digits):
    on = (tricks.Warmup(epochs=0.5), tricks.CosineDecay(), tricks.LinearScaling())
    losses = [two_steps(recipe(*order), digits)[2]["loss"][0] for order in (on, on[::-1])]
    assert losses[0] == losses[1]


def test_the_learning_rate_is_scaled_then_decayed_then_warmed_up(digits):
    from keras_tricks import train

    on = (tricks.Warmup(epochs=1), tricks.CosineDecay(), tricks.LinearScaling())
    training = train.build(recipe(*on, epochs=3, learning_rate=0.1 * 256 / BATCH), digits)
    schedule = training.model.optimizer._learning_rate
    values = [float(schedule(step)) for step in range(6)]
    cosine = [0.1 * 0.5 * (1 + np.cos(np.pi * t / 4)) for t in range(4)]
    np.testing.assert_allclose(values, [0.05, 0.1, *cosine], rtol=1e-5)


def test_the_same_seed_gives_the_same_run_and_another_does_not(digits):
    first, again, other = (two_steps(recipe(tricks.Mixup(), seed=seed), digits)[2]["loss"][0] for seed in (1, 1, 2))
    assert first == again
    assert first != other
