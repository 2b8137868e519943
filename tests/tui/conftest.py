"""Run directories for the terminal UI: real files, written by RunWriter, with a past of one's choice."""

import asyncio
import fcntl
import json
import math
import socket
import time

import pytest

from keras_tricks.presets import presets
from keras_tricks.runs import Best, RunWriter, create_run, schema
from tui.app import KerasTricksApp
from tui.machine import Machine, MachineLoad

STEPS_PER_EPOCH = 22
ABSENT_PID = 2**22 + 1
START = 1_800_000_000.0


class RunStore:
    """Runs under a folder in `tmp_path`."""

    def __init__(self, root, monkeypatch):
        self.root = root
        self.now = START
        self._monkeypatch = monkeypatch
        self._locks = []

    def clock(self):
        """The time at which the newest run stands."""
        return self.now

    def add(
        self,
        run_id,
        *,
        recipe="quickstart",
        epochs=20,
        done=12,
        end=None,
        error=None,
        losses=(),
        changes=None,
        ablation=None,
        gain=0.0,
    ):
        """Write a run with `done` of its epochs, and leave it without a trainer, in the state `end`.

        Args:
            losses: Pairs of step and loss that replace the loss there.
            changes: Fields of the recipe to change.
            ablation: Where it belongs to a set of variants.
            gain: How much faster it learns.
        """
        chosen = presets()[recipe].changed(epochs=epochs, **(changes or {}))
        document = chosen.model_dump(mode="json")
        directory = create_run(self.root, chosen.name, document, ablation=ablation)
        directory = directory.rename(self.root / run_id)
        replaced = dict(losses)
        with self._monkeypatch.context() as patch:
            patch.setattr(time, "time", self.clock)
            with RunWriter(directory) as writer:
                writer.begin(epochs=epochs, steps=epochs * STEPS_PER_EPOCH)
                writer.log(f"training {chosen.name}: {chosen.model} on {chosen.data}, {epochs} epochs")
                for epoch in range(done):
                    self._epoch(writer, epoch, epochs, replaced, gain)
                if end:
                    writer.end(end, error)
        self.rewrite_status(directory, **writer.status.model_dump(mode="json") | {"heartbeat": self.now - 1})
        return directory

    def add_live(self, run_id, **arguments):
        """Write a run with a lock held for it, as by a trainer."""
        directory = self.add(run_id, **arguments)
        lock = (directory / schema.LOCK_FILE).open("ab")
        fcntl.flock(lock, fcntl.LOCK_EX)
        self._locks.append(lock)
        self.rewrite_status(directory, state="running", pid=ABSENT_PID, pid_created=START, eta_s=83.0)
        return directory

    def rewrite_status(self, directory, **fields):
        """Change the status of a run."""
        path = directory / schema.STATUS_FILE
        status = json.loads(path.read_text()) | {"host": socket.gethostname()} | fields
        path.write_text(json.dumps(status))

    def release(self):
        """Let all locks go, as if the trainers had been killed."""
        for lock in self._locks:
            lock.close()
        self._locks.clear()

    def _epoch(self, writer, epoch, epochs, replaced, gain):
        for step in range(epoch * STEPS_PER_EPOCH + 2, (epoch + 1) * STEPS_PER_EPOCH + 1, 2):
            done = step / (epochs * STEPS_PER_EPOCH)
            self.now += 0.05
            values = {
                "loss": replaced.get(step, 0.5 + 1.8 * math.exp(-4 * done)),
                "accuracy": 1 - 0.9 * math.exp(-5 * done),
                "learning_rate": 0.05 * min(done / 0.1, 0.5 + 0.5 * math.cos(math.pi * done)),
                "images_per_second": 800 + 40 * math.sin(step / 7),
            }
            writer.metrics("step", epoch=epoch, step=step, values=values)
        values["val_loss"] = 0.45 + 1.75 * math.exp(-(4.5 + gain) * done)
        values["val_accuracy"] = 1 - 0.95 * math.exp(-(6 + gain) * done)
        writer.metrics("epoch", epoch=epoch + 1, step=step, values=values)
        writer.update(
            epoch=epoch + 1,
            step=step,
            last=values,
            images_per_second=values["images_per_second"],
            best=Best(metric="val_accuracy", value=values["val_accuracy"], epoch=epoch + 1),
        )
        writer.log(f"epoch {epoch + 1}/{epochs}  loss {values['loss']:.4g}  val_loss {values['val_loss']:.4g}")
        writer.event("checkpoint", f"epoch {epoch + 1} saved")


@pytest.fixture(autouse=True)
def _idle_machine(monkeypatch):
    """Let this machine look the same at all times."""
    load = MachineLoad(0.0, 4 * 2**30, 16 * 2**30, (), "no NVIDIA GPU")
    monkeypatch.setattr(Machine, "look", lambda self: load)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A folder for runs, and the means to write some."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    store = RunStore(tmp_path / "runs", monkeypatch)
    yield store
    store.release()


@pytest.fixture
def make_app(store):
    """Make the app so that it begins in one of its modes."""

    def make(mode):
        kind = type("AppInMode", (KerasTricksApp,), {"DEFAULT_MODE": mode})
        app = kind(store.root, store.clock)
        app.animation_level = "none"
        return app

    return make


@pytest.fixture
def until():
    """Wait until a condition holds, and fail if it never does."""

    async def wait(pilot, condition, seconds=30.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "It did not happen."
            await asyncio.sleep(0.02)
        await pilot.pause()

    return wait
