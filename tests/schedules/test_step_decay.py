import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_tricks.schedules import StepDecay

pytestmark = pytest.mark.backend


def rates(schedule, steps):
    return ops.convert_to_numpy(schedule(np.asarray(steps, dtype="int32")))


def test_rate_drops_at_the_boundary_itself():
    """Keras's PiecewiseConstantDecay with the same boundaries drops one step later."""
    schedule = StepDecay(0.1, [30, 60, 90])
    steps = [0, 29, 30, 59, 60, 89, 90, 119]
    expected = [0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3, 1e-4, 1e-4]
    np.testing.assert_allclose(rates(schedule, steps), expected, rtol=1e-6)
    np.testing.assert_allclose([float(schedule(step)) for step in steps], expected, rtol=1e-6)
    theirs = keras.optimizers.schedules.PiecewiseConstantDecay([30], [0.1, 0.01])
    np.testing.assert_allclose(float(theirs(30)), 0.1, rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    boundaries=st.lists(st.integers(1, 200), max_size=5, unique=True).map(sorted),
    factor=st.floats(0.01, 1),
    initial=st.floats(0, 10),
)
def test_follows_the_formula_and_never_rises(boundaries, factor, initial):
    steps = np.arange(220)
    seen = rates(StepDecay(initial, boundaries, factor), steps)
    drops = np.searchsorted(boundaries, steps, side="right")
    np.testing.assert_allclose(seen, initial * factor**drops, rtol=1e-5, atol=1e-35)
    assert np.all(np.diff(seen) <= 0)


@pytest.mark.parametrize("schedule", [StepDecay(0.3, []), StepDecay(0.3, [2, 5], factor=1)])
def test_zero_strength_is_a_constant_rate(schedule):
    np.testing.assert_array_equal(rates(schedule, range(10)), np.full(10, 0.3, "float32"))


def test_boundary_is_exact_above_the_integers_of_float32():
    boundary = 2**24 + 1
    seen = rates(StepDecay(1.0, [boundary]), [boundary - 1, boundary, boundary + 1])
    np.testing.assert_allclose(seen, [1, 0.1, 0.1], rtol=1e-6)


def test_config_round_trip():
    schedule = StepDecay(np.float32(0.5), (np.int64(3), 8), factor=0.2)
    by_keras = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    for copy in (StepDecay.from_config(schedule.get_config()), by_keras):
        assert type(copy) is StepDecay
        assert copy.get_config() == schedule.get_config()


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        ({"initial_learning_rate": -0.1}, "initial_learning_rate=-0.1"),
        ({"initial_learning_rate": None}, "initial_learning_rate=None"),
        ({"boundaries": [5, 5]}, "boundaries="),
        ({"boundaries": [5, 3]}, "boundaries="),
        ({"boundaries": [0]}, "boundaries="),
        ({"boundaries": [2.5]}, "boundaries="),
        ({"boundaries": 5}, "boundaries=5"),
        ({"factor": 0}, "factor=0"),
        ({"factor": 1.1}, "factor=1.1"),
    ],
)
def test_bad_arguments_are_refused(arguments, received):
    with pytest.raises(ValueError, match=received):
        StepDecay(**{"initial_learning_rate": 0.1, "boundaries": [3], **arguments})
