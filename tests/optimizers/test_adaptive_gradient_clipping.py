import contextlib
import copy
import inspect

import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks.optimizers import NO_BIAS_DECAY, SGD, AdaptiveGradientClipping
from keras_tricks.schedules import StepDecay, Warmup

pytestmark = pytest.mark.backend

OUTER = ("Optimizer", "LossScaleOptimizer", "MultiOptimizer")
KERAS_OPTIMIZERS = [
    name
    for name, each in inspect.getmembers(keras.optimizers, inspect.isclass)
    if issubclass(each, keras.optimizers.Optimizer) and name not in OUTER
]
NO_MOMENTUM = {"momentum": 0.0, "nesterov": False}


def variable(value, path="w", dtype="float32"):
    *scopes, name = path.split("/")
    with contextlib.ExitStack() as stack:
        for scope in scopes:
            stack.enter_context(keras.name_scope(scope, deduplicate=False))
        return keras.Variable(np.asarray(value, dtype="float32"), name=name, dtype=dtype)


def numpy_of(each):
    return ops.convert_to_numpy(ops.cast(ops.convert_to_tensor(each), "float32"))


def tensor(value, dtype="float32"):
    return ops.convert_to_tensor(np.asarray(value, dtype="float32"), dtype=dtype)


def unit_norm(value, axes):
    return np.sqrt(np.sum(np.square(np.asarray(value, "float64")), axis=axes, keepdims=True))


def formula(gradient, weight, axes, clipping=0.01, eps=1e-3):
    bound = clipping * np.maximum(unit_norm(weight, axes), eps)
    norm = unit_norm(gradient, axes)
    return np.where(norm > bound, gradient * bound / np.maximum(norm, 1e-6), gradient)


def clip_all(gradients, weights, **arguments):
    """The gradients as the inner optimizer gets them: what a rate of 1 subtracts."""
    optimizer = AdaptiveGradientClipping(SGD(1.0, **NO_MOMENTUM), **arguments)
    before = [numpy_of(weight) for weight in weights]
    optimizer.apply([tensor(gradient) for gradient in gradients], weights)
    return [old - numpy_of(weight) for old, weight in zip(before, weights, strict=True)]


def classifier():
    inputs = keras.Input((6, 6, 2))
    hidden = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(inputs)
    hidden = keras.layers.DepthwiseConv2D(3, name="spatial")(hidden)
    hidden = keras.layers.GlobalAveragePooling2D()(hidden)
    return keras.Model(inputs, keras.layers.Dense(3, name="predictions")(hidden))


def compile_model(model, optimizer):
    """On TensorFlow a few eager steps take less time than to trace a graph of them."""
    model.compile(optimizer, loss="mse", run_eagerly=keras.backend.backend() == "tensorflow")


def small_data(count=32):
    generator = np.random.default_rng(0)
    return generator.normal(size=(count, 6, 6, 2)).astype("float32"), 9 * generator.normal(size=(count, 3))


@pytest.mark.parametrize(
    ("path", "shape", "axes"),
    [
        ("fc/kernel", (5, 4), (0,)),
        ("attention/query/kernel", (5, 2, 3), (0,)),
        ("conv/kernel", (3, 3, 5, 4), (0, 1, 2)),
        ("video/kernel", (2, 3, 3, 5, 4), (0, 1, 2, 3)),
        ("dw/kernel", (3, 3, 5, 1), (0, 1)),
        ("separable/depthwise_kernel", (3, 3, 5, 2), (0, 1)),
        ("named/kernel", (3, 3, 5, 2), (0, 1)),
        ("wide/kernel", (3, 5, 4), (0, 1)),
        ("fc/bias", (4,), (0,)),
        ("skip_gain", (), ()),
        ("gain", (1, 1, 1, 4), (0, 1, 2, 3)),
        ("single/kernel", (5, 1), (0, 1)),
    ],
)
def test_a_unit_is_what_makes_one_output(path, shape, axes):
    generator = np.random.default_rng(1)
    gradient, weight = generator.normal(size=shape), generator.normal(size=shape)
    unit_axes = {"named/kernel": (0, 1), "wide/kernel": [0, 1]}
    (clipped,) = clip_all(
        [gradient],
        [variable(weight, path)],
        no_clipping=(),
        unit_axes={key: value for key, value in unit_axes.items() if key == path},
    )
    np.testing.assert_allclose(clipped, formula(gradient, weight, axes), rtol=1e-3, atol=1e-6)


