"""What must be quick to import does not import a deep-learning framework."""

import subprocess
import sys

import pytest

HEAVY = ("tensorflow", "keras", "jax", "torch", "matplotlib", "sklearn")


@pytest.mark.parametrize(
    "module",
    [
        "keras_tricks",
        "keras_tricks.annotated_pictures",
        "keras_tricks.recipe",
        "keras_tricks.tricks",
        "keras_tricks.queue",
        "keras_tricks.queue.runner",
        "keras_tricks.runs",
        "keras_tricks.cluster",
        "keras_tricks.cluster.link",
        "keras_tricks.cluster.launch_local",
        "keras_tricks.cluster.launch_ray",
        "keras_tricks.presets",
        "keras_tricks.model_facts",
        "keras_tricks.data_facts",
        "keras_tricks.cli",
        "keras_tricks.predictions",
        "tui",
        "tui.app",
        "tui.screens.predictions",
    ],
)
def test_import_is_light(module):
    code = (
        f"import sys, {module}\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules if sys.modules[name] is not None}))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(answer.stdout.split())
