"""The terminal UI and what it reads import no deep-learning framework."""

import subprocess
import sys

import tui


def test_no_framework_is_imported():
    code = """
import sys
import tui, tui.app, tui.screens.launch, tui.screens.live, tui.screens.runs, tui.screens.compare, tui.screens.queue
import tui.screens.help, tui.screens.predictions, tui.screens.variants
import keras_tricks.recipe, keras_tricks.tricks, keras_tricks.runs, keras_tricks.queue, keras_tricks.ablation
found = {"tensorflow", "keras", "jax", "torch"} & {name.partition(".")[0] for name in sys.modules}
sys.exit(", ".join(sorted(found)) or 0)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


def test_the_first_screen_needs_no_arrays_and_no_plots():
    code = """
import sys
import keras_tricks.cli, tui.app, tui.screens.launch
found = {"numpy", "scipy", "matplotlib", "PIL"} & set(sys.modules)
sys.exit(", ".join(sorted(found)) or 0)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


def test_run_opens_the_app_on_the_folder(monkeypatch, tmp_path):
    from tui.app import KerasTricksApp

    opened = []
    monkeypatch.setattr(KerasTricksApp, "run", lambda self: opened.append(self.runs_root))
    tui.run(str(tmp_path))
    assert opened == [tmp_path]
