import contextlib
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_tricks.optimizers import NO_BIAS_DECAY, SGD
from keras_tricks.schedules import StepDecay, Warmup

pytestmark = pytest.mark.backend

FIXTURE = Path(__file__).parents[1] / "parity" / "fixtures" / "sgd.npz"
CASES = {
    "nesterov_decay": {"weight_decay": 5e-2},
    "nesterov": {},
    "heavy_ball_decay": {"nesterov": False, "weight_decay": 5e-2},
    "heavy_ball": {"nesterov": False},
    "plain_decay": {"momentum": 0.0, "nesterov": False, "weight_decay": 5e-2},
    "no_bias_decay": {"weight_decay": 5e-2, "no_decay": NO_BIAS_DECAY},
}


def variable(value, path="w", dtype="float32"):
    *scopes, name = path.split("/")
    with contextlib.ExitStack() as stack:
        for scope in scopes:
            stack.enter_context(keras.name_scope(scope, deduplicate=False))
        return keras.Variable(np.asarray(value, dtype="float32"), name=name, dtype=dtype)


def values(variables):
    return [ops.convert_to_numpy(ops.cast(ops.convert_to_tensor(each), "float32")) for each in variables]


def gradient_of(value, dtype="float32"):
    return ops.convert_to_tensor(np.asarray(value, dtype="float32"), dtype=dtype)


def small_model():
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(4, activation="relu", name="hidden")(inputs)
    hidden = keras.layers.BatchNormalization(name="norm")(hidden)
    return keras.Model(inputs, keras.layers.Dense(2, name="fc")(hidden))


def small_data(count=16):
    generator = np.random.default_rng(0)
    return generator.normal(size=(count, 3)).astype("float32"), generator.normal(size=(count, 2)).astype("float32")


def decaying_paths(optimizer, variables):
    """The paths that one step with zero gradients changes."""
    before = values(variables)
    optimizer.apply([ops.zeros(each.shape) for each in variables], variables)
    return {
        each.path
        for each, old, new in zip(variables, before, values(variables), strict=True)
        if not np.array_equal(old, new)
    }