def test_weights_that_start_at_zero_move_by_the_floor():
    (clipped,) = clip_all([np.ones((4, 3))], [variable(np.zeros((4, 3)))], no_clipping=())
    np.testing.assert_allclose(unit_norm(clipped, (0,)), np.full((1, 3), 0.01 * 1e-3), rtol=1e-5)


def test_no_gradient_stays_none():
    (clipped,) = clip_all([np.zeros((4, 3))], [variable(np.zeros((4, 3)))], no_clipping=())
    np.testing.assert_array_equal(clipped, np.zeros((4, 3)))


@pytest.mark.parametrize("name", KERAS_OPTIMIZERS)
def test_every_keras_optimizer_gets_clipped_gradients(name):
    """The clipping rests on how Keras calls `update_step` and, on PyTorch, `_parallel_update_step`."""
    generator = np.random.default_rng(4)
    start = generator.normal(size=(5, 4))
    weights = [variable(start, "fc/kernel") for _ in range(3)]
    optimizer = getattr(keras.optimizers, name)
    optimizers = [AdaptiveGradientClipping(optimizer(0.1), no_clipping=()), optimizer(0.1), optimizer(0.1)]
    for _ in range(4):
        gradient = generator.normal(size=(5, 4)) * 10 ** generator.uniform(-3, 1, 4)
        # Where Keras decays, it does so before the update, so the norm of the weights is taken after it.
        decay = getattr(optimizers[1], "weight_decay", None)
        decayed = numpy_of(weights[1]) * (1 - 0.1 * (decay or 0))
        given = [gradient, formula(gradient, decayed, (0,)), gradient]
        for each, weight, value in zip(optimizers, weights, given, strict=True):
            each.apply([tensor(value)], [weight])
    np.testing.assert_allclose(numpy_of(weights[0]), numpy_of(weights[1]), rtol=1e-4, atol=1e-5)
    assert np.abs(numpy_of(weights[0]) - numpy_of(weights[2])).max() > 1e-4


def test_decoupled_decay_acts_once_and_unclipped():
    weights = [variable(np.full((3, 2), 2.0)) for _ in range(2)]
    clipped = AdaptiveGradientClipping(keras.optimizers.AdamW(0.1, weight_decay=0.5), no_clipping=())
    clipped.apply([ops.zeros((3, 2))], [weights[0]])
    np.testing.assert_allclose(numpy_of(weights[0]), np.full((3, 2), 2 * (1 - 0.1 * 0.5)), rtol=1e-6)


def test_coupled_decay_and_momentum_see_the_clipped_gradient():
    start = np.array([[3.0], [4.0]])
    weight, gradient = variable(start, "fc/kernel"), np.array([[30.0], [40.0]])
    optimizer = AdaptiveGradientClipping(SGD(0.5, nesterov=False, weight_decay=0.1), no_clipping=())
    optimizer.apply([tensor(gradient)], [weight])
    np.testing.assert_allclose(numpy_of(weight), start - 0.5 * (0.01 * start + 0.1 * start), rtol=1e-6)
    buffer = optimizer.inner_optimizer.momentum_buffers[0]
    np.testing.assert_allclose(numpy_of(buffer), 0.11 * start, rtol=1e-5)


