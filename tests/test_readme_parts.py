"""The script of the README's section "Use the parts" runs as it stands there, on two devices."""

import re
import subprocess
import sys

import pytest

from tests.readme import README

BEFORE = """
import dataclasses
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from keras_tricks import data
from keras_tricks.data.image_data_set import ArraySplit

whole = data.load("digits")
few, fewer = (ArraySplit(whole.train.images[:n].numpy(), whole.train.labels[:n].numpy()) for n in (16, 8))
data.load = lambda name: dataclasses.replace(whole, train=few, validation=fewer)
"""
AFTER = """
from keras_tricks.runs import Run

assert model.distribute_strategy.num_replicas_in_sync == 2
assert model.get_layer(index=1).compute_dtype == "float16"
assert type(model.optimizer).__module__.startswith("keras_tricks.")
made = int(model.optimizer.iterations.numpy())
assert made + int(model.optimizer.skipped_steps.numpy()) == steps == 2
assert int(averaging.state()["steps"]) == made > 0
run = Run(logger.run.directory)
assert run.status().state == "finished" and run.metrics().series("val_accuracy")[1]
"""


def script():
    section = README.read_text(encoding="utf-8").partition("## Use the parts")[2].partition("\n## ")[0]
    return next(each for each in re.findall(r"```python\n(.*?)```", section, re.DOTALL) if "MirroredStrategy" in each)


def test_it_is_short_and_ordinary_fit():
    lines = [line for line in script().splitlines() if line.strip()]
    assert len(lines) <= 25
    assert any(line.startswith("model.fit(") for line in lines)


@pytest.mark.parametrize("eager", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["eager", "in_graphs"])
def test_it_runs(tmp_path, eager):
    # float16 is slow on a CPU: smaller images, fewer of them, one epoch. Tracing takes longer than two such steps.
    text = script()
    for old, new in (("= 5, 64", "= 1, 8"), ("image_size=16", "image_size=8"), ("(16, 16, 3)", "(8, 8, 3)")):
        assert old in text
        text = text.replace(old, new)
    before = BEFORE + "tf.config.run_functions_eagerly(True)\n" * eager
    answer = subprocess.run(
        [sys.executable, "-c", before + text + AFTER], cwd=tmp_path, capture_output=True, text=True, timeout=1200
    )
    assert answer.returncode == 0, answer.stderr[-3000:]


@pytest.mark.slow
def test_it_learns(tmp_path):
    text = script().replace("mixed_float16", "float32")
    before = BEFORE.partition("whole =")[0]
    after = "\nassert logger.run.status.best.value > 0.9, logger.run.status.best\n"
    answer = subprocess.run(
        [sys.executable, "-c", before + text + after], cwd=tmp_path, capture_output=True, text=True, timeout=1200
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