@pytest.mark.parametrize(
    ("case", "rate_from"),
    [*((case, "variable") for case in CASES), ("nesterov_decay", "schedule")],
)
def test_equals_torch_sgd_over_a_run_with_changing_rate(case, rate_from):
    with np.load(FIXTURE) as stored:
        fixture = dict(stored)
    names = [key.partition(":")[2] for key in fixture if key.startswith("initial:")]
    weights = [variable(fixture[f"initial:{name}"], name) for name in names]
    schedule = Warmup(StepDecay(0.2, [30, 50]), 10) if rate_from == "schedule" else 1.0
    optimizer = SGD(schedule, **CASES[case])
    rows = []
    for step, rate in enumerate(fixture["learning_rates"]):
        if rate_from == "variable":
            optimizer.learning_rate = float(rate)
        gradients = [
            gradient_of(fixture[f"noise:{name}"][step] + fixture["curvature"] * value)
            for name, value in zip(names, values(weights), strict=True)
        ]
        optimizer.apply(gradients, weights)
        if (step + 1) % fixture["stride"] == 0:
            rows.append(np.concatenate([value.ravel() for value in values(weights)]))
    assert len(rows) * fixture["stride"] >= 50
    np.testing.assert_allclose(np.stack(rows), fixture[f"weights:{case}"], rtol=0, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    momentum=st.floats(0.01, 0.99),
    nesterov=st.booleans(),
    weight_decay=st.floats(0, 0.5),
    rates=st.lists(st.floats(0, 0.5), min_size=1, max_size=5),
    seed=st.integers(0, 2**16),
)
def test_follows_the_formula(momentum, nesterov, weight_decay, rates, seed):
    generator = np.random.default_rng(seed)
    expected, buffer = generator.normal(size=3), np.zeros(3)
    weight = variable(expected)
    optimizer = SGD(1.0, momentum, nesterov, weight_decay)
    for rate in rates:
        gradient = generator.normal(size=3)
        optimizer.learning_rate = rate
        optimizer.apply([gradient_of(gradient)], [weight])
        gradient = gradient + weight_decay * expected
        buffer = momentum * buffer + gradient
        expected = expected - rate * (gradient + momentum * buffer if nesterov else buffer)
    np.testing.assert_allclose(values([weight])[0], expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(start=st.floats(-2, 2, width=32, allow_subnormal=False), rate=st.floats(0, 1))
def test_zero_strength_changes_nothing(start, rate):
    """Without a gradient and without decay a weight stays; with rate 0 it stays always."""
    still, frozen = variable([start]), variable([start])
    SGD(rate).apply([ops.zeros(1)], [still])
    SGD(0.0, weight_decay=0.1).apply([ops.ones(1)], [frozen])
    assert values([still]) == values([frozen]) == [np.float32(start)]


def test_momentum_forgets_the_old_rate_at_a_drop():
    """Keras's SGD keeps the large rate in its buffer; here the whole update is divided by ten."""
    weight, keras_weight = variable([0.0]), variable([0.0])
    ours = SGD(1.0, nesterov=False)
    theirs = keras.optimizers.SGD(1.0, momentum=0.9)
    before = {}
    for step in range(15):
        if step == 10:
            ours.learning_rate = theirs.learning_rate = 0.1
            before = {"ours": values([weight])[0], "theirs": values([keras_weight])[0]}
        ours.apply([ops.ones(1)], [weight])
        theirs.apply([ops.ones(1)], [keras_weight])
    moved = values([weight])[0] - before["ours"]
    buffers = 10 * (1 - 0.9 ** np.arange(11, 16))
    np.testing.assert_allclose(moved, [-0.1 * buffers.sum()], rtol=1e-5)
    assert values([keras_weight])[0] - before["theirs"] < 4 * moved


def test_zero_momentum_keeps_no_buffer():
    optimizer = SGD(0.5, momentum=0, nesterov=False)
    weight = variable([1.0])
    optimizer.apply([ops.ones(1)], [weight])
    assert optimizer.momentum_buffers == [] and len(optimizer.variables) == 2
    np.testing.assert_allclose(values([weight])[0], [0.5])


def test_keras_decoupled_decay_stays_off():
    optimizer = SGD(0.1, weight_decay=0.1)
    assert optimizer.weight_decay is None
    assert optimizer.coupled_weight_decay == 0.1
    weight = variable([1.0])
    optimizer.apply([ops.zeros(1)], [weight])
    np.testing.assert_allclose(values([weight])[0], [1 - 0.1 * 0.1 * 1.9], rtol=1e-6)


@pytest.mark.parametrize("nesterov", [True, False])
def test_rate_multiplier_is_the_formula_with_another_rate(nesterov):
    generator = np.random.default_rng(4)
    weights = [variable(generator.normal(size=3), path) for path in ("stage1_conv/kernel", "head/fc/kernel", "bias")]
    expected, buffers = np.array(values(weights)), np.zeros((3, 3))
    rates = np.array([[1.0], [10.0], [0.5]])
    settings_of = {"momentum": 0.8, "nesterov": nesterov, "weight_decay": 0.1, "no_decay": ("bias",)}
    optimizer = SGD(1.0, **settings_of, rate_multipliers={"stage*_*": 1, "head": 10.0, "head/*": 3.0, "*": 0.5})
    for rate in (0.01, 0.03, 0.02):
        gradients = generator.normal(size=(3, 3))
        optimizer.learning_rate = rate
        optimizer.apply([gradient_of(each) for each in gradients], weights)
        gradients = gradients + 0.1 * expected * [[1], [1], [0]]
        buffers = 0.8 * buffers + gradients
        expected = expected - rate * rates * (gradients + 0.8 * buffers if nesterov else buffers)
    np.testing.assert_allclose(values(weights), expected, rtol=1e-5, atol=1e-6)


def test_rate_multipliers_equal_two_optimizers_and_those_of_one_change_nothing():
    images, targets = small_data()
    whole = {"weight_decay": 0.05, "no_decay": NO_BIAS_DECAY}
    schedule = Warmup(StepDecay(0.02, [4]), 2)
    trained = []
    for multipliers in ({"norm": 1.0, "fc": 10.0}, {"*": 1.0}, {}):
        keras.utils.set_random_seed(1)
        model = small_model()
        model.compile(SGD(schedule, **whole, rate_multipliers=multipliers), loss="mse")
        model.fit(images, targets, batch_size=4, epochs=2, shuffle=False, verbose=0)
        trained.append(values(model.weights))
    for one, none in zip(*trained[1:], strict=True):
        np.testing.assert_array_equal(one, none)

    keras.utils.set_random_seed(1)
    model = small_model()
    body, head = (SGD(Warmup(StepDecay(rate, [4]), 2), **whole) for rate in (0.02, 0.2))
    both = keras.optimizers.MultiOptimizer(lambda variable: head if "fc" in variable.path else body)
    model.compile(both, loss="mse")
    model.fit(images, targets, batch_size=4, epochs=2, shuffle=False, verbose=0)
    for ours, theirs in zip(trained[0], values(model.weights), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("no_decay", "expected"),
    [
        ((), {"hidden/kernel", "hidden/bias", "norm/gamma", "norm/beta", "fc/kernel", "fc/bias"}),
        (NO_BIAS_DECAY, {"hidden/kernel", "fc/kernel"}),
        (
            ("fc/kernel", "beta"),
            {"hidden/kernel", "hidden/bias", "norm/gamma", "fc/bias"},
        ),
        (("/fc/kernel", "bias"), {"hidden/kernel", "norm/gamma", "norm/beta"}),
    ],
)
def test_no_decay_names_variables_by_path(no_decay, expected):
    model = small_model()
    for each in model.trainable_variables:
        each.assign(ops.ones(each.shape))
    optimizer = SGD(0.1, weight_decay=0.1, no_decay=no_decay)
    assert decaying_paths(optimizer, model.trainable_variables) == expected


def test_exclude_takes_variables_and_paths():
    model = small_model()
    for each in model.trainable_variables:
        each.assign(ops.ones(each.shape))
    optimizer = SGD(0.1, weight_decay=0.1, no_decay=("bias",))
    frozen = model.get_layer("norm").moving_mean
    optimizer.exclude_from_weight_decay(var_list=[model.get_layer("hidden").kernel, frozen])
    optimizer.exclude_from_weight_decay(var_names=["norm/gamma"])
    assert decaying_paths(optimizer, model.trainable_variables) == {"norm/beta", "fc/kernel"}
    assert set(optimizer.get_config()["no_decay"]) == {"bias", "norm/gamma", "hidden/kernel"}


def test_excluded_variable_is_in_the_config_before_the_build():
    weight = variable([1.0], "fc/scale")
    optimizer = SGD(0.1, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_list=[weight])
    copy = SGD.from_config(optimizer.get_config())
    assert decaying_paths(copy, [weight]) == set()


def test_excluding_one_of_two_variables_with_equal_endings():
    inner, outer = variable([1.0], "sub/fc/kernel"), variable([1.0], "fc/kernel")
    optimizer = SGD(0.1, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_list=[outer])
    assert decaying_paths(optimizer, [inner, outer]) == {"sub/fc/kernel"}
    assert optimizer.get_config()["no_decay"] == ["/fc/kernel"]


def test_exclude_after_the_build_is_refused():
    optimizer = SGD(0.1, weight_decay=0.1)
    optimizer.build([variable([1.0])])
    with pytest.raises(ValueError, match="before the optimizer is built"):
        optimizer.exclude_from_weight_decay(var_names=["bias"])


def test_config_round_trip():
    optimizer = SGD(
        Warmup(keras.optimizers.schedules.CosineDecay(0.4, 90), 10),
        momentum=0.8,
        nesterov=False,
        weight_decay=1e-4,
        no_decay=NO_BIAS_DECAY,
        rate_multipliers={"head_*/kernel": 10, "*": 0.5},
        name="papers_sgd",
        global_clipnorm=2.0,
        use_ema=True,
        ema_momentum=0.5,
    )
    config = optimizer.get_config()
    assert config["weight_decay"] == 1e-4
    for copy in (
        SGD.from_config(optimizer.get_config()),
        keras.optimizers.deserialize(keras.optimizers.serialize(optimizer)),
    ):
        assert type(copy) is type(optimizer)
        assert copy.get_config() == config


@pytest.mark.parametrize("sequential", [False, True])
def test_saved_model_goes_on_exactly(tmp_path, sequential):
    model = small_model()
    if sequential:
        model = keras.Sequential([keras.Input((3,)), *model.layers[1:]])
    optimizer = SGD(Warmup(StepDecay(0.1, [4]), 3), weight_decay=1e-2, no_decay=("beta",))
    optimizer.exclude_from_weight_decay(var_list=[model.layers[-1].kernel, model.get_layer("norm").gamma])
    model.compile(optimizer, loss="mse")
    images, targets = small_data()
    model.fit(images, targets, batch_size=8, epochs=2, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    assert copy.optimizer.get_config() == optimizer.get_config()
    assert set(optimizer.no_decay) == {"beta", "fc/kernel", "norm/gamma"}
    for each in (model, copy):
        each.fit(images, targets, batch_size=8, epochs=2, shuffle=False, verbose=0)
    assert int(ops.convert_to_numpy(copy.optimizer.iterations)) == 8
    for ours, theirs in zip(model.weights, copy.weights, strict=True):
        np.testing.assert_array_equal(values([ours])[0], values([theirs])[0])


@pytest.mark.parametrize("number", [1, np.float32(0.5), np.float64(0.25), np.int64(1)])
def test_any_real_number_is_a_learning_rate(number):
    np.testing.assert_allclose(ops.convert_to_numpy(SGD(number).learning_rate), float(number), rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        ({"learning_rate": -0.1}, "learning_rate=-0.1"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
        ({"learning_rate": "fast"}, "learning_rate=fast"),
        ({"momentum": 1.0}, "momentum=1.0"),
        ({"momentum": -0.1}, "momentum=-0.1"),
        ({"momentum": "0.9"}, "momentum=0.9"),
        ({"momentum": 0}, "momentum=0"),
        ({"nesterov": "no"}, "nesterov=no"),
        ({"weight_decay": -1e-4}, "weight_decay=-0.0001"),
        ({"weight_decay": None}, "weight_decay=None"),
        ({"no_decay": "bias"}, "no_decay='bias'"),
        ({"no_decay": ("fc//kernel",)}, "no_decay="),
        ({"rate_multipliers": {"fc//kernel": 2.0}}, "rate_multipliers="),
        ({"rate_multipliers": {"fc": 0}}, "rate_multipliers="),
        ({"rate_multipliers": {"fc": True}}, "rate_multipliers="),
        ({"rate_multipliers": ("fc", 2.0)}, "rate_multipliers="),
        ({"dampening": 0.1}, "dampening"),
        ({"clipnorm": 1.0, "clipvalue": 1.0}, "clipnorm=1.0"),
    ],
)
def test_bad_arguments_are_refused(arguments, received):
    with pytest.raises(ValueError, match=received):
        SGD(**arguments)


def test_clipping_of_the_base_class_acts_before_the_decay():
    weight = variable([1.0])
    optimizer = SGD(1.0, momentum=0, nesterov=False, weight_decay=0.5, clipvalue=0.1)
    optimizer.apply([gradient_of([10.0])], [weight])
    np.testing.assert_allclose(values([weight])[0], [1 - (0.1 + 0.5)], rtol=1e-6)


def test_average_and_fixed_loss_scale_of_the_base_class_work():
    weight = variable([1.0])
    optimizer = SGD(
        0.1,
        momentum=0,
        nesterov=False,
        use_ema=True,
        ema_momentum=0.5,
        loss_scale_factor=8.0,
    )
    path = [1.0]
    for _ in range(3):
        optimizer.apply([gradient_of([8.0])], [weight])
        path.append(path[-1] - 0.1)
    np.testing.assert_allclose(values([weight])[0], path[-1], rtol=1e-6)
    optimizer.finalize_variable_values([weight])
    average = 0.5 * (0.5 * path[1] + 0.5 * path[2]) + 0.5 * path[3]
    np.testing.assert_allclose(values([weight])[0], average, rtol=1e-6)


def test_accumulated_gradients_decay_once_per_update():
    weight = variable([1.0])
    optimizer = SGD(0.1, momentum=0, nesterov=False, weight_decay=0.5, gradient_accumulation_steps=2)
    optimizer.apply([gradient_of([1.0])], [weight])
    np.testing.assert_allclose(values([weight])[0], [1.0])
    optimizer.apply([gradient_of([3.0])], [weight])
    np.testing.assert_allclose(values([weight])[0], [1 - 0.1 * (2 + 0.5)], rtol=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 1e-3), ("bfloat16", 8e-3)])
