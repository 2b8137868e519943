"""Start the workers of a training as processes on this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from keras_tricks.cluster.workers import tf_config
from keras_tricks.recipe import RecipeError

_PATIENCE_S = 60.0
"""Workers end by themselves when one is gone; after this they are killed."""


def launch_local(directory: Path, count: int) -> int:
    """Train in a run directory with `count` processes on this machine, and return the exit code of the training.

    The chief's output is this process's; the others' goes to `worker-1.log` and so on in the run directory. GPUs are
    shared out evenly. Signals go to all processes, and when one ends badly the others end too.

    Args:
        directory: The run directory.
        count: How many processes.

    Raises:
        RecipeError: There are GPUs, and fewer than processes.
    """
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(count))
    shares = gpu_shares(count)
    command = [sys.executable, "-m", "keras_tricks", "train-run", str(directory)]
    processes: list[subprocess.Popen] = []

    def forward(number: int, frame: FrameType | None) -> None:
        # The terminal sends Ctrl-C to all of them itself.
        if number == signal.SIGTERM:
            for process in processes:
                process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with ExitStack() as logs:
            for index in range(count):
                environment = {**os.environ, "TF_CONFIG": tf_config(addresses, index), **shares[index]}
                if index == 0:
                    processes.append(subprocess.Popen([*command, "--progress"], env=environment))
                    continue
                log = logs.enter_context((directory / f"worker-{index}.log").open("ab"))
                processes.append(
                    subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                )
            return _wait(processes)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def free_ports(count: int) -> list[int]:
    """Return ports of this machine at which nobody listens."""
    with ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def gpu_shares(count: int) -> list[dict[str, str]]:
    """Return for each process the environment variable that shows it its GPUs; nothing where there is no GPU.

    Raises:
        RecipeError: There are GPUs, and fewer than processes.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    drivers = Path("/proc/driver/nvidia/gpus")
    if named is not None:
        gpus = [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    else:
        gpus = [str(number) for number in range(len(list(drivers.iterdir())))] if drivers.is_dir() else []
    if not gpus:
        return [{}] * count
    each = len(gpus) // count
    if each == 0:
        raise RecipeError(
            f"Each worker needs a GPU of its own: set --workers to {len(gpus)} or less, or train on the processor with "
            f"CUDA_VISIBLE_DEVICES=-1. Received: {count} workers, {len(gpus)} GPUs"
        )
    return [{"CUDA_VISIBLE_DEVICES": ",".join(gpus[each * index : each * (index + 1)])} for index in range(count)]


def _wait(processes: list[subprocess.Popen]) -> int:
    """Return the chief's exit code, or another worker's where the chief ended well, once all have ended."""
    deadline = None
    while any(process.poll() is None for process in processes):
        if deadline is None and any(process.poll() is not None for process in processes):
            deadline = time.monotonic() + _PATIENCE_S
        if deadline is not None and time.monotonic() > deadline:
            break
        time.sleep(0.1)
    codes = [process.poll() for process in processes if process.poll() is not None]
    bad = next((code for code in codes if code), 0)
    # Killed by a signal, of which the shell makes 128 and its number.
    return 128 - bad if bad < 0 else bad
