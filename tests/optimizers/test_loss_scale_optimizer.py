import keras
import numpy as np
import pytest

from keras_tricks.optimizers import SGD, AdaptiveGradientClipping, LossScaleOptimizer

pytestmark = pytest.mark.backend

STATE = ("dynamic_scale", "step_counter", "skipped_steps", "skips_in_a_row", "first_bad_gradient")


def state(optimizer):
    return tuple(float(keras.ops.convert_to_numpy(getattr(optimizer, name))) for name in STATE)


def numbers(variables):
    return [np.array(keras.ops.convert_to_numpy(each)) for each in variables]


def variables():
    return [keras.Variable(np.array([1.0, -2.0], "float32"), name="w"), keras.Variable(np.float32(0.5), name="b")]


def gradients(scale, first=(0.5, 0.25), second=1.0):
    return [
        keras.ops.convert_to_tensor(np.array(first, "float32") * scale),
        keras.ops.convert_to_tensor(np.float32(second * scale)),
    ]


def test_it_steps_as_the_inner_optimizer_does_on_unscaled_gradients():
    ours, plain = variables(), variables()
    scaled, inner = LossScaleOptimizer(SGD(0.1), initial_scale=8.0), SGD(0.1)
    for _ in range(3):
        scaled.apply(gradients(8.0), ours)
        inner.apply(gradients(1.0), plain)
    for one, other in zip(numbers(ours), numbers(plain), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7)
    assert state(scaled) == (8.0, 3.0, 0.0, 0.0, 0.0)
    assert int(scaled.iterations) == 3
    assert float(scaled.scale_loss(keras.ops.convert_to_tensor(2.0))) == 16.0


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_an_overflow_changes_nothing_but_the_scale(value):
    ours = variables()
    optimizer = LossScaleOptimizer(SGD(0.1), initial_scale=8.0)
    optimizer.apply(gradients(8.0), ours)
    before = numbers([*ours, *optimizer.inner_optimizer.variables])
    optimizer.apply(gradients(8.0, second=value), ours)
    for one, other in zip(before, numbers([*ours, *optimizer.inner_optimizer.variables]), strict=True):
        np.testing.assert_array_equal(one, other)
    assert state(optimizer) == (4.0, 0.0, 1.0, 1.0, 1.0)
    optimizer.apply(gradients(4.0, first=(value, 0.0)), ours)
    assert state(optimizer) == (2.0, 0.0, 2.0, 2.0, 0.0)
    optimizer.apply(gradients(2.0), ours)
    assert state(optimizer) == (2.0, 1.0, 2.0, 0.0, 0.0)
    assert int(optimizer.iterations) == 2


def test_finite_steps_double_the_scale():
    ours = variables()
    optimizer = LossScaleOptimizer(SGD(0.1), initial_scale=2.0, dynamic_growth_steps=2)
    scales = []
    for _ in range(5):
        optimizer.apply(gradients(1.0), ours)
        scales.append(state(optimizer)[0])
    assert scales == [2.0, 4.0, 4.0, 8.0, 8.0]


def test_the_scale_never_becomes_zero():
    ours = variables()
    optimizer = LossScaleOptimizer(SGD(0.1), initial_scale=2.0**-23)
    for _ in range(3):
        optimizer.apply(gradients(np.inf), ours)
    assert state(optimizer)[0] == 2.0**-24


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="TensorFlow has no stateless_apply")
def test_stateless_equals_stateful():
    one, other = variables(), variables()
    stateful, stateless = (LossScaleOptimizer(SGD(0.1), 8.0, dynamic_growth_steps=2) for _ in range(2))
    stateful.build(one)
    stateless.build(other)
    values, own = numbers(other), numbers(stateless.variables)
    for scale, second in ((8.0, 1.0), (8.0, np.inf), (4.0, 2.0), (4.0, 1.0), (8.0, 1.0)):
        stateful.apply(gradients(scale, second=second), one)
        values, own = stateless.stateless_apply(own, gradients(scale, second=second), values)
    for ours, theirs in zip(numbers([*one, *stateful.variables]), [*values, *own], strict=True):
        np.testing.assert_allclose(ours, keras.ops.convert_to_numpy(theirs), rtol=1e-6)


def test_in_fit_it_replaces_that_of_keras():
    keras.config.set_dtype_policy("mixed_float16")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1, dtype="float32")])
    optimizer = LossScaleOptimizer(AdaptiveGradientClipping(SGD(0.01), no_clipping=()), initial_scale=2.0**20)
    model.compile(optimizer, "mse")
    assert model.optimizer is optimizer
    generator = np.random.default_rng(0)
    x = generator.normal(size=(64, 3)).astype("float32")
    before = numbers(model.weights)
    model.fit(x, x.sum(1, keepdims=True), batch_size=8, epochs=3, verbose=0)
    scale, _, skipped, in_a_row, _ = state(optimizer)
    assert 0 < skipped < 20
    assert scale == 2.0 ** (20 - skipped)
    assert in_a_row == 0
    assert int(optimizer.iterations) == 24 - skipped
    assert all(np.isfinite(each).all() for each in numbers(model.weights))
    assert any((one != other).any() for one, other in zip(before, numbers(model.weights), strict=True))


def test_it_survives_saving(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(LossScaleOptimizer(SGD(0.1), initial_scale=4.0, dynamic_growth_steps=2), "mse")
    model.fit(np.ones((6, 3), "float32"), np.ones((6, 1), "float32"), batch_size=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert isinstance(loaded, LossScaleOptimizer)
    assert state(loaded) == state(model.optimizer) == (8.0, 1.0, 0.0, 0.0, 0.0)
    assert loaded.get_config()["dynamic_growth_steps"] == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"inner_optimizer": "sgd"}, "inner_optimizer='sgd'"),
        ({"initial_scale": 0}, "initial_scale=0"),
        ({"initial_scale": np.inf}, "initial_scale=inf"),
        ({"dynamic_growth_steps": 0}, "dynamic_growth_steps=0"),
        ({"dynamic_growth_steps": 1.5}, "dynamic_growth_steps=1.5"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        LossScaleOptimizer(**{"inner_optimizer": SGD(0.1), **arguments})


def test_float16_variables_are_unscaled_in_float32():
    variable = keras.Variable(np.float16(1.0), dtype="float16", name="w")
    optimizer = LossScaleOptimizer(SGD(1.0, momentum=0.0, nesterov=False), initial_scale=2.0**17)
    optimizer.apply([keras.ops.convert_to_tensor(np.float16(60000))], [variable])
    assert float(keras.ops.convert_to_numpy(variable)) == pytest.approx(1 - 60000 / 2**17, abs=1e-3)


def test_scaling_twice_is_refused():
    with pytest.raises(ValueError, match="does not scale the loss itself"):
        LossScaleOptimizer(LossScaleOptimizer(SGD(0.1)))
