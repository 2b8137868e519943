"""A process that poses as the trainer of queued runs, and does what the seed of the recipe says."""

import os
import signal
import sys
import time
from pathlib import Path

import psutil

from keras_tricks.runs import RunWriter, open_run

SUCCEEDS, WAITS, REFUSES, FAILS, DIES, LINGERS = range(6)
"""It trains; trains until it is asked to stop; ends before it writes anything; writes that it failed; is killed;
trains, and does not end after its last word."""

COMMAND = (sys.executable, str(Path(__file__).resolve()))


def train(directory):
    """Do what the recipe in a run directory says."""
    does = open_run(directory).recipe()["seed"]
    if does == REFUSES:
        sys.exit("keras-tricks: nothing works here")
    (directory / "devices").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "unset"))
    with RunWriter(directory) as writer:
        writer.begin(epochs=1, steps=1)
        while does == WAITS and not writer.stop_requested():
            time.sleep(0.05)
        if does == DIES:
            os.kill(os.getpid(), signal.SIGKILL)
        if does == FAILS:
            writer.end("failed", "ValueError: no data")
        else:
            writer.end("stopped" if does == WAITS else "finished")
    if does == LINGERS:
        time.sleep(600)


def kill_all_of(folder):
    """Kill what works for the runs in a folder."""
    for process in psutil.process_iter(["cmdline"]):
        if str(folder) in " ".join(process.info["cmdline"] or ()) and process.pid != os.getpid():
            process.kill()


if __name__ == "__main__":
    train(Path(sys.argv[1]))
