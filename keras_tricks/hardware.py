"""The hardware that this process trains on, as far as the system says. Nothing here imports Keras."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

_PROCESSORS = Path("/proc/cpuinfo")
_GPUS = Path("/proc/driver/nvidia/gpus")


def hardware() -> dict[str, Any]:
    """Return the processor's model under `processor`, the cores that this process may use under `cores`, and the models
    of the GPUs that it may see under `gpus`."""
    return {"processor": _processor(), "cores": len(os.sched_getaffinity(0)), "gpus": _gpus()}


def hardware_words(found: dict[str, Any]) -> str:
    """Return what `hardware` found, in words: `2 cores of AMD EPYC 7B13, 1 NVIDIA H100`."""
    cores = found.get("cores", 0)
    words = [f"{cores} core{'s' * (cores != 1)} of {found.get('processor', 'an unknown processor')}"]
    gpus = found.get("gpus", [])
    words += [f"{gpus.count(gpu)} {gpu}" for gpu in dict.fromkeys(gpus)]
    return ", ".join(words)


def _processor() -> str:
    try:
        lines = _PROCESSORS.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()


def _gpus() -> list[str]:
    """The models of the GPUs, those of CUDA_VISIBLE_DEVICES where it names them by number."""
    try:
        files = sorted(_GPUS.glob("*/information"))
        models = [_model(file.read_text(errors="replace")) for file in files]
    except OSError:
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return models
    numbers = [int(name) for name in visible.split(",") if name.strip().isdecimal()]
    return [models[number] for number in numbers if number < len(models)]


def _model(information: str) -> str:
    models = (line.partition(":")[2].strip() for line in information.splitlines() if line.startswith("Model:"))
    return next(models, "GPU")
