import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_tricks.schedules import linear_scaling


def test_rates_of_the_papers():
    assert linear_scaling(256) == 0.1
    assert linear_scaling(1024) == pytest.approx(0.4)
    assert linear_scaling(4096) == pytest.approx(1.6)
    assert linear_scaling(np.int64(64), 0.2, base_batch_size=128) == pytest.approx(0.1)


@given(batch_size=st.integers(1, 2**20), learning_rate=st.floats(0, 100))
def test_rate_per_image_is_kept(batch_size, learning_rate):
    scaled = linear_scaling(batch_size, learning_rate)
    assert isinstance(scaled, float)
    assert scaled / batch_size == pytest.approx(learning_rate / 256)


@pytest.mark.parametrize("batch_size", [1, 17, 256])
def test_base_batch_size_changes_nothing(batch_size):
    assert linear_scaling(batch_size, 0.3, base_batch_size=batch_size) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 2.5}, "batch_size=2.5"),
        ({"batch_size": True}, "batch_size=True"),
        ({"base_batch_size": -1}, "base_batch_size=-1"),
        ({"learning_rate": -0.1}, "learning_rate=-0.1"),
        ({"learning_rate": "0.1"}, "learning_rate=0.1"),
    ],
)
def test_bad_arguments_are_refused(arguments, received):
    with pytest.raises(ValueError, match=received):
        linear_scaling(**{"batch_size": 256, **arguments})
