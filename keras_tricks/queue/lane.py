"""Lanes: sets of devices, each of which trains one run at a time."""

from __future__ import annotations

import re
from collections.abc import Mapping

from keras_tricks.runs.schema import RunError

DEFAULT_LANE = "all"

_GPUS = re.compile(r"gpu(\d{1,4}(?:,\d{1,4})*)")
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def lane_name(text: str) -> str:
    """Return the name of a lane in its one spelling: `all`, `cpu`, or `gpu` with numbers in order, as `gpu0,1`.

    Raises:
        RunError: It is none of these.
    """
    if text in (DEFAULT_LANE, "cpu"):
        return text
    numbers = _numbers(text)
    if not numbers or len(set(numbers)) < len(numbers):
        raise RunError(f"Expected a lane: all, cpu, gpu0, gpu1, gpu0,1 and so on, each GPU once. Received: {text!r}")
    return "gpu" + ",".join(map(str, sorted(numbers)))


def lane_environment(lane: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` changed so that a trainer sees the devices of the lane only.

    GPUs count in the order of `nvidia-smi`; where `CUDA_VISIBLE_DEVICES` is set already, among those that it names.

    Raises:
        RunError: A GPU of the lane is not among those that are visible.
    """
    changed = dict(environment)
    if lane == "cpu":
        changed[_VISIBLE] = "-1"
    elif lane != DEFAULT_LANE:
        changed.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        changed[_VISIBLE] = ",".join(_devices(lane, environment.get(_VISIBLE)))
    return changed


def shares_devices(lane: str, other: str) -> bool:
    """Whether two lanes may train on one device at once, as `all` does with every GPU."""
    if "cpu" in (lane, other):
        return lane == other
    return DEFAULT_LANE in (lane, other) or not set(_numbers(lane)).isdisjoint(_numbers(other))


def lane_order(lane: str) -> tuple[str, list[int]]:
    """Return what to sort lanes by: `all`, `cpu`, then GPUs by number."""
    return lane[:3], _numbers(lane)


def _numbers(lane: str) -> list[int]:
    match = _GPUS.fullmatch(lane)
    return [int(number) for number in match[1].split(",")] if match else []


def _devices(lane: str, visible: str | None) -> list[str]:
    numbers = _numbers(lane)
    if visible is None:
        return [str(number) for number in numbers]
    named = [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    if numbers[-1] >= len(named):
        raise RunError(
            f"There is no GPU {numbers[-1]} for the lane {lane}: {_VISIBLE}={visible} shows {len(named)}, counted "
            "from 0. Choose another lane, or unset the variable."
        )
    return [named[number] for number in numbers]
