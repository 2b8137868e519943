"""What each trick does to the objects of its stages, against the papers' formulas, and at zero strength."""

import re

import keras
import numpy as np
import pytest

from keras_tricks import models, optimizers, tricks
from keras_tricks.trick import RunFacts

pytestmark = pytest.mark.backend


def facts(**changes):
    defaults = {
        "model": "resnet20",
        "classes": 4,
        "image_size": 16,
        "batch_size": 256,
        "replicas": 1,
        "epochs": 12,
        "steps_per_epoch": 10,
    }
    return RunFacts(**{**defaults, **changes})


def rates(learning_rate, steps):
    return np.array([float(keras.ops.convert_to_numpy(learning_rate(step))) for step in steps])


def small_resnet(**arguments):
    return models.ResNet20(input_shape=(16, 16, 3), classes=4, classifier_activation=None, **arguments)


def test_linear_scaling_multiplies_by_the_batch():
    trick = tricks.LinearScaling(base_batch_size=256)
    assert trick.change_learning_rate(0.1, facts(batch_size=1024)) == pytest.approx(0.4)
    assert trick.change_learning_rate(0.1, facts(batch_size=64)) == pytest.approx(0.025)


def test_linear_scaling_at_the_base_batch_changes_nothing():
    assert tricks.LinearScaling().change_learning_rate(0.1, facts()) == 0.1


@pytest.mark.parametrize("warmup_steps", [0, 30])
def test_cosine_decay_is_the_papers_over_the_steps_after_the_warmup(warmup_steps):
    schedule = tricks.CosineDecay().change_learning_rate(0.4, facts(warmup_steps=warmup_steps))
    total = 120 - warmup_steps
    steps = np.arange(total + 1)
    np.testing.assert_allclose(
        rates(schedule, steps), 0.5 * (1 + np.cos(steps * np.pi / total)) * 0.4, rtol=1e-5, atol=1e-7
    )


def test_cosine_decay_keeps_a_final_fraction():
    schedule = tricks.CosineDecay(final_fraction=0.25).change_learning_rate(0.4, facts())
    assert rates(schedule, [120])[0] == pytest.approx(0.1)


@pytest.mark.parametrize(("warmup_steps", "power"), [(0, 0.9), (30, 0.9), (0, 2.0)])
def test_poly_decay_is_the_papers_over_the_steps_after_the_warmup(warmup_steps, power):
    schedule = tricks.PolyDecay(power=power).change_learning_rate(0.4, facts(warmup_steps=warmup_steps))
    total = 120 - warmup_steps
    steps = np.arange(total + 1)
    np.testing.assert_allclose(rates(schedule, steps), 0.4 * (1 - steps / total) ** power, rtol=1e-5, atol=1e-7)


def test_poly_decay_of_a_run_of_warmup_alone_changes_nothing():
    assert tricks.PolyDecay().change_learning_rate(0.4, facts(warmup_steps=120)) == 0.4


@pytest.mark.parametrize("warmup_epochs", [0, 2])
def test_step_decay_drops_at_epochs_of_the_run_with_and_without_warmup(warmup_epochs):
    run = facts(warmup_steps=warmup_epochs * 10)
    schedule = tricks.StepDecay(epochs=(3, 6.5), factor=0.1).change_learning_rate(0.5, run)
    schedule = tricks.Warmup(epochs=warmup_epochs).change_learning_rate(schedule, run)
    steps = np.arange(20, 120)
    expected = np.where(steps < 30, 0.5, np.where(steps < 65, 0.05, 0.005))
    np.testing.assert_allclose(rates(schedule, steps), expected, rtol=1e-6)


def test_gradual_warmup_is_linear_in_steps_and_meets_the_cosine():
    run = facts(warmup_steps=30)
    schedule = tricks.CosineDecay().change_learning_rate(0.4, run)
    schedule = tricks.Warmup(epochs=3).change_learning_rate(schedule, run)
    np.testing.assert_allclose(rates(schedule, range(30)), 0.4 * np.arange(1, 31) / 30, rtol=1e-5)
    steps = np.arange(30, 121)
    expected = 0.2 * (1 + np.cos((steps - 30) * np.pi / 90))
    np.testing.assert_allclose(rates(schedule, steps), expected, rtol=1e-5, atol=1e-7)


