"""Each trick of the catalogue in two real steps, and the order in which they take hold."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_tricks import Recipe, optimizers, tricks
from keras_tricks.data.image_data_set import ArraySplit
from keras_tricks.model_facts import model_facts
from keras_tricks.tricks import TRICKS

STEPS, BATCH = 2, 8
OF_CLASSIFIERS = {name: kind for name, kind in TRICKS.items() if "classification" in kind.tasks}


@pytest.fixture(scope="module")
def digits():
    """The first images of the real data set, enough for two small batches."""
    from keras_tricks import data

    whole = data.load("digits")
    split = ArraySplit(whole.train.images[: STEPS * BATCH].numpy(), whole.train.labels[: STEPS * BATCH].numpy())
    return dataclasses.replace(whole, train=split)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A network that knows the digits' classes."""
    from keras_tricks import data, models, saved_model

    model = models.ResNet20(input_shape=(8, 8, 3), classifier_activation=None)
    path = tmp_path_factory.mktemp("teacher") / "teacher.keras"
    saved_model.save(
        saved_model.SavedModel(model, tuple("0123456789"), data.SmallImagePreprocessing(image_size=8)), path
    )
    return str(path)


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


@pytest.mark.slow
@pytest.mark.parametrize("kind", OF_CLASSIFIERS.values(), ids=OF_CLASSIFIERS)
def test_two_steps_with_each_trick_alone(kind, digits, teacher):
    changes = {
        "distillation": {"teacher": teacher},
        "checkpoint_averaging": {"epochs": 1},
        "progressive_resizing": {"initial_size": 8},
        "warmup": {"epochs": 0.5},
        "step_decay": {"epochs": (0.5,)},
        "stochastic_depth": {"rate": 0.5},
        "head_dropout": {"rate": 0.5},
        "rand_augment": {"magnitude": 5},
        "test_resolution": {"image_size": 16},
    }
    model = "resnet20" if kind.needs <= model_facts("resnet20").features else "nfnet_tiny"
    training, before, history = two_steps(recipe(kind(**changes.get(kind.name, {})), model=model), digits)
    assert np.isfinite(history["loss"][0])
    assert any(not np.array_equal(old, new) for old, new in zip(before, training.model.get_weights(), strict=True))
    assert int(training.model.optimizer.iterations) + skipped_steps(training.model) == STEPS
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("model", ["resnet20", pytest.param("nfnet_tiny", marks=pytest.mark.slow)])
def test_all_that_go_together_take_hold_together(model, digits, teacher):
    changed = {
        "distillation": tricks.Distillation(teacher=teacher),
        "progressive_resizing": tricks.ProgressiveResizing(initial_size=8),
        "warmup": tricks.Warmup(epochs=0.5),
        "stochastic_depth": tricks.StochasticDepth(rate=0.5),
        "head_dropout": tricks.HeadDropout(rate=0.5),
        "rand_augment": tricks.RandAugment(magnitude=5),
        "test_resolution": tricks.TestResolution(image_size=16),
    }
    known = model_facts(model).features | TRICKS.keys()
    together = [
        changed.get(name) or kind()
        for name, kind in OF_CLASSIFIERS.items()
        if name not in ("step_decay", "poly_decay", "checkpoint_averaging") and kind.needs <= known
    ]
    training, _, history = two_steps(recipe(*together, model=model), digits)
    model = training.model
    assert np.isfinite(history["loss"][0])
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    global_clipping = model.optimizer.inner_optimizer
    assert isinstance(global_clipping, optimizers.GradientClipping)
    clipping = global_clipping.inner_optimizer
    assert isinstance(clipping, optimizers.AdaptiveGradientClipping)
    assert set(clipping.inner_optimizer.no_decay) >= {"bias", "gamma", "beta", "gain", "skip_gain"}
    assert model.loss.get_config()["label_smoothing"] == 0.1
    assert len(training.plan.batch_transforms) == 2
    assert training.averaging is not None
    [(images, _)] = training.validation_batches().take(1)
    assert images.shape[1:3] == (16, 16)
    assert np.isfinite(model.predict_on_batch(images)).all()


def skipped_steps(model):
    """How often loss scaling skipped a step: each time it halves the scale."""
    scale = getattr(model.optimizer, "dynamic_scale", None)
    return 0 if scale is None else round(np.log2(model.optimizer.initial_scale / float(scale)))


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
