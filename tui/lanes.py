"""The lanes of the queue that a user may choose from."""

from __future__ import annotations

import os
from pathlib import Path

from keras_tricks.queue import DEFAULT_LANE, Lane, RunQueue

_DRIVER = Path("/proc/driver/nvidia/gpus")


def lane_choices(root: Path) -> list[Lane]:
    """Return the lane of all devices, the lanes that are in use, and one for each GPU where there are several.

    Raises:
        keras_tricks.runs.RunError: The queue cannot be read.
    """
    lanes = {lane.name: lane for lane in RunQueue(root).read().lanes}
    gpus = _gpu_count()
    names = [DEFAULT_LANE, *(f"gpu{number}" for number in range(gpus) if gpus > 1), *lanes]
    return [lanes.get(name) or Lane(name, (), False, False, None) for name in dict.fromkeys(names)]


def _gpu_count() -> int:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    return len(list(_DRIVER.iterdir())) if _DRIVER.is_dir() else 0
