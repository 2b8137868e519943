"""Run the tests marked `backend` on another backend, in a process of its own."""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def assert_marked_tests_pass(backend, slow=False):
    """Run those that are quick or those that are slow, and fail with the end of their output if one fails or none runs.

    Slow are here those marked `slow`, and those that only other backends take long for, marked `backend_slow`.
    """
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment.update(
        KERAS_BACKEND=backend,
        # This process may hold the accelerator's memory.
        CUDA_VISIBLE_DEVICES="-1",
        JAX_PLATFORMS="cpu",
        # Compiling well takes longer than what is compiled.
        JAX_DISABLE_MOST_OPTIMIZATIONS="1",
        # Threads that wait for each other are slow beside another process of tests.
        OMP_NUM_THREADS="1",
    )
    # Tests compile the same small models again and again.
    environment.update(JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0", JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES="-1")
    selected = "backend and (slow or backend_slow)" if slow else "backend and not (slow or backend_slow)"
    command = [sys.executable, "-m", "pytest", "-m", selected, "tests"]
    command += ["-p", "no:cacheprovider", "-p", "no:xdist", "--color=no"]
    with tempfile.TemporaryDirectory() as compiled:
        environment["JAX_COMPILATION_CACHE_DIR"] = compiled
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1800)
    tail = f"{run.stdout[-6000:]}\n{run.stderr[-2000:]}"
    assert run.returncode == 0, tail
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed is not None and int(passed[1]) > 0, tail
