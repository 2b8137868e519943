"""The load of machine, GPUs and trainer: with a driver's library that is not there, and on the live screen."""

import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from keras_tricks.runs import Status
from keras_tricks.runs.trainer_process import identity
from tui import machine
from tui.machine import GpuLoad, Machine, MachineLoad, TrainerProcesses
from tui.widgets.run_header import RunHeader
from tui.widgets.system_panel import SystemPanel

ONE = "20270101T000000Z-quickstart-aaaa"
LOOK = Machine.look


class NVMLError(Exception):
    pass


class FakeNvml:
    """The part of pynvml that is used, with GPUs of which the second tells less."""

    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, gpus=2, works=True):
        self.gpus = gpus
        self.works = works
        self.opened = 0

    def nvmlInit(self):  # noqa: N802
        self.opened += 1
        if not self.works:
            raise NVMLError("library not found")

    def nvmlDeviceGetCount(self):  # noqa: N802
        return self.gpus

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return index

    def nvmlDeviceGetName(self, gpu):  # noqa: N802
        return b"NVIDIA H100 80GB HBM3" if gpu else "NVIDIA A100"

    def nvmlDeviceGetUtilizationRates(self, gpu):  # noqa: N802
        return SimpleNamespace(gpu=97 - gpu)

    def nvmlDeviceGetMemoryInfo(self, gpu):  # noqa: N802
        return SimpleNamespace(used=30 * 2**30, total=80 * 2**30)

    def nvmlDeviceGetTemperature(self, gpu, sensor):  # noqa: N802
        return self._told(gpu, 61)

    def nvmlDeviceGetPowerUsage(self, gpu):  # noqa: N802
        return self._told(gpu, 402_600)

    def nvmlDeviceGetEnforcedPowerLimit(self, gpu):  # noqa: N802
        return 700_000

    def _told(self, gpu, value):
        if gpu:
            raise NVMLError("not supported")
        return value


@pytest.fixture
def nvml(monkeypatch):
    """Put a library in the place of pynvml, or nothing."""

    def put(library):
        def load(name):
            if library is None:
                raise ImportError(name)
            return library

        monkeypatch.setattr(machine, "import_module", load)
        monkeypatch.setattr(Machine, "look", LOOK)
        return library

    return put


def text(app):
    panel = app.screen.query_one(SystemPanel)
    return str(panel.query_one("Static").content)


def test_gpus_tell_what_they_know(nvml):
    library = nvml(FakeNvml())
    looked = Machine()
    load = looked.look()
    assert load.gpus[0] == GpuLoad("NVIDIA A100", 97, 30 * 2**30, 80 * 2**30, 61, 402.6, 700.0)
    assert load.gpus[1] == GpuLoad("NVIDIA H100 80GB HBM3", 96, 30 * 2**30, 80 * 2**30, None, None, 700.0)
    assert load.no_gpus == "" and 0 <= load.cpu_percent <= 100 and 0 < load.memory_used < load.memory_total
    looked.look()
    assert library.opened == 1


@pytest.mark.parametrize(
    ("library", "words"),
    [(None, "pip install"), (FakeNvml(works=False), "no NVIDIA GPU"), (FakeNvml(gpus=0), "no NVIDIA GPU")],
)
def test_without_gpus_it_says_so_in_few_words(nvml, library, words):
    nvml(library)
    load = Machine().look()
    assert load.gpus == () and words in load.no_gpus


def test_a_trainer_is_measured_with_its_children_until_it_is_gone():
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'x = bytearray(50_000_000); print(1, flush=True); input()'])\n"
        "child.wait()"
    )
    trainer = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert trainer.stdout.readline() == "1\n"
        status = Status(state="running", host=socket.gethostname(), **identity(trainer.pid))
        processes = TrainerProcesses()
        first, second = processes.look(status), processes.look(status)
        own = psutil.Process(trainer.pid).memory_info().rss
        assert first.cpu_percent is None and second.cpu_percent >= 0
        assert second.memory_bytes > own + 50_000_000
    finally:
        trainer.communicate("\n")
    assert processes.look(status) is None
    assert processes.look(status.model_copy(update={"pid": os.getpid(), "pid_ticks": 1, "pid_created": 1.0})) is None


async def test_the_panel_shows_at_wide_sizes_and_on_demand(make_app, store, until, nvml):
    nvml(FakeNvml())
    store.add_live(ONE)
    app = make_app("live")
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: app.screen.query(SystemPanel) and "gpu 1" in text(app))
        lines = text(app).splitlines()
        assert lines[0].startswith("cpu ") and lines[1].startswith("memory ")
        assert lines[2].startswith("gpu 0") and lines[2].endswith("97 %")
        assert lines[3].endswith("30.0/80.0 G  61 °C  403/700 W") and lines[3].startswith("A100")
        assert lines[5].endswith("30.0/80.0 G  N/A  N/A")
        panel = app.screen.query_one(SystemPanel)
        assert max(len(line) for line in lines) <= panel.scrollable_content_region.width
        await pilot.press("g")
        await pilot.pause()
        assert not panel.display
        await pilot.resize_terminal(80, 24)
        await pilot.press("g")
        await pilot.pause()
        assert panel.display and app.screen.query_one("#log").display and not app.screen.query_one("#events").display
        await pilot.press("g")
        await pilot.pause()
        assert app.screen.query_one("#events").display


async def test_this_machine_is_not_taken_for_the_one_that_trains(make_app, store, until, monkeypatch):
    monkeypatch.setattr(Machine, "look", lambda self: MachineLoad(12.0, 2**30, 2**34, (), "no NVIDIA GPU"))
    directory = store.add_live(ONE)
    store.rewrite_status(directory, host="farm-7", heartbeat=store.now)
    app = make_app("live")
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: app.screen.query(SystemPanel) and "farm-7" in text(app))
        assert "cpu" not in text(app) and "12 %" not in text(app)
        assert "on farm-7" in str(app.screen.query_one(RunHeader).render())