@pytest.mark.parametrize("nested", [False, True])
def test_the_classifier_kernel_is_left_alone_and_its_bias_is_not(nested):
    model = classifier()
    if nested:
        inputs = keras.Input((6, 6, 2))
        model = keras.Model(inputs, keras.Sequential([model], name="outer")(inputs))
    gradients = [np.full(each.shape, 5.0) for each in model.trainable_variables]
    clipped = clip_all(gradients, model.trainable_variables)
    unclipped = [
        each.path
        for each, gradient in zip(model.trainable_variables, clipped, strict=True)
        if np.allclose(gradient, 5, rtol=1e-3)
    ]
    assert [path.split("/")[-2:] for path in unclipped] == [["predictions", "kernel"]]


def test_exclusions_are_path_endings():
    paths = ["fc/kernel", "fc/bias", "sub/fc/kernel", "conv/kernel"]
    weights = [variable(np.ones((2, 2)), path) for path in paths]
    clipped = clip_all([np.full((2, 2), 3.0)] * 4, weights, no_clipping=("/fc/kernel", "bias"))
    assert [bool(np.allclose(each, 3)) for each in clipped] == [True, True, False, False]


@pytest.mark.parametrize("arguments", [{}, {"no_clipping": ()}, {"no_clipping": ("kernel", "ernel")}])
def test_an_exclusion_that_matches_nothing_is_refused(arguments):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="top")])
    if arguments.get("no_clipping") == ():
        arguments = {**arguments, "unit_axes": {"convolution/kernel": (0, 1)}}
    model.compile(AdaptiveGradientClipping(SGD(0.1), **arguments), loss="mse")
    with pytest.raises(ValueError, match=r"top/kernel'\].*no_clipping=\(\).*which matches none"):
        model.fit(np.ones((4, 2)), np.ones((4, 3)), verbose=0)


def test_unit_axes_beyond_the_tensor_are_refused():
    optimizer = AdaptiveGradientClipping(SGD(0.1), no_clipping=(), unit_axes={"kernel": (0, 3)})
    with pytest.raises(ValueError, match=r"'fc/kernel' to be below its 2 axes.*\(0, 3\)"):
        optimizer.build([variable(np.ones((2, 2)), "fc/kernel")])


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        ({"clipping": 0}, "clipping=0"),
        ({"clipping": float("inf")}, "clipping=inf"),
        ({"clipping": "0.01"}, "clipping='0.01'"),
        ({"eps": 0.0}, "eps=0.0"),
        ({"no_clipping": "bias"}, "no_clipping='bias'"),
        ({"unit_axes": {"kernel": 0}}, "unit_axes="),
        ({"unit_axes": {"kernel": (-1,)}}, "unit_axes="),
        ({"unit_axes": {"a//b": (0,)}}, "unit_axes="),
        ({"unit_axes": ("kernel",)}, "unit_axes="),
    ],
)
def test_bad_arguments_are_refused(arguments, received):
    with pytest.raises(ValueError, match=received):
        AdaptiveGradientClipping(SGD(0.1), **arguments)


@pytest.mark.parametrize(
    "inner",
    [
        lambda: "sgd",
        lambda: SGD,
        lambda: keras.optimizers.LossScaleOptimizer(SGD()),
        lambda: AdaptiveGradientClipping(SGD()),
        lambda: keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(SGD())),
    ],
)
def test_an_inner_optimizer_without_an_update_is_refused(inner):
    with pytest.raises(ValueError, match="Received: inner_optimizer="):
        AdaptiveGradientClipping(inner())


def test_wrapping_again_replaces_the_first_clipping():
    inner, weight = SGD(1.0, **NO_MOMENTUM), variable(np.ones((4, 1)))
    AdaptiveGradientClipping(inner, clipping=0.01, no_clipping=())
    AdaptiveGradientClipping(inner, clipping=0.1, no_clipping=()).apply([10 * ops.ones((4, 1))], [weight])
    np.testing.assert_allclose(numpy_of(weight), np.full((4, 1), 0.9), rtol=1e-6)


