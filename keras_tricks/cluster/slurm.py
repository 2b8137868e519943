"""Read from SLURM's variables where the tasks of a job step run."""

from __future__ import annotations

import re
from collections.abc import Mapping

from keras_tricks.recipe import RecipeError

_FIRST_PORT = 12_000
_PORTS = 20_000
"""Below the range from which Linux takes ports for outgoing connections."""

_MOST_TASKS = 100_000


def slurm_addresses(environment: Mapping[str, str]) -> tuple[tuple[str, ...], int]:
    """Return `host:port` of each task of the SLURM job step that this process belongs to, and its own place.

    The port follows from the job and the step, so that all tasks find the same one, and from the place on the node, so
    that each has its own.

    Args:
        environment: The environment variables.

    Returns:
        No address and 0 where this process is no task of a step, or the only one.

    Raises:
        RecipeError: The variables contradict themselves or cannot be read.
    """
    # SLURM_NTASKS is set in a batch script too, which runs once and not once a task.
    if "SLURM_STEP_NUM_TASKS" not in environment or "SLURM_PROCID" not in environment:
        return (), 0
    count = _number(environment, "SLURM_STEP_NUM_TASKS", 1, _MOST_TASKS)
    if count == 1:
        return (), 0
    index = _number(environment, "SLURM_PROCID", 0, count - 1)
    nodes = _read(environment, "SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", expand_nodes)
    tasks = _read(environment, "SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE", expand_counts)
    if len(tasks) != len(nodes) or sum(tasks) != count:
        raise RecipeError(
            f"SLURM's variables contradict themselves: {count} tasks in SLURM_STEP_NUM_TASKS, {sum(tasks)} on "
            f"{len(tasks)} nodes in SLURM_STEP_TASKS_PER_NODE, {len(nodes)} nodes in SLURM_STEP_NODELIST. "
            "Set TF_CONFIG in their place."
        )
    places = [(node, local) for node, tasks_there in enumerate(tasks) for local in range(tasks_there)]
    said = tuple(
        _number(environment, name, 0, count) if name in environment else here
        for name, here in zip(("SLURM_NODEID", "SLURM_LOCALID"), places[index], strict=True)
    )
    if said != places[index]:
        raise RecipeError(
            "The tasks do not lie on the nodes in their order: start them with `srun --distribution=block`. "
            f"Received: SLURM_PROCID={index}, SLURM_NODEID={said[0]}, SLURM_LOCALID={said[1]}"
        )
    job = _number(environment, "SLURM_JOB_ID", 0, 2**63) if "SLURM_JOB_ID" in environment else 0
    step = _number(environment, "SLURM_STEP_ID", 0, 2**63) if "SLURM_STEP_ID" in environment else 0
    port = _FIRST_PORT + (job * 131 + step * 17) % (_PORTS - max(tasks))
    return tuple(f"{nodes[node]}:{port + local}" for node, local in places), index


def expand_nodes(text: str) -> list[str]:
    """Return the names in a SLURM node list, such as `gpu[01-03,7],login`.

    Args:
        text: Names with commas between them; any part of a name may be a list of numbers and ranges in brackets.

    Raises:
        ValueError: It is no node list.
    """
    names: list[str] = []
    for item in re.split(r",(?![^\[]*\])", text.strip()):
        if not re.fullmatch(r"(?:[\w.-]|\[[\d,-]+\])+", item):
            raise ValueError(f"{item!r} is no name of nodes")
        parts = [""]
        for plain, brackets in re.findall(r"([\w.-]+)|\[([\d,-]+)\]", item):
            ends = [plain] if plain else [number for one in brackets.split(",") for number in _numbers(one)]
            if len(parts) * len(ends) > _MOST_TASKS:
                raise ValueError(f"{item!r} names more than {_MOST_TASKS} nodes")
            parts = [part + end for part in parts for end in ends]
        names += parts
    return names


def expand_counts(text: str) -> list[int]:
    """Return the numbers in a SLURM list of tasks a node, such as `2(x3),1`.

    Raises:
        ValueError: It is no such list.
    """
    counts: list[int] = []
    for item in text.strip().split(","):
        found = re.fullmatch(r"(\d{1,6})(?:\(x(\d{1,6})\))?", item)
        if not found or int(found[1]) == 0 or int(found[2] or 1) > _MOST_TASKS:
            raise ValueError(f"{item!r} is no number of tasks")
        counts += [int(found[1])] * int(found[2] or 1)
    return counts


def _numbers(text: str) -> list[str]:
    """The numbers of `07` or `07-11`, with their leading zeros."""
    found = re.fullmatch(r"(\d{1,18})(?:-(\d{1,18}))?", text)
    if not found:
        raise ValueError(f"[{text}] is no number and no range")
    first, last = found[1], found[2] or found[1]
    if not int(first) <= int(last) < int(first) + _MOST_TASKS:
        raise ValueError(f"[{text}] is no range of nodes")
    return [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]


def _read(environment, name, job_name, expand):
    """The list in a variable of the step, or of the job for a step that has none of its own."""
    chosen = name if name in environment else job_name
    try:
        return expand(environment.get(chosen, ""))
    except ValueError as error:
        raise RecipeError(f"{chosen} cannot be read: {error}. Received: {chosen}={environment.get(chosen)}") from error


def _number(environment: Mapping[str, str], name: str, least: int, most: int) -> int:
    text = environment[name].strip()
    if not text.isdecimal() or not least <= int(text) <= most:
        raise RecipeError(f"{name}: expected a number from {least} to {most}. Received: {name}={environment[name]}")
    return int(text)
