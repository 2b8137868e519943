"""Measure the terminal UI as a process in a terminal, then its list of runs and its charts.

    python benchmarks/ui.py

First paint is from the start of a new process to the recipes on the screen; the files are in the system's cache. For
the idle load a run is live that writes a row a second. `tui_runs.py` and `tui_chart.py` measure the rest.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path

import psutil
from ui_runs import write_runs

from keras_tricks.presets import presets
from keras_tricks.runs import RunWriter, create_run

FOLDER = Path(__file__).resolve().parent
COLUMNS, ROWS = 120, 36


class Terminal:
    """The UI in a terminal of its own."""

    def __init__(self, runs: Path):
        self._screen, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.start = time.perf_counter()
        words = [sys.executable, "-m", "keras_tricks", "--runs-dir", str(runs)]
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self._process = subprocess.Popen(
            words, stdin=end, stdout=end, stderr=end, env=environment, cwd=FOLDER.parent, start_new_session=True
        )
        os.close(end)
        self.process = psutil.Process(self._process.pid)
        self._seen = b""

    def seconds_until(self, words: str) -> float:
        """Wait until something is on the screen; return the seconds since the start."""
        while words.encode() not in self._seen:
            self._seen += os.read(self._screen, 1 << 16)
        return time.perf_counter() - self.start

    def press(self, key: str) -> None:
        """Type a key, and look only at what is drawn after it."""
        self._seen = b""
        os.write(self._screen, key.encode())

    def read_on(self) -> None:
        """Take what it draws from now on, as a terminal does."""
        threading.Thread(target=self._drain, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _drain(self) -> None:
        try:
            while os.read(self._screen, 1 << 16):
                pass
        except OSError:
            return


def first_paint(root: Path, repeats: int) -> list[float]:
    """Return the seconds to the first paint of each of some new processes."""
    seconds = []
    for _ in range(repeats):
        terminal = Terminal(root / "none")
        seconds.append(terminal.seconds_until("quickstart"))
        terminal.close()
    return seconds


def idle_percent(root: Path, seconds: float) -> float:
    """Return the load of the UI, 100 for one core, while it shows a live run that writes a row a second."""
    recipe = presets()["quickstart"]
    directory = create_run(root / "live", recipe.name, recipe.model_dump(mode="json"))
    ending = threading.Event()

    def train() -> None:
        with RunWriter(directory) as writer:
            writer.begin(epochs=20, steps=100_000)
            step = 0
            while not ending.wait(1.0):
                step += 1
                writer.metrics("step", epoch=0, step=step, values={"loss": 1 / step, "accuracy": 1 - 1 / step})
                writer.update(step=step, last={"loss": 1 / step})
            writer.end("stopped")

    trainer = threading.Thread(target=train)
    trainer.start()
    terminal = Terminal(root / "live")
    terminal.seconds_until("quickstart")
    terminal.press("2")
    terminal.seconds_until("RUNNING")
    terminal.read_on()
    time.sleep(5)
    before = sum(terminal.process.cpu_times()[:2])
    time.sleep(seconds)
    used = sum(terminal.process.cpu_times()[:2]) - before
    terminal.close()
    ending.set()
    trainer.join()
    return 100 * used / seconds


def memory_mib(root: Path, runs: int) -> float:
    """Return the memory of the UI while it lists many runs."""
    write_runs(root / "many", runs)
    terminal = Terminal(root / "many")
    terminal.seconds_until("quickstart")
    terminal.press("3")
    terminal.seconds_until(f"{runs} runs")
    terminal.read_on()
    time.sleep(5)
    memory = terminal.process.memory_info().rss / 2**20
    terminal.close()
    return memory


def main() -> None:
    """Print a table, then those of the other two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9, help="first paints to measure")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--idle", type=float, default=60.0, help="seconds over which the idle load is measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KERAS_TRICKS_CONFIG"] = f"{folder}/config"
        root = Path(folder)
        paints = first_paint(root, options.repeats)
        print("| what | value | n |\n|---|---|---|")
        print(f"| first paint | {statistics.median(paints):.2f} s (to {max(paints):.2f} s) | {len(paints)} |")
        print(f"| idle, one live run | {idle_percent(root, options.idle):.1f} % of a core | {options.idle:.0f} s |")
        print(f"| memory, {options.runs} runs | {memory_mib(root, options.runs):.0f} MiB | 1 |", flush=True)
    for script in ("ui_runs.py", "ui_chart.py"):
        print(flush=True)
        subprocess.run([sys.executable, FOLDER / script], check=True)


if __name__ == "__main__":
    main()
