"""Clocks that jump: nothing on this machine depends on them, and nobody trusts another machine's."""

import json
import os
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from keras_tricks import runs
from keras_tricks.runs import Run, RunWriter, schema, trainer_process

HOUR = 3600.0
SCRIPT = """
    import sys, time
    from keras_tricks.runs import RunWriter

    real = time.time
    with RunWriter(sys.argv[1]) as run:
        run.begin(epochs=3, steps=6)
        for step in range(1, 5):
            run.metrics("step", epoch=0, step=step, values={"loss": 1.0 / step})
            run.update(step=step)
            jump = float(sys.argv[2]) * (-1) ** step
            time.time = lambda: real() + jump
        time.sleep(1.2)
        print("jumped", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def directory(tmp_path):
    return runs.create_run(tmp_path, "clock", None)


@pytest.fixture
def elsewhere(directory):
    """Rewrite the status as a trainer on another machine does."""

    def write(heartbeat, written=None):
        path = directory / schema.STATUS_FILE
        fields = {"state": "running", "host": "elsewhere", "heartbeat": heartbeat}
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))
        moment = heartbeat if written is None else written
        os.utime(path, (moment, moment))

    return write


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_jump_of_the_writers_clock(directory, jump):
    arguments = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(directory), str(jump)]
    child = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "jumped\n"
        run = Run(directory)
        status = run.status()
        assert (status.state, status.step) == ("running", 4)
        assert abs(abs(status.heartbeat - time.time()) - HOUR) < 60
        assert run.metrics().series("loss", "step")[0] == [1, 2, 3, 4]
    finally:
        child.kill()
        child.wait()
    assert Run(directory).status().state == "lost"


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_jump_of_the_readers_clock(directory, monkeypatch, jump):
    with RunWriter(directory) as writer:
        writer.begin(epochs=1, steps=1)
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + jump)
        assert Run(directory).status().state == "running"


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_launched_process_is_known_after_a_jump(directory, monkeypatch, jump):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        path = directory / schema.STATUS_FILE
        fields = {"state": "starting", **trainer_process.identity(child.pid)}
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))
        created = psutil.Process.create_time
        # What the system tells of it follows the clock, because it knows the moment of its start only.
        monkeypatch.setattr(psutil.Process, "create_time", lambda process: created(process) + jump)
        assert Run(directory).status().state == "starting"
    finally:
        child.kill()
        child.wait()
    assert Run(directory).status().state == "lost"


class TestOnAnotherMachine:
    @pytest.fixture
    def pass_time(self, monkeypatch):
        """Let this reader's own clock, and nothing else, go on."""
        passed = [0.0]
        real = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: real() + passed[0])

        def by(seconds):
            passed[0] += seconds

        return by

    @pytest.mark.parametrize("ahead", [0.0, HOUR, -HOUR])
    def test_a_heartbeat_that_changes_is_alive_and_one_that_does_not_is_lost(
        self, directory, elsewhere, pass_time, ahead
    ):
        run = Run(directory)
        elsewhere(time.time() + ahead, written=time.time())
        assert run.status().state == "running"
        for beat in range(1, 4):
            pass_time(50)
            elsewhere(time.time() + ahead + beat, written=time.time())
            assert run.status().state == "running"
        pass_time(50)
        assert run.status().state == "running"
        pass_time(20)
        assert Run(directory).status().state == "lost"

    def test_one_that_was_silent_before_the_first_look_is_lost(self, directory, elsewhere):
        elsewhere(time.time() - 100)
        assert Run(directory).status().state == "lost"
        elsewhere(time.time() - 99)
        assert Run(directory).status().state == "running"

    def test_a_time_in_the_future_does_not_hide_an_old_file(self, directory, elsewhere):
        elsewhere(time.time() + HOUR, written=time.time() - 100)
        assert Run(directory).status().state == "lost"