def test_a_copy_clips_with_its_own_settings():
    optimizer = AdaptiveGradientClipping(SGD(1.0, **NO_MOMENTUM), clipping=0.01, no_clipping=())
    other = copy.deepcopy(optimizer)
    optimizer.clipping = 0.5
    weight = variable(np.ones((4, 1)))
    other.apply([10 * ops.ones((4, 1))], [weight])
    np.testing.assert_allclose(numpy_of(weight), np.full((4, 1), 0.99), rtol=1e-6)


@pytest.mark.parametrize(
    ("inner", "no_clipping", "unit_axes"),
    [
        (lambda: SGD(Warmup(0.4, 10), weight_decay=1e-4, no_decay=NO_BIAS_DECAY), ("fc/kernel",), None),
        (lambda: keras.optimizers.AdamW(0.25, weight_decay=0.5), (), {"dw/kernel": (0, 1)}),
    ],
)
def test_config_round_trip(inner, no_clipping, unit_axes):
    inner = inner()
    optimizer = AdaptiveGradientClipping(inner, 0.02, 1e-2, no_clipping, unit_axes, name="clipped")
    for again in (
        AdaptiveGradientClipping.from_config(optimizer.get_config()),
        keras.optimizers.deserialize(keras.optimizers.serialize(optimizer)),
    ):
        assert again.get_config() == optimizer.get_config()
        assert type(again.inner_optimizer) is type(inner)
        assert (again.clipping, again.eps, again.no_clipping) == (0.02, 1e-2, no_clipping)


@pytest.mark.parametrize(("inner", "loss_scale"), [(SGD, False), (keras.optimizers.AdamW, True)])
def test_saved_model_goes_on_exactly(tmp_path, inner, loss_scale):
    def compiled():
        model = classifier()
        optimizer = AdaptiveGradientClipping(inner(Warmup(StepDecay(0.1, [4]), 3)))
        compile_model(model, keras.optimizers.LossScaleOptimizer(optimizer) if loss_scale else optimizer)
        return model

    def fit(model):
        model.fit(*small_data(), batch_size=16, epochs=2, shuffle=False, verbose=0)

    model = compiled()
    fit(model)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    restored = compiled()
    restored.optimizer.build(restored.trainable_variables)
    restored.load_weights(tmp_path / "model.weights.h5")
    for each in (model, loaded, restored):
        fit(each)
        assert int(ops.convert_to_numpy(each.optimizer.iterations)) == 8
        for ours, theirs in zip(each.weights, model.weights, strict=True):
            np.testing.assert_allclose(numpy_of(ours), numpy_of(theirs), rtol=0, atol=1e-7)


def test_loss_scaling_outside_changes_nothing():
    trained = []
    for wrap in (lambda optimizer: optimizer, keras.optimizers.LossScaleOptimizer):
        keras.utils.set_random_seed(1)
        model = classifier()
        inner = SGD(0.1, weight_decay=0.1, loss_scale_factor=64.0)
        compile_model(model, wrap(AdaptiveGradientClipping(inner)))
        model.fit(*small_data(), batch_size=8, shuffle=False, verbose=0)
        assert inner.loss_scale_factor == (64.0 if wrap is not keras.optimizers.LossScaleOptimizer else None)
        trained.append([numpy_of(each) for each in model.trainable_variables])
    for plain, scaled in zip(*trained, strict=True):
        np.testing.assert_allclose(scaled, plain, atol=1e-6)


def test_mixed_precision_trains_with_finite_weights():
    keras.config.set_dtype_policy("mixed_float16")
    model = classifier()
    compile_model(model, AdaptiveGradientClipping(SGD(0.1)))
    model.fit(*small_data(), batch_size=8, epochs=2, verbose=0)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert all(np.isfinite(numpy_of(each)).all() for each in model.trainable_variables)