def test_half_precision_variables_follow_float32(dtype, tolerance):
    generator = np.random.default_rng(3)
    start = generator.uniform(0.5, 1, 6)
    half, full = variable(start, dtype=dtype), variable(start)
    optimizers = [SGD(0.05, weight_decay=0.1) for _ in range(2)]
    for _ in range(8):
        gradient = generator.normal(0, 0.3, 6)
        optimizers[0].apply([gradient_of(gradient, dtype)], [half])
        optimizers[1].apply([gradient_of(gradient)], [full])
    buffer = optimizers[0].momentum_buffers[0]
    assert keras.backend.standardize_dtype(half.dtype) == dtype
    assert keras.backend.standardize_dtype(buffer.dtype) == dtype
    np.testing.assert_allclose(*values([half, full]), atol=3 * tolerance)


def test_loss_scale_optimizer_wraps_it():
    images, targets = small_data()
    trained = []
    for wrap in (lambda optimizer: optimizer, keras.optimizers.LossScaleOptimizer):
        keras.utils.set_random_seed(1)
        model = small_model()
        model.compile(wrap(SGD(0.1, weight_decay=0.1, no_decay=NO_BIAS_DECAY)), loss="mse")
        model.fit(images, targets, batch_size=4, shuffle=False, verbose=0)
        trained.append(values(model.trainable_variables))
    for plain, scaled in zip(*trained, strict=True):
        np.testing.assert_allclose(scaled, plain, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="Keras has no stateless_apply on TensorFlow")