def test_constant_warmup_keeps_a_fraction():
    trick = tricks.Warmup(kind="constant", constant_fraction=0.2)
    schedule = trick.change_learning_rate(0.5, facts(warmup_steps=10))
    np.testing.assert_allclose(rates(schedule, range(20)), [0.1] * 10 + [0.5] * 10, rtol=1e-6)


def test_no_warmup_changes_nothing():
    run = facts(warmup_steps=0)
    schedule = tricks.CosineDecay().change_learning_rate(0.4, run)
    warmed = tricks.Warmup(epochs=0).change_learning_rate(schedule, run)
    np.testing.assert_allclose(rates(warmed, range(120)), rates(schedule, range(120)))


def test_zero_gamma_makes_each_block_its_shortcut():
    arguments = tricks.ZeroGamma().change_model({"variant": "D"}, facts())
    assert arguments == {"variant": "D", "zero_gamma": True}
    without, with_trick = small_resnet(variant="D"), small_resnet(**arguments)

    def gammas(model):
        return [np.asarray(weight) for weight in model.trainable_weights if weight.path.endswith("gamma")]

    assert all(np.all(gamma == 1) for gamma in gammas(without))
    assert sum(np.all(gamma == 0) for gamma in gammas(with_trick)) == 9, "one of each of the 9 residual branches"
    assert sum(np.all(gamma == 1) for gamma in gammas(with_trick)) == len(gammas(without)) - 9


def step_without_gradient(optimizer, model):
    """Return the names of the variables that decay alone moves, and by which factor."""
    before = [np.asarray(weight) for weight in model.trainable_weights]
    optimizer.build(model.trainable_variables)
    gradients = [keras.ops.zeros(weight.shape) for weight in model.trainable_variables]
    if keras.backend.backend() == "jax":
        values = [weight.value for weight in model.trainable_variables]
        after, _ = optimizer.stateless_apply([v.value for v in optimizer.variables], gradients, values)
    else:
        optimizer.apply(gradients, model.trainable_variables)
        after = [np.asarray(keras.ops.convert_to_numpy(weight)) for weight in model.trainable_variables]
    return {
        weight.path: float(np.asarray(new).ravel()[0] / old.ravel()[0])
        for weight, old, new in zip(model.trainable_weights, before, after, strict=True)
        if old.any() and not np.array_equal(old, np.asarray(new))
    }


def test_no_bias_decay_leaves_all_but_kernels_alone():
    model = small_resnet(variant="D")
    for weight in model.trainable_weights:
        if not weight.path.endswith("kernel"):
            weight.assign(np.full(weight.shape, 0.5))
    plain = optimizers.SGD(0.1, momentum=0.0, nesterov=False, weight_decay=0.01)
    everything = {weight.path for weight in model.trainable_weights}
    kernels = {path for path in everything if path.endswith("kernel")}
    changed = tricks.NoBiasDecay().change_optimizer(plain, facts())
    moved = step_without_gradient(changed, model)
    assert moved.keys() == kernels
    np.testing.assert_allclose(list(moved.values()), 1 - 0.1 * 0.01, rtol=1e-4)
    assert step_without_gradient(plain, small := small_resnet(variant="D")).keys() > {
        weight.path for weight in small.trainable_weights if weight.path.endswith("kernel")
    }


def test_no_bias_decay_without_decay_changes_nothing():
    optimizer = optimizers.SGD(0.1, weight_decay=0.0)
    assert not step_without_gradient(tricks.NoBiasDecay().change_optimizer(optimizer, facts()), small_resnet())


NETWORKS = {
    "resnet": (small_resnet, "predictions/"),
    "nfnet": (lambda: models.NFNetTiny(input_shape=(16, 16, 3), classes=4), "predictions/"),
    "mobilenet": (lambda: models.MobileNet(input_shape=(32, 32, 3), classes=4), "predictions/"),
    "inception": (lambda: models.InceptionV3(input_shape=(75, 75, 3), classes=4), "predictions/"),
    "fcn": (lambda: models.FCN(small_backbone("resnet20"), classes=4), r"(auxiliary_)?(head_|predictions)"),
    "deeplab": (lambda: models.DeepLabV3Plus(small_backbone("nf_resnet20"), classes=4), r"(?!stem_|stage)"),
}


