"""The terminal UI in a terminal of its own: killed, terminated, and with the terminal closed under it."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time

import psutil
import pytest

from keras_tricks.runs import list_runs, request_stop, wait

TRAINER = """
import sys, time
from keras_tricks.runs import RunWriter

with RunWriter(sys.argv[-1]) as writer:
    writer.begin(epochs=5, steps=500)
    for step in range(1, 1200):
        writer.metrics("step", epoch=0, step=step, values={"loss": 1 / step})
        writer.update(step=step, last={"loss": 1 / step})
        if writer.stop_requested():
            writer.end("stopped")
            break
        time.sleep(0.1)
"""

UI = """
import sys
from keras_tricks.runs import process

real = process.subprocess.Popen

def popen(arguments, **options):
    return real([sys.executable, "-c", sys.argv[2], arguments[-1]], **options)

process.subprocess.Popen = popen
import tui
tui.run(sys.argv[1])
"""


class Terminal:
    """A terminal with the UI in it."""

    def __init__(self, runs_root, *, ignore_hang_up=False):
        self.screen, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.set_blocking(self.screen, False)
        self.seen = b""

        def begin():
            if ignore_hang_up:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [sys.executable, "-c", UI, str(runs_root), TRAINER],
            stdin=end,
            stdout=end,
            stderr=end,
            env={**os.environ, "TERM": "xterm-256color"},
            start_new_session=True,
            preexec_fn=begin,
        )
        os.close(end)

    def wait_for(self, words, seconds=30):
        """Read what the UI writes until `words` are in it."""
        deadline = time.monotonic() + seconds
        while words.encode() not in self.seen:
            assert time.monotonic() < deadline, self.seen[-2000:].decode(errors="replace")
            self._read()

    def press(self, keys):
        """Type, and look only at what is written after that."""
        self.seen = b""
        os.write(self.screen, keys.encode())

    def close(self):
        """Close it under the UI."""
        os.close(self.screen)

    def end(self, seconds=30):
        """Wait for the end of the UI while its terminal is open, and return its exit code."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline
            self._read()
        self._read()
        return self.process.returncode

    def _read(self):
        try:
            self.seen += os.read(self.screen, 65536)
        except BlockingIOError:
            time.sleep(0.02)
        except OSError:
            assert self.process.wait(5) is not None


@pytest.fixture
def open_ui(tmp_path, monkeypatch):
    """Open the UI in a terminal; end what is left of it, and of its run, after the test."""
    for name in ("NO_COLOR", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    terminals = []

    def open_(**options):
        terminals.append(Terminal(tmp_path / "runs", **options))
        return terminals[-1]

    yield open_
    for terminal in terminals:
        terminal.process.kill()
        terminal.process.wait()
    for run in list_runs(tmp_path / "runs"):
        pid = run.status().pid
        if pid is not None and psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)


def test_a_run_outlives_a_killed_ui_and_a_closed_terminal(open_ui, tmp_path):
    ui = open_ui()
    ui.wait_for("quickstart")
    ui.wait_for("Ready")
    ui.press("l")
    ui.wait_for("RUNNING")
    [run] = list_runs(tmp_path / "runs")
    ui.process.send_signal(signal.SIGKILL)
    assert ui.end() == -signal.SIGKILL

    ui = open_ui()
    ui.wait_for("quickstart")
    ui.press("2")
    ui.wait_for("RUNNING")
    ui.close()
    assert ui.process.wait(30) == -signal.SIGHUP
    assert run.status().state == "running"
    request_stop(run)
    assert wait(run, timeout_s=30).state == "stopped"


def test_a_ui_that_ignores_the_hang_up_ends_with_its_terminal(open_ui):
    ui = open_ui(ignore_hang_up=True)
    ui.wait_for("quickstart")
    ui.close()
    assert ui.process.wait(30) == -signal.SIGHUP


def test_a_terminated_ui_leaves_the_terminal_as_it_was(open_ui):
    ui = open_ui()
    ui.wait_for("Ready")
    ui.seen = b""
    ui.process.terminate()
    assert ui.end() == 0
    assert b"\x1b[?1049l" in ui.seen
