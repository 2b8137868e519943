"""A run that only its owner may look into, among one's own."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from keras_tricks import runs

SCRIPT = """
import os, pathlib, sys
from keras_tricks.cli.run_lists import list_all

# Once as root, who may read all that Python itself has to load.
list_all(runs_dir=pathlib.Path(sys.argv[1]).parent)
os.setuid(65534)
list_all(runs_dir=pathlib.Path(sys.argv[1]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_runs_are_listed_beside_one_of_another_user():
    # Folders of pytest are for one user only.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        root = Path(folder) / "runs"
        mine, theirs = runs.create_run(root, "mine", None), runs.create_run(root, "theirs", None)
        theirs.chmod(0o700)
        answer = subprocess.run([sys.executable, "-c", SCRIPT, str(root)], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    lines = {name: line for line in answer.stdout.splitlines() for name in (mine.name, theirs.name) if name in line}
    assert "queued" in lines[mine.name]
    assert "broken" in lines[theirs.name]
