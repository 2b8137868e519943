"""A real process that poses as the trainer: launched, seen, and killed."""

import os
import signal
import sys

from keras_tricks.runs import list_runs, process

TRAINER = """
import sys, time
from keras_tricks.runs import RunWriter

time.sleep(2)
with RunWriter(sys.argv[-1]) as writer:
    writer.begin(epochs=5, steps=500)
    for step in range(1, 500):
        values = {"loss": 1 / step, "accuracy": 1 - 1 / step, "learning_rate": 0.1, "images_per_second": 100.0}
        writer.metrics("step", epoch=0, step=step, values=values)
        writer.update(step=step, last=values)
        writer.log(f"step {step}")
        if writer.stop_requested():
            writer.end("stopped")
            break
        time.sleep(0.1)
"""


async def test_a_launched_trainer_is_killed_and_seen_as_lost(make_app, store, until, monkeypatch, tmp_path):
    script = tmp_path / "trainer.py"
    script.write_text(TRAINER)
    real_popen = process.subprocess.Popen

    def popen(arguments, **options):
        if arguments[:-1] == [sys.executable, "-m", "keras_tricks", "train-run"]:
            arguments = [sys.executable, str(script), arguments[-1]]
        return real_popen(arguments, **options)

    monkeypatch.setattr(process.subprocess, "Popen", popen)
    app = make_app("launch")
    pid = None
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: app.screen.query("#tricks TrickRow"))
            await pilot.press("l")
            await until(pilot, lambda: state(app) == "running")
            [run] = list_runs(store.root)
            pid = run.status().pid
            assert os.getsid(pid) == pid, "It has a session of its own."
            await until(pilot, lambda: "loss" in app.screen._view.curves)

        assert run.status().state == "running", "Quitting leaves it going."
        app = make_app("live")
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: state(app) == "running")
            assert app.watched == run.directory
            os.kill(pid, signal.SIGKILL)
            await until(pilot, lambda: state(app) == "lost")

            await pilot.press("r")
            await until(pilot, lambda: state(app) == "running")
            pid = run.status().pid
            await pilot.press("s")
            await until(pilot, lambda: state(app) == "stopped")

            await pilot.press("r")
            await until(pilot, lambda: state(app) == "starting")
            await pilot.press("s")
            await until(pilot, lambda: state(app) == "stopping")
            await until(pilot, lambda: state(app) == "stopped")
            assert run.status().attempt == 3, "A request to stop counts also while the trainer loads."
    finally:
        if pid is not None:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pid = None


def state(app):
    view = getattr(app.screen, "_view", None)
    return None if view is None else view.state
