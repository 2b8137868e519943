"""The tests marked `backend` on JAX: a file of its own, so that it runs beside others."""

import pytest
from backend_tests import assert_marked_tests_pass


@pytest.mark.timeout(1900)
def test_marked_tests_pass():
    assert_marked_tests_pass("jax")


@pytest.mark.slow
@pytest.mark.timeout(1900)
def test_slow_marked_tests_pass():
    assert_marked_tests_pass("jax", slow=True)
