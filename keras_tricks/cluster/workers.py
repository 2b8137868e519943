"""Find the processes that train together: from `TF_CONFIG`, or from SLURM's variables."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keras_tricks.cluster.slurm import slurm_addresses
from keras_tricks.recipe import RecipeError


@dataclass(frozen=True)
class Workers:
    """The processes that train together, one of which is this one.

    Args:
        count: How many there are.
        index: Which one this is, from 0. The worker 0 is the chief: it alone writes the run directory.
        addresses: `host:port` of each, by index; empty for one worker.
    """

    count: int = 1
    index: int = 0
    addresses: tuple[str, ...] = ()

    @property
    def is_chief(self) -> bool:
        """Whether this is the worker that writes the run directory."""
        return self.index == 0

    def name(self, index: int) -> str:
        """What to call a worker in a message."""
        return f"{'the chief' if index == 0 else f'worker {index}'} ({self.addresses[index].rpartition(':')[0]})"


ONE_WORKER = Workers()


def find_workers(environment: Mapping[str, str] = os.environ) -> Workers:
    """Return the workers that the environment of this process names; one worker if it names none.

    `TF_CONFIG` comes first, then the variables that SLURM's `srun` sets for each task of a job step: one task is one
    worker. A batch script itself, and a step of one task such as an interactive shell, is one worker.

    Args:
        environment: The environment variables.

    Raises:
        RecipeError: They contradict themselves or cannot be read.

    Example:

    ```python
    config = {"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 1}}
    find_workers({"TF_CONFIG": json.dumps(config)})  # Workers(count=2, index=1, addresses=("a:2222", "b:2222"))
    ```
    """
    if environment.get("TF_CONFIG", "").strip():
        addresses, index = _from_tf_config(environment["TF_CONFIG"])
    else:
        addresses, index = slurm_addresses(environment)
    return Workers(len(addresses), index, addresses) if len(addresses) > 1 else ONE_WORKER


def tf_config(addresses: tuple[str, ...], index: int) -> str:
    """Return the value of `TF_CONFIG` for one of these workers."""
    return json.dumps({"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": index}})


def _from_tf_config(text: str) -> tuple[tuple[str, ...], int]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _wrong(f"a JSON object ({error})", text) from error
    if not isinstance(document, dict):
        raise _wrong("a JSON object", text)
    cluster, task = document.get("cluster") or {}, document.get("task") or {}
    if not isinstance(cluster, dict) or not isinstance(task, dict):
        raise _wrong('objects under "cluster" and "task"', text)
    if not cluster:
        return (), 0
    strange = sorted(set(cluster) - {"chief", "worker"})
    if strange:
        raise _wrong(f'a cluster of "chief" and "worker"; there is no training with {strange[0]!r} here', text)
    for name, jobs in cluster.items():
        if not isinstance(jobs, list) or not all(_is_address(address) for address in jobs):
            raise _wrong(f'a list of "host:port" under cluster.{name}', text)
    chiefs, others = cluster.get("chief", []), cluster.get("worker", [])
    addresses = (*chiefs, *others)
    if len(chiefs) > 1 or not addresses:
        raise _wrong("at most one chief, and at least one worker", text)
    if len(set(addresses)) < len(addresses):
        raise _wrong("each address once", text)
    kind, index = task.get("type"), task.get("index")
    if kind not in cluster:
        raise _wrong(f"a task.type that is in the cluster: {' or '.join(sorted(cluster))}", text)
    if isinstance(index, str) and index.isdecimal():
        index = int(index)
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(cluster[kind]):
        raise _wrong(f"a task.index from 0 to {len(cluster[kind]) - 1}", text)
    return addresses, index + (len(chiefs) if kind == "worker" else 0)


def _is_address(address: Any) -> bool:
    if not isinstance(address, str):
        return False
    host, _, port = address.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536


def _wrong(expected: str, received: str) -> RecipeError:
    return RecipeError(f"TF_CONFIG: expected {expected}. Correct it, or unset it. Received: TF_CONFIG={received}")