def small_backbone(name):
    return models.backbone(name, input_shape=(16, 16, 3))


@pytest.mark.parametrize(
    "network",
    [
        "resnet",
        *(pytest.param(name, marks=pytest.mark.backend_slow) for name in ("deeplab", "nfnet", "mobilenet", "fcn")),
        pytest.param("inception", marks=pytest.mark.slow),
    ],
)
def test_head_learning_rate_moves_what_is_not_the_backbones_further(network):
    build, head = NETWORKS[network]
    model = build()
    for weight in model.trainable_weights:
        weight.assign(np.full(weight.shape, 0.5))
    plain = optimizers.SGD(0.1, momentum=0.0, nesterov=False, weight_decay=0.01)
    moved = step_without_gradient(tricks.HeadLearningRate(multiplier=20.0).change_optimizer(plain, facts()), model)
    assert moved.keys() == {weight.path for weight in model.trainable_weights}
    of_head = {path for path in moved if re.match(head, path)}
    assert of_head and of_head != moved.keys()
    for path, factor in moved.items():
        assert factor == pytest.approx(1 - 0.1 * 0.01 * (20 if path in of_head else 1), abs=1e-6), path


def test_head_learning_rate_of_the_same_rate_changes_nothing():
    plain = optimizers.SGD(0.1, weight_decay=0.01)
    changed = tricks.HeadLearningRate(multiplier=1.0).change_optimizer(plain, facts())
    moved = step_without_gradient(changed, small_resnet())
    assert moved == pytest.approx(step_without_gradient(plain, small_resnet()), abs=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_mixed_precision_computes_in_16_bits_and_keeps_weights_and_logits_in_32(dtype):
    before = keras.config.dtype_policy()
    try:
        policy = tricks.MixedPrecision(dtype=dtype).change_precision("float32", facts())
        keras.config.set_dtype_policy(policy)
        model = small_resnet()
    finally:
        keras.config.set_dtype_policy(before)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert {layer.compute_dtype for layer in convolutions} == {dtype}
    assert {keras.backend.standardize_dtype(weight.dtype) for weight in model.weights} == {"float32"}
    assert keras.backend.standardize_dtype(model.output.dtype) == "float32"
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32")
    full = small_resnet()
    full.set_weights(model.get_weights())
    np.testing.assert_allclose(model.predict(images, verbose=0), full.predict(images, verbose=0), atol=0.05)
    assert not np.array_equal(model.predict(images, verbose=0), full.predict(images, verbose=0))


@pytest.mark.parametrize("variant", ["B", "C", "D"])
def test_resnet_variant_is_the_builders_argument(variant):
    arguments = tricks.ResnetVariant(variant=variant).change_model({"variant": "A", "classes": 3}, facts())
    assert arguments == {"variant": variant, "classes": 3}


def probabilities(rng, shape):
    values = rng.random(shape)
    return (values / values.sum(axis=-1, keepdims=True)).astype("float32")


def smoothed_loss(labels, logits, epsilon):
    """Section 5.2 of the paper: cross-entropy with q = (1 - epsilon) * label + epsilon / K."""
    q = (1 - epsilon) * labels + epsilon / labels.shape[-1]
    log_softmax = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return -(q * log_softmax).sum(axis=-1).mean()


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("mixed", [False, True])
def test_label_smoothing_is_the_papers_also_on_mixed_labels(epsilon, mixed):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6, 5)).astype("float32")
    labels = np.eye(5, dtype="float32")[rng.integers(0, 5, 6)]
    if mixed:
        labels = 0.3 * labels + 0.7 * labels[::-1]
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    changed = tricks.LabelSmoothing(epsilon=epsilon).change_loss(loss, facts())
    ours = float(keras.ops.convert_to_numpy(changed(labels, logits)))
    assert ours == pytest.approx(smoothed_loss(labels, logits, epsilon), rel=1e-5)
    plain = float(keras.ops.convert_to_numpy(loss(labels, logits)))
    assert plain == pytest.approx(smoothed_loss(labels, logits, 0.0), rel=1e-5), "the first loss is left as it was"
