"""The tests marked `backend` on PyTorch: a file of its own, so that it runs beside others."""

from backend_tests import assert_marked_tests_pass


def test_marked_tests_pass():
    assert_marked_tests_pass("torch")
