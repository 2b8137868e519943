"""What every test gets: quiet TensorFlow, fixed seeds, two CPU replicas, the real data."""

import gc
import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


LONGEST = (
    "test_backend_jax.py",
    "test_backend_torch.py",
    "test_workers_training.py",
    "test_train.py",
    "test_replicas_equal_one_device.py",
    "test_trainer.py",
    "test_in_training.py",
    "test_readme_parts.py",
)
"""Files that take minutes, the longest first: two processes then end at about the same time."""


def pytest_configure(config):
    """Let pytest-xdist keep the order of the files, where it would begin with those of the most tests."""
    config.option.loadscopereorder = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Put the longest files first; split the CPU in four if a selected test wants replicas."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
    if any({"two_replicas", "four_replicas"} & set(getattr(item, "fixturenames", ())) for item in items):
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        if tf.config.get_logical_device_configuration(cpu) is None:
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 4)


@pytest.fixture(scope="module", autouse=True)
def _little_garbage():
    """Spare the garbage collector what stays: it looked through all that was imported again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _fixed_start():
    """Seed Python, NumPy and the backend, and leave the dtype policy as it was.

    Keras takes seconds to import: a test that has not imported it is left alone.
    """
    keras = sys.modules.get("keras")
    if keras is None:
        yield
        return
    keras.utils.set_random_seed(1812)
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture(autouse=True)
def _own_config(tmp_path_factory, monkeypatch):
    """Leave the recipes and preferences of whoever runs the tests alone."""
    monkeypatch.setenv("KERAS_TRICKS_CONFIG", str(tmp_path_factory.getbasetemp() / "no-config"))


@pytest.fixture(scope="session")
def two_replicas():
    """A MirroredStrategy over two logical CPU devices."""
    return _strategy(2)


@pytest.fixture(scope="session")
def four_replicas():
    """A MirroredStrategy over four logical CPU devices."""
    return _strategy(4)


def _strategy(count):
    import keras

    if keras.backend.backend() != "tensorflow":
        pytest.skip("replicas need the TensorFlow backend")
    from keras_tricks.distribute.strategy import choose_replicas

    return choose_replicas(count).strategy


@pytest.fixture(scope="session")
def data_root():
    """The folder of real data: $KERAS_TRICKS_DATA, else ../shared/data beside the repository."""
    named = os.environ.get("KERAS_TRICKS_DATA")
    if named:
        root = Path(named)
        if not root.is_dir():
            pytest.fail(f"KERAS_TRICKS_DATA is not a folder: {root}")
        return root
    root = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not root.is_dir():
        pytest.skip("no real data: set KERAS_TRICKS_DATA to its folder")
    return root
