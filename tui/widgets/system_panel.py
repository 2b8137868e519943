"""SystemPanel: the load of the trainer, of this machine, and of its GPUs, with their last minutes."""

from __future__ import annotations

import math
import textwrap
from collections import deque
from collections.abc import Sequence

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tui.formats import shortened
from tui.machine import GpuLoad, MachineLoad, TrainerLoad
from tui.run_watcher import RunView
from tui.widgets.sparkline import sparkline

_KEPT_LOOKS = 240
_LABEL_WIDTH = 7
_LEAST_SPARK = 4
_NOT_TOLD = "N/A"


class SystemPanel(VerticalScroll, can_focus=True):
    """The load of the trainer, of this machine, and of its GPUs.

    Of a run on another host it says only that: the load of this machine is not its trainer's.
    """

    ALLOW_MAXIMIZE = True

    def __init__(self) -> None:
        super().__init__(id="system")
        self.border_title = "system"
        self._view: RunView | None = None
        self._load: MachineLoad | None = None
        self._trainer_cpu: deque[float | None] = deque(maxlen=_KEPT_LOOKS)
        self._cpu: deque[float | None] = deque(maxlen=_KEPT_LOOKS)
        self._memory: deque[float | None] = deque(maxlen=_KEPT_LOOKS)
        self._busy: list[deque[float | None]] = []
        self._shown_at = -math.inf
        self._lines: list[Content] = []

    def compose(self) -> ComposeResult:
        """Yield the text."""
        yield Static()

    def on_resize(self) -> None:
        """Draw for the new width."""
        self._draw()

    def show_run(self, view: RunView) -> None:
        """Show the load of a run's trainer."""
        if self._view is not None and view.directory != self._view.directory:
            self._trainer_cpu.clear()
        self._view = view
        if view.is_live:
            self._trainer_cpu.append(None if view.trainer is None else view.trainer.cpu_percent)
        self._draw()

    def show_machine(self, load: MachineLoad, now: float) -> None:
        """Show the load of this machine as it is `now`, in seconds since 1970."""
        self._load = load
        if now != self._shown_at:
            self._shown_at = now
            self._cpu.append(load.cpu_percent)
            self._memory.append(load.memory_used)
            self._busy += [deque(maxlen=_KEPT_LOOKS) for _ in load.gpus[len(self._busy) :]]
            for busy, gpu in zip(self._busy, load.gpus, strict=False):
                busy.append(gpu.utilisation)
        self._draw()

    def _draw(self) -> None:
        if not self.display or not self.is_mounted:
            return
        lines = self._content(self.scrollable_content_region.width)
        if lines != self._lines:
            # A new layout takes longer than all else here.
            self.query_one(Static).update(Content("\n").join(lines), layout=len(lines) != len(self._lines))
            self._lines = lines

    def _content(self, width: int) -> list[Content]:
        view, load = self._view, self._load
        if view is not None and view.is_live and view.is_elsewhere:
            words = f"The run is trained on {view.status.host}. Its load cannot be seen from here."
            return [Content.styled(line, "$text-warning") for line in textwrap.wrap(words, max(_LEAST_SPARK, width))]
        lines = []
        if view is not None and view.trainer is not None:
            lines += _trainer_lines(view.trainer, self._trainer_cpu, width)
        if load is None:
            return [*lines, Content.styled("looking …", "$muted")]
        lines.append(_line("cpu", self._cpu, 100, _percent(load.cpu_percent), width))
        lines.append(_line("memory", self._memory, load.memory_total, _memory(load), width))
        for index, (gpu, busy) in enumerate(zip(load.gpus, self._busy, strict=False)):
            lines += _gpu_lines(index, gpu, busy, width)
        if load.no_gpus:
            lines.append(Content.styled(shortened(load.no_gpus, width), "$muted"))
        return lines


def _trainer_lines(load: TrainerLoad, cpu: Sequence[float | None], width: int) -> list[Content]:
    text = f"{'' if load.cpu_percent is None else _percent(load.cpu_percent)} {_gigabytes(load.memory_bytes)} G"
    most = max([100.0, *(value for value in cpu if value is not None)])
    return [_line("trainer", cpu, most, text, width)]


def _gpu_lines(index: int, gpu: GpuLoad, busy: Sequence[float | None], width: int) -> list[Content]:
    memory = _share(_gigabytes(gpu.memory_used), _gigabytes(gpu.memory_total), "G")
    celsius = _NOT_TOLD if gpu.temperature is None else f"{gpu.temperature:.0f} °C"
    power = _share(_whole(gpu.power), _whole(gpu.power_limit), "W")
    name = gpu.name.removeprefix("NVIDIA ")
    details = f"{memory}  {celsius}  {power}"
    room = width - len(details) - 2
    return [
        _line(f"gpu {index}", busy, 100, _percent(gpu.utilisation), width),
        Content.assemble((shortened(name, room) + "  " if room > 3 else "", "$muted"), shortened(details, width)),
    ]


def _line(label: str, values: Sequence[float | None], most: float, text: str, width: int) -> Content:
    """A label, the last minutes as bars, and the value of now."""
    room = width - _LABEL_WIDTH - cell_len(text) - 2
    bars = sparkline(values, room, most) if room >= _LEAST_SPARK else ""
    return Content.assemble((f"{label:<{_LABEL_WIDTH}} ", "$muted"), (bars, "$primary"), " " if bars else "", text)


def _memory(load: MachineLoad) -> str:
    return _share(_gigabytes(load.memory_used), _gigabytes(load.memory_total), "G")


def _share(part: str, whole: str, unit: str) -> str:
    return part if part == _NOT_TOLD else f"{part} {unit}" if whole == _NOT_TOLD else f"{part}/{whole} {unit}"


def _percent(value: float | None) -> str:
    return f"{_whole(value):>3} %" if value is not None else _NOT_TOLD


def _gigabytes(count: int | None) -> str:
    return _NOT_TOLD if count is None else f"{count / 2**30:.1f}"


def _whole(value: float | None) -> str:
    return _NOT_TOLD if value is None else f"{value:.0f}"
