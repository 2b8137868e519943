import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_tricks.optimizers import SGD
from keras_tricks.schedules import StepDecay, Warmup

pytestmark = pytest.mark.backend

CosineDecay = keras.optimizers.schedules.CosineDecay


def rates(schedule, steps):
    return ops.convert_to_numpy(schedule(np.asarray(steps, dtype="int32")))


def test_gradual_warmup_then_cosine_equals_the_paper():
    """Section 3.1: i * eta / m at batch i; section 5.1: then (1 + cos(t * pi / T)) * eta / 2."""
    warmup_steps, cosine_steps, target = 50, 200, 0.4
    schedule = Warmup(CosineDecay(target, cosine_steps), warmup_steps)
    expected = [(batch / warmup_steps) * target for batch in range(1, warmup_steps + 1)]
    expected += [0.5 * (1 + math.cos(batch * math.pi / cosine_steps)) * target for batch in range(cosine_steps + 1)]
    steps = range(warmup_steps + cosine_steps + 1)
    np.testing.assert_allclose(rates(schedule, steps), expected, rtol=2e-6, atol=1e-7)
    one_by_one = [float(schedule(step)) for step in (0, 49, 50, 51, 250)]
    np.testing.assert_allclose(one_by_one, np.take(expected, [0, 49, 50, 51, 250]), atol=1e-7)


def test_constant_warmup_then_step_decay():
    schedule = Warmup(StepDecay(0.2, [3]), 4, kind="constant", constant_fraction=0.05)
    expected = [0.01] * 4 + [0.2] * 3 + [0.02] * 3
    np.testing.assert_allclose(rates(schedule, range(10)), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["gradual", "constant"])
def test_no_steps_change_nothing(kind):
    cosine = CosineDecay(0.1, 30)
    steps = np.arange(40, dtype="int32")
    np.testing.assert_array_equal(rates(Warmup(cosine, 0, kind), steps), ops.convert_to_numpy(cosine(steps)))
    np.testing.assert_array_equal(rates(Warmup(0.1, 0, kind), steps), np.full(40, 0.1, "float32"))


@settings(max_examples=30, deadline=None)
@given(
    warmup_steps=st.integers(1, 300),
    target=st.floats(1e-6, 1e3),
    kind=st.sampled_from(["gradual", "constant"]),
    fraction=st.floats(0.001, 1),
)
def test_warmup_rises_to_the_target_and_meets_it_at_the_seam(warmup_steps, target, kind, fraction):
    schedule = Warmup(CosineDecay(target, 1000), warmup_steps, kind, fraction)
    # One length for all examples: JAX compiles each length anew.
    seen = rates(schedule, range(301))
    warm, seam = seen[:warmup_steps], seen[warmup_steps]
    single = np.float32(target)
    assert seam == pytest.approx(single, rel=1e-6)
    assert np.all(warm > 0) and np.all(warm <= single * (1 + 1e-6))
    assert np.all(np.diff(warm) >= 0)
    if kind == "gradual":
        assert np.all(np.diff(warm) > 0)
        assert warm[-1] == pytest.approx(seam, rel=1e-6)
        np.testing.assert_allclose(warm[0], target / warmup_steps, rtol=1e-5)
    else:
        np.testing.assert_allclose(warm, fraction * target, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(warmup_steps=st.integers(0, 40), step=st.integers(0, 200))
def test_after_the_warmup_the_schedule_is_only_shifted(warmup_steps, step):
    cosine = CosineDecay(0.3, 100)
    shifted = rates(Warmup(cosine, warmup_steps), [step + warmup_steps])
    np.testing.assert_array_equal(shifted, rates(cosine, [step]))


def test_seam_is_exact_above_the_integers_of_float32():
    warmup_steps = 2**24 + 1
    schedule = Warmup(StepDecay(1.0, [2]), warmup_steps, "constant", 0.5)
    steps = warmup_steps + np.arange(-2, 4)
    np.testing.assert_allclose(rates(schedule, steps), [0.5, 0.5, 1, 1, 0.1, 0.1], rtol=1e-6)
    np.testing.assert_allclose(rates(Warmup(1.0, 2**25), [2**24 - 1]), [0.5], rtol=1e-6)


def test_warmup_in_front_of_a_warmup():
    schedule = Warmup(Warmup(1.0, 2), 2)
    np.testing.assert_allclose(rates(schedule, range(5)), [0.25, 0.5, 0.5, 1.0, 1.0])


@pytest.mark.parametrize("inner", [0.3, CosineDecay(0.3, 20), StepDecay(0.3, [5, 9]), Warmup(0.3, 2)])
def test_config_round_trip(inner):
    schedule = Warmup(inner, 7, kind="constant", constant_fraction=0.2)
    by_keras = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    for copy in (Warmup.from_config(schedule.get_config()), by_keras):
        assert type(copy) is Warmup
        assert copy.get_config() == schedule.get_config()
        np.testing.assert_array_equal(rates(copy, range(30)), rates(schedule, range(30)))


@pytest.mark.parametrize("optimizer", [SGD, keras.optimizers.Adam])
def test_drives_an_optimizer_step_by_step(optimizer):
    weight = keras.Variable(np.zeros(1, "float32"))
    optimizer = optimizer(Warmup(CosineDecay(0.5, 4), 2))
    seen = []
    for _ in range(7):
        seen.append(float(ops.convert_to_numpy(optimizer.learning_rate)))
        optimizer.apply([ops.ones(1)], [weight])
    cosine = [0.25 * (1 + math.cos(math.pi * step / 4)) for step in range(5)]
    np.testing.assert_allclose(seen, [0.25, 0.5, *cosine], atol=1e-6)


def test_same_rates_in_a_compiled_function():
    schedule = Warmup(StepDecay(0.3, [4, 8]), 5)
    compiled = schedule
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        compiled = tf.function(schedule.__call__, jit_compile=True)
    elif keras.backend.backend() == "jax":
        import jax

        compiled = jax.jit(schedule.__call__)
    steps = np.arange(20)
    seen = [float(compiled(ops.convert_to_tensor(step, dtype="int32"))) for step in steps]
    np.testing.assert_allclose(seen, rates(schedule, steps), rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        ({"learning_rate": -1.0}, "learning_rate=-1.0"),
        ({"learning_rate": float("inf")}, "learning_rate=inf"),
        ({"learning_rate": "cosine"}, "learning_rate=cosine"),
        ({"warmup_steps": -1}, "warmup_steps=-1"),
        ({"warmup_steps": 1.5}, "warmup_steps=1.5"),
        ({"warmup_steps": True}, "warmup_steps=True"),
        ({"kind": "linear"}, "kind='linear'"),
        ({"constant_fraction": 0.0}, "constant_fraction=0.0"),
        ({"constant_fraction": 1.5}, "constant_fraction=1.5"),
    ],
)
def test_bad_arguments_are_refused(arguments, received):
    with pytest.raises(ValueError, match=received):
        Warmup(**{"learning_rate": 0.1, "warmup_steps": 5, **arguments})
