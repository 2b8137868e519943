"""Trainings that wrote no run directory, and one that somebody started by hand, in the terminal UI."""

import os
import subprocess
import sys
import time

from textual.widgets import Static

from keras_tricks.runs import Run, create_run
from tui.screens.live import LiveScreen
from tui.screens.runs import RunsScreen
from tui.widgets.run_table import RunTable

FIT = """
import os, sys
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
import keras, numpy as np
from keras_tricks.callbacks import RunLogger

model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
images, labels = np.ones((8, 4)), np.zeros(8)
model.fit(images, labels, epochs=10**9, verbose=0, callbacks=[RunLogger(sys.argv[1], name="by-hand", batch_size=8)])
"""


def table(app):
    return app.screen.query_one(RunTable)


def states(app):
    return {summary.name: summary.state for summary in table(app).rows}


async def in_runs(app, pilot, until):
    await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.query(RunTable))


async def test_logs_of_others_are_listed_watched_and_left_alone(make_app, store, until):
    folder = store.root / "fit1"
    folder.mkdir(parents=True)
    log = folder / "training.csv"
    log.write_text("epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,2.0,0.4,2.5\n1,0.6,1.5,0.5,2.0\n")
    app = make_app("runs")
    async with app.run_test(size=(120, 36)) as pilot:
        await in_runs(app, pilot, until)
        await until(pilot, lambda: states(app) == {"fit1": "running"})
        for action in ("stop", "kill", "resume", "delete", "edit", "predictions"):
            assert app.screen.check_action(action, ()) is None
        with log.open("a") as file:
            file.write("2,0.7,1.0,0.6,1.5\n")
        await until(pilot, lambda: table(app).rows[0].status.last["val_accuracy"] == 0.6)
        assert "3" in table(app).cells(table(app).rows[0])
        assert "CSVLogger" in str(app.screen.query_one("#run-detail", Static).content)

        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LiveScreen) and "fit1" in subject(app))
        for action in ("stop", "kill", "resume"):
            assert app.screen.check_action(action, ()) is None
        await until(pilot, lambda: "CSVLogger" in str(app.screen.query_one("#run-header").render()))

        long_ago = time.time() - 3600
        os.utime(log, (long_ago, long_ago))
        await until(pilot, lambda: app.screen.chosen_run().state == "quiet")
        await pilot.press("3")
        await in_runs(app, pilot, until)
        await until(pilot, lambda: states(app) == {"fit1": "quiet"})
    assert log.read_text().count("\n") == 4


async def test_a_folder_of_logs_is_the_one_run(make_app, store, until):
    store.root.mkdir(parents=True)
    (store.root / "log.csv").write_text("epoch,loss\n0,2.0\n")
    app = make_app("live")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: store.root.name in subject(app))
        await pilot.press("3")
        await in_runs(app, pilot, until)
        await until(pilot, lambda: states(app) == {store.root.name: "running"})


async def test_a_lost_fit_is_told_from_one_that_can_be_resumed(make_app, store, until):
    fit = create_run(store.root, "by-hand", None)
    store.rewrite_status(fit, state="running")
    app = make_app("live")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "process is gone" in header(app))
        assert "resumes" not in header(app) and app.screen.check_action("resume", ()) is None
        await pilot.press("r")
        store.add("20990101T000000Z-quickstart-aaaa", done=1)
        app.open_run(store.root / "20990101T000000Z-quickstart-aaaa")
        await until(pilot, lambda: "its process is gone; r resumes it" in header(app))
    assert Run(fit).status().state == "lost" and not Run(fit).log_tail()


async def test_a_fit_with_run_logger_shows_up_while_it_runs_and_is_stopped(make_app, store, until):
    app = make_app("runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await in_runs(app, pilot, until)
        child = subprocess.Popen([sys.executable, "-c", FIT, store.root], stderr=subprocess.DEVNULL)
        try:
            await until(pilot, lambda: states(app).get("by-hand") == "running", seconds=120)
            (row,) = table(app).rows
            assert not row.is_read_only and row.status.pid == child.pid
            assert app.screen.check_action("resume", ()) is None and app.screen.check_action("stop", ()) is True
            await pilot.press("s")
            await until(pilot, lambda: states(app)["by-hand"] == "stopped", seconds=60)
            assert child.wait(timeout=60) != 0
            assert app.screen.check_action("resume", ()) is None, "There is no recipe to go on with."
        finally:
            child.kill()
    assert Run(row.directory).document()["recipe"] is None


def header(app):
    found = app.screen.query("#run-header")
    return str(found.first().render()) if found else ""


def subject(app):
    subjects = app.screen.query(".subject")
    return str(subjects.first(Static).content) if subjects else ""