def test_stateless_apply_equals_apply():
    weights = [variable([1.0, 2.0]), variable([[3.0]], "bias")]
    copies = [variable([1.0, 2.0]), variable([[3.0]], "bias")]
    stateless, stateful = (SGD(Warmup(0.1, 3), weight_decay=0.1, no_decay=("bias",)) for _ in range(2))
    stateless.build(weights)
    step = stateless.stateless_apply
    if keras.backend.backend() == "jax":
        import jax

        step = jax.jit(step)
    trained = [each.value for each in weights]
    state = [each.value for each in stateless.variables]
    for scale in (1.0, 2.0, 3.0, 4.0, 5.0):
        gradients = [gradient_of([scale, -scale]), gradient_of([[scale]])]
        trained, state = step(state, gradients, trained)
        stateful.apply(gradients, copies)
    for ours, theirs in zip(trained, values(copies), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(ours), theirs, rtol=1e-6)


def test_schedule_is_driven_by_iterations_in_fit():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[0].kernel.assign([[0.0]])
    schedule = Warmup(StepDecay(0.1, [2]), 2)
    model.compile(SGD(schedule, momentum=0, nesterov=False), loss=lambda truth, output: output)
    model.fit(np.ones((6, 1)), np.ones((6, 1)), batch_size=1, verbose=0)
    rates = [0.05, 0.1, 0.1, 0.1, 0.01, 0.01]
    np.testing.assert_allclose(values([model.layers[0].kernel])[0], [[-sum(rates)]], rtol=1e-5)