def test_accumulated_gradients_are_clipped_as_one():
    weight = variable(np.ones((4, 1)))
    inner = SGD(1.0, **NO_MOMENTUM, gradient_accumulation_steps=2)
    optimizer = AdaptiveGradientClipping(inner, clipping=0.5, no_clipping=())
    optimizer.apply([tensor(np.full((4, 1), 100.0))], [weight])
    np.testing.assert_array_equal(numpy_of(weight), np.ones((4, 1)))
    optimizer.apply([tensor(np.full((4, 1), -99.0))], [weight])
    assert int(ops.convert_to_numpy(optimizer.iterations)) == 1
    np.testing.assert_allclose(numpy_of(weight), np.full((4, 1), 0.5), rtol=1e-6)


def test_keras_average_of_the_inner_optimizer_works():
    weight = variable(np.full((4, 1), 1.0))
    inner = SGD(1.0, **NO_MOMENTUM, use_ema=True, ema_momentum=0.5)
    optimizer = AdaptiveGradientClipping(inner, clipping=0.1, no_clipping=())
    path = [1.0]
    for _ in range(3):
        optimizer.apply([tensor(np.full((4, 1), 7.0))], [weight])
        path.append(path[-1] * 0.9)
    np.testing.assert_allclose(numpy_of(weight), np.full((4, 1), path[-1]), rtol=1e-6)
    optimizer.finalize_variable_values([weight])
    average = 0.25 * path[1] + 0.25 * path[2] + 0.5 * path[3]
    np.testing.assert_allclose(numpy_of(weight), np.full((4, 1), average), rtol=1e-6)


def test_rate_counter_and_state_are_the_inner_optimizers():
    inner = keras.optimizers.SGD(0.5, momentum=0.9)
    optimizer = AdaptiveGradientClipping(inner, no_clipping=())
    optimizer.learning_rate = 0.25
    assert float(ops.convert_to_numpy(inner.learning_rate)) == 0.25
    assert float(ops.convert_to_numpy(optimizer.learning_rate)) == 0.25
    weight = variable(np.ones((2, 1)))
    counter = optimizer.apply_gradients([(ops.ones((2, 1)), weight)])
    assert int(ops.convert_to_numpy(counter)) == int(ops.convert_to_numpy(inner.iterations)) == 1
    assert [id(each) for each in optimizer.variables] == [id(each) for each in inner.variables]
    optimizer.set_weights([np.asarray(ops.convert_to_numpy(each)) * 0 for each in inner.variables])
    assert int(ops.convert_to_numpy(inner.iterations)) == 0


def test_exclusion_from_decay_reaches_the_inner_optimizer():
    weight = variable(np.ones((2, 1)), "fc/bias")
    optimizer = AdaptiveGradientClipping(SGD(0.1, weight_decay=0.1), no_clipping=())
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.apply([ops.zeros((2, 1))], [weight])
    np.testing.assert_array_equal(numpy_of(weight), np.ones((2, 1)))


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="Keras has no stateless_apply on TensorFlow")
def test_stateless_apply_equals_apply():
    start = [np.linspace(1, 2, 6).reshape(3, 2), np.ones(2)]
    weights, copies = ([variable(value, path) for value, path in zip(start, "wb", strict=True)] for _ in range(2))
    optimizers = [AdaptiveGradientClipping(SGD(Warmup(0.1, 3), weight_decay=0.1), no_clipping=()) for _ in range(2)]
    stateless, stateful = optimizers
    stateless.build(weights)
    step = stateless.stateless_apply
    if keras.backend.backend() == "jax":
        import jax

        step = jax.jit(step)
    trained = [each.value for each in weights]
    state = [each.value for each in stateless.variables]
    for scale in (1.0, -2.0, 30.0):
        gradients = [tensor(scale * value) for value in start]
        trained, state = step(state, gradients, trained)
        stateful.apply(gradients, copies)
    for ours, theirs, first in zip(trained, copies, start, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(ours), numpy_of(theirs), rtol=1e-6)
        assert not np.allclose(numpy_of(theirs), first)
