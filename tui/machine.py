"""The load of this machine, its GPUs, and a trainer's processes, as far as they can be known."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import psutil

from keras_tricks.runs import Status
from keras_tricks.runs.trainer_process import is_running

_LOOKS_BETWEEN_CHILDREN = 5

_Value = TypeVar("_Value")


class GpuLoad(NamedTuple):
    """The load of a GPU; None for what its driver does not tell.

    Args:
        name: Its model.
        utilisation: Percent of the time in which it was busy.
        memory_used: Bytes in use.
        memory_total: Bytes that it has.
        temperature: Degrees Celsius.
        power: Watts.
        power_limit: Watts that it may take.
    """

    name: str
    utilisation: float | None
    memory_used: int | None
    memory_total: int | None
    temperature: float | None
    power: float | None
    power_limit: float | None


class MachineLoad(NamedTuple):
    """The load of this machine.

    Args:
        cpu_percent: Of all its cores.
        memory_used: Bytes in use.
        memory_total: Bytes that it has.
        gpus: Its NVIDIA GPUs.
        no_gpus: Why there are none.
    """

    cpu_percent: float
    memory_used: int
    memory_total: int
    gpus: tuple[GpuLoad, ...]
    no_gpus: str


class TrainerLoad(NamedTuple):
    """The load of a trainer and its child processes.

    Args:
        cpu_percent: 100 for one core; None at the first look.
        memory_bytes: Memory that they hold.
    """

    cpu_percent: float | None
    memory_bytes: int


class Machine:
    """This machine. Looking may take a while where a driver is slow: it belongs into a thread."""

    def __init__(self) -> None:
        self._nvml: ModuleType | None = None
        self._gpus: list[Any] = []
        self._no_gpus: str | None = None
        psutil.cpu_percent()

    def look(self) -> MachineLoad:
        """Return the load since the last look."""
        if self._no_gpus is None:
            self._no_gpus = self._find_gpus()
        memory = psutil.virtual_memory()
        gpus = tuple(self._gpu_load(gpu) for gpu in self._gpus)
        return MachineLoad(psutil.cpu_percent(), memory.total - memory.available, memory.total, gpus, self._no_gpus)

    def _find_gpus(self) -> str:
        """Open the driver's library and return why there is no GPU, if so."""
        try:
            self._nvml = import_module("pynvml")
        except ImportError:
            return "GPUs: pip install 'keras-tricks[gpu]'"
        try:
            self._nvml.nvmlInit()
            count = self._nvml.nvmlDeviceGetCount()
            self._gpus = [self._nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
        except self._nvml.NVMLError:
            return "no NVIDIA GPU"
        return "" if self._gpus else "no NVIDIA GPU"

    def _gpu_load(self, gpu: Any) -> GpuLoad:
        assert self._nvml is not None
        nvml = self._nvml
        name = self._told(lambda: nvml.nvmlDeviceGetName(gpu))
        utilisation = self._told(lambda: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu)
        memory = self._told(lambda: nvml.nvmlDeviceGetMemoryInfo(gpu))
        temperature = self._told(lambda: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU))
        power = self._told(lambda: nvml.nvmlDeviceGetPowerUsage(gpu))
        limit = self._told(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(gpu))
        return GpuLoad(
            (name.decode() if isinstance(name, bytes) else name) or "GPU",
            utilisation,
            None if memory is None else memory.used,
            None if memory is None else memory.total,
            temperature,
            None if power is None else power / 1000,
            None if limit is None else limit / 1000,
        )

    def _told(self, ask: Callable[[], _Value]) -> _Value | None:
        """What the driver says, or None: some values are not known for some GPUs, or not to all users."""
        assert self._nvml is not None
        try:
            return ask()
        except self._nvml.NVMLError:
            return None


class TrainerProcesses:
    """A trainer on this machine, with its child processes."""

    def __init__(self) -> None:
        self._trainer: psutil.Process | None = None
        self._children: dict[int, psutil.Process] = {}
        self._looks = 0

    def look(self, status: Status) -> TrainerLoad | None:
        """Return the load since the last look, or None where the process is not there."""
        try:
            if self._trainer is None or self._trainer.pid != status.pid or not self._trainer.is_running():
                self._trainer = None
                if status.pid is None or not is_running(status):
                    return None
                self._trainer, self._children, self._looks = psutil.Process(status.pid), {}, 0
                self._trainer.cpu_percent()
                return TrainerLoad(None, self._trainer.memory_info().rss)
            cpu, memory = self._trainer.cpu_percent(), self._trainer.memory_info().rss
            self._find_children(self._trainer)
        except psutil.Error:
            self._trainer = None
            return None
        for pid, child in list(self._children.items()):
            with contextlib.suppress(psutil.Error):
                cpu += child.cpu_percent()
                memory += child.memory_info().rss
                continue
            del self._children[pid]
        return TrainerLoad(cpu, memory)

    def _find_children(self, trainer: psutil.Process) -> None:
        """Look for children now and then: it takes a look at all processes of the machine."""
        if self._looks % _LOOKS_BETWEEN_CHILDREN == 0:
            found = {child.pid: child for child in trainer.children(recursive=True)}
            self._children = {pid: self._children.get(pid, child) for pid, child in found.items()}
        self._looks += 1
