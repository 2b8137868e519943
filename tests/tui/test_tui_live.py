"""The live screen: state, charts, log, events, and the keys."""

import math
import os
import shutil

import psutil
import pytest
from textual.widgets import Static

from keras_tricks.runs import RunWriter, schema
from tui.log_tail import MOST_LINES
from tui.screens import run_actions
from tui.screens.live import LiveScreen
from tui.widgets.chart import Chart
from tui.widgets.follow_log import FollowLog
from tui.widgets.run_header import RunHeader

ABSENT_PID = 2**22 + 1
ONE = "20270101T000000Z-quickstart-aaaa"
TWO = "20270102T000000Z-quickstart-bbbb"


@pytest.fixture
def app(make_app):
    return make_app("live")


def header(app):
    return str(app.screen.query_one(RunHeader).render())


def title(app, chart):
    return str(app.screen.query_one(f"#chart-{chart} .chart-title", Static).content)


def plot_text(app, chart):
    canvas = app.screen.query_one(f"#chart-{chart} #plot")
    return "\n".join("".join(row) for row in canvas._buffer)


async def live(pilot, until, condition):
    await until(pilot, lambda: pilot.app.screen.query(RunHeader))
    await until(pilot, condition)


def add_line(directory, line):
    with (directory / schema.LOG_FILE).open("a") as log:
        log.write(f"{line}\n")


async def test_a_running_run(app, store, until):
    directory = store.add_live(ONE)
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, until, lambda: "RUNNING" in header(app))
        assert app.watched == directory
        first, second = header(app).splitlines()
        assert "● RUNNING  quickstart  pid" in first
        assert "best val_accuracy .9740 @12" in first
        assert second.startswith("epoch 12/20 ━")
        for words in ("60%", "step 0/22", "img/s", "ETA 1m 23s"):
            assert words in second
        assert max(len(line) for line in (first, second)) <= 78

        assert title(app, "loss") == "loss ⠒⠒ train 0.663 ◆ val 0.568"
        assert "◆" in plot_text(app, "accuracy")
        log = app.screen.query_one("#log", FollowLog)
        assert log.lines[-1].endswith("checkpoint: epoch 12 saved")
        assert log.is_vertical_scroll_end and log.border_title == "log · following"
        assert len(app.screen.query_one("#events", FollowLog).lines) == 12

        add_line(directory, "\x1b[1mepoch 13 goes on\x1b[0m")
        await until(pilot, lambda: log.lines[-1] == "epoch 13 goes on")
        log.focus()
        await pilot.press("home")
        await until(pilot, lambda: log.border_title == "log · f follows")
        add_line(directory, "and on")
        await until(pilot, lambda: log.lines[-1] == "and on")
        assert log.scroll_y == 0
        await pilot.press("f")
        await until(pilot, lambda: log.is_vertical_scroll_end)


async def test_a_killed_run_is_seen_as_lost(app, store, until):
    store.add_live(ONE)
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, until, lambda: "RUNNING" in header(app))
        assert app.screen.check_action("stop", ()) is True
        assert app.screen.check_action("resume", ()) is None
        store.release()
        await until(pilot, lambda: "? LOST" in header(app))
        assert app.screen.check_action("stop", ()) is None
        assert app.screen.check_action("resume", ()) is True


async def test_a_failed_run_says_why(app, store, until):
    store.add(ONE, end="failed", error="DivergedError: At step 120 the loss is nan.")
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, until, lambda: "✗ FAILED" in header(app))
        assert "DivergedError: At step 120 the loss is nan" in header(app)
        assert "took" in header(app)


async def test_nan_is_marked_and_counted(app, store, until):
    store.add(ONE, losses=((100, math.nan), (102, math.nan), (60, math.inf)), end="stopped")
    async with app.run_test(size=(120, 36)) as pilot:
        await live(pilot, until, lambda: "STOPPED" in header(app))
        assert "3 not finite" in title(app, "loss")
        assert "N" in plot_text(app, "loss") and "↑" in plot_text(app, "loss")
        assert "not finite" not in title(app, "accuracy")


async def test_log_y_smoothing_zoom_and_log(app, store, until):
    store.add(ONE, end="finished", epochs=4, done=4)
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, until, lambda: "FINISHED" in header(app))
        screen = app.screen
        subject = screen.query_one(".subject", Static)
        before = plot_text(app, "loss")
        await pilot.press("y")
        await pilot.pause()
        assert title(app, "loss").startswith("loss log")
        assert title(app, "accuracy").startswith("accuracy ⠒")
        assert plot_text(app, "loss") != before
        await pilot.press("plus", "plus")
        assert str(subject.content) == "log y · smooth 0.6 · quickstart"
        assert screen.query_one("#chart-loss", Chart).smoothing == 0.6
        await pilot.press("minus", "minus", "minus")
        assert str(subject.content) == "log y · quickstart"

        grid, rates = screen.query_one("#charts"), screen.query_one("#chart-learning-rate")
        assert not grid.region.overlaps(rates.region)
        await pilot.press("l")
        await pilot.pause()
        assert grid.region.contains_region(rates.region)
        assert not screen.query_one("#records").display
        await pilot.press("l", "tab", "z")
        await pilot.pause()
        assert screen.maximized is screen.query_one("#chart-loss")
        await pilot.press("z")
        await pilot.pause()
        assert screen.maximized is None


async def test_chart_without_values_and_with_one(app, store, until):
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.screen.has_class("-no-run"))
        assert "No runs yet" in str(app.screen.query_one("#no-run", Static).content)
        store.add(ONE, done=0)
        await until(pilot, lambda: not app.screen.has_class("-no-run"))
        chart = app.screen.query_one("#chart-accuracy", Chart)
        assert chart.has_class("-empty")
        await until(pilot, lambda: not app.screen._looking)
        app.screen._looking = True
        chart.show({"accuracy": ((1.0,), (0.5,)), "val_accuracy": ((), ())}, "epoch")
        await pilot.pause()
        assert not chart.has_class("-empty")
        assert "•" in plot_text(app, "accuracy")


async def test_stop_kill_and_resume(app, store, until, monkeypatch):
    done = []
    for name in ("terminate", "kill"):
        monkeypatch.setattr(run_actions, name, lambda run, name=name: done.append((name, run.id)))

    def resume(run, *, resume):
        done.append(("resume", run.id))
        return ABSENT_PID

    monkeypatch.setattr(run_actions, "start", resume)
    directory = store.add_live(ONE)
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, until, lambda: "RUNNING" in header(app))
        await pilot.press("r")
        await pilot.press("s")
        await until(pilot, lambda: (directory / schema.STOP_FILE).exists())
        await until(pilot, lambda: "◍ STOPPING" in header(app))
        assert done == []

        await pilot.press("s")
        await until(pilot, lambda: app.screen.query("#confirm"))
        await pilot.press("n")
        await pilot.press("K")
        await until(pilot, lambda: app.screen.query("#confirm"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LiveScreen))
        assert done == []

        await pilot.press("K")
        await until(pilot, lambda: app.screen.query("#confirm"))
        await pilot.press("y")
        await until(pilot, lambda: done == [("kill", ONE)])
        store.release()
        await until(pilot, lambda: "✗ KILLED" in header(app))
        await pilot.press("3")
        await until(pilot, lambda: app.screen.query("RunTable") and app.screen.chosen_run() is not None)
        assert app.screen.chosen_run().state == "killed"
        await pilot.press("2")
        await pilot.press("r")
        await until(pilot, lambda: done[1:] == [("resume", ONE)])
        await until(pilot, lambda: "LOST" in header(app))
        await until(pilot, lambda: not app.trainers)


async def test_a_trainer_that_ended_is_no_zombie(app, until):
    async with app.run_test(size=(80, 24)) as pilot:
        child = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 0"], {})
        app.trainers.add(child)
        await until(pilot, lambda: not app.trainers)
        assert not psutil.pid_exists(child)


async def test_errors_of_actions_are_notices(app, store, until):
    store.add(ONE, end="stopped")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await live(pilot, until, lambda: "STOPPED" in header(app))
        app.screen.action_stop()
        await until(pilot, lambda: any("is not running" in notice.message for notice in app._notifications))


async def test_a_run_that_goes_away_and_one_that_is_broken(app, store, until):
    one = store.add(ONE, end="stopped")
    two = store.add(TWO, end="stopped")
    (two / schema.STATUS_FILE).write_text('{"schema_version": 99}')
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.open_run(one)
        await until(pilot, lambda: app.screen.query(RunHeader) and "STOPPED" in header(app))
        app.open_run(two)
        app.screen._look()
        await until(pilot, lambda: "schema version 99" in header(app))
        assert app.screen.check_action("resume", ()) is None
        app.open_run(one)
        await until(pilot, lambda: "STOPPED" in header(app))
        shutil.rmtree(one)
        await until(pilot, lambda: header(app).startswith(f"✗ {ONE} was deleted"))


async def test_another_attempt_replaces_the_rows_that_it_repeats(app, store, until):
    directory = store.add(ONE, epochs=4, done=3, end="stopped")
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, until, lambda: "STOPPED" in header(app))
        chart = app.screen.query_one("#chart-loss", Chart)
        assert chart._curves["val_loss"][0].tolist() == [1.0, 2.0, 3.0]
        with RunWriter(directory) as writer:
            writer.begin(epochs=4, steps=88, epoch=2, step=44)
            writer.metrics("epoch", epoch=3, step=66, values={"loss": 9.0, "val_loss": 9.0})
            await until(pilot, lambda: chart._curves["val_loss"][1][-1] == 9.0)
            assert chart._curves["val_loss"][0].tolist() == [1.0, 2.0, 3.0]
            await until(pilot, lambda: "attempt 2" in header(app) or "RUNNING" in header(app))
            writer.end("stopped")


async def test_a_trainer_that_starts_again_has_no_speed_yet(app, store, until):
    directory = store.add_live(ONE)
    async with app.run_test(size=(120, 36)) as pilot:
        await live(pilot, until, lambda: "ETA" in header(app))
        store.rewrite_status(directory, state="starting")
        await until(pilot, lambda: "STARTING" in header(app))
        assert "ETA" not in header(app) and "img/s" not in header(app)


async def test_an_error_before_the_first_epoch_takes_two_lines(app, store, until):
    error = (
        "RecipeError: cifar10 is not prepared under /data. " + "Prepare it with `tfds build cifar10 --data_dir /data`."
    )
    directory = store.add(ONE, done=0, end="failed", error=error)
    store.rewrite_status(directory, epochs=0, steps=0)
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, until, lambda: "FAILED" in header(app))
        assert " ".join(header(app).split()).endswith(error)
        store.rewrite_status(directory, epochs=20, steps=440)
        await until(pilot, lambda: "epoch 0/20" in header(app))
        assert "…" in header(app).splitlines()[0]


async def test_cut_log_lines_and_the_last_point_can_be_seen(app, store, until):
    directory = store.add(ONE, done=20, end="finished")
    add_line(directory, "x" * 300)
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, until, lambda: "FINISHED" in header(app))
        log = app.screen.query_one("#log", FollowLog)
        await until(pilot, lambda: log.is_vertical_scroll_end and log.lines[-1].endswith("x"))
        texts = [log.render_line(y).text for y in range(log.size.height)]
        [cut] = [text for text in texts if "xxx" in text]
        assert cut.endswith("x…") and len(cut) == log.scrollable_content_region.width < log.size.width
        assert all(len(text) <= log.size.width for text in texts)
        rows = plot_text(app, "accuracy").splitlines()
        width = max(len(row) for row in rows)
        assert max(row.rfind("◆") for row in rows) < width - 1


async def test_the_log_is_searched_while_one_types(app, store, until):
    directory = store.add(ONE, done=20, end="finished")
    add_line(directory, "Warning: [red]odd[/red] things")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await live(pilot, until, lambda: "FINISHED" in header(app))
        log, events = app.screen.query_one("#log", FollowLog), app.screen.query_one("#events", FollowLog)
        await until(pilot, lambda: log.is_vertical_scroll_end and len(log.lines) == 42)
        await pilot.press("slash", *"EPOCH")
        await pilot.press("space", "3", "slash")
        await pilot.pause()
        assert log.border_title == "log · 1/1 EPOCH 3/ · n N · Esc"
        assert any("epoch 3/20" in log.render_line(y).text for y in range(log.size.height))
        marked = [segment for y in range(log.size.height) for segment in log.render_line(y) if segment.style.reverse]
        assert [segment.text for segment in marked] == ["epoch 3/"]

        await pilot.press("backspace", "enter")
        await pilot.pause()
        assert log.border_title.startswith("log · 2/2") and log.has_focus
        await pilot.press("n")
        assert log.border_title.startswith("log · 1/2")
        await pilot.press("N", "N")
        assert log.border_title.startswith("log · 1/2")
        place = log.scroll_y
        add_line(directory, "epoch 3 again")
        await until(pilot, lambda: log.border_title.startswith("log · 1/3"))
        assert log.scroll_y == place
        await pilot.press("escape")
        await until(pilot, lambda: log.is_vertical_scroll_end)
        assert log.border_title == "log · following"

        events.focus()
        await pilot.press("slash", *"epoch", "space", "7")
        await pilot.pause()
        assert events.border_title.startswith("events · 1/1") and log.border_title == "log · following"
        await pilot.press("escape")
        log.focus()
        await pilot.press("slash", *"[red]")
        assert log.border_title.startswith(r"log · 1/1 \[red]")


async def test_a_long_log_is_cut_and_says_where_the_rest_is(app, store, until):
    directory = store.add(ONE, done=1, end="finished")
    with (directory / schema.LOG_FILE).open("a") as log:
        log.writelines(f"line {number}\n" for number in range(MOST_LINES + 500))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await live(pilot, until, lambda: "FINISHED" in header(app))
        log = app.screen.query_one("#log", FollowLog)
        await until(pilot, lambda: log.lines and log.lines[-1] == f"line {MOST_LINES + 499}")
        assert log.lines[0] == "line 500" and log.border_subtitle == "older lines: train.log"
        await pilot.press("slash", *"line", "space", *"499", "enter")
        assert "10/10 " in log.border_title
        place = log.scroll_y
        with (directory / schema.LOG_FILE).open("a") as file:
            file.writelines(f"more {number}\n" for number in range(50))
        await until(pilot, lambda: log.lines[-1] == "more 49")
        assert log.lines[0] == "line 550" and log.scroll_y == place - 50
        await pilot.press("slash", *"line", "space", "7", "7", "7", "x", "enter")
        await until(pilot, lambda: any(str(directory) in notice.message for notice in app._notifications))


async def test_a_run_of_csv_logger_can_be_watched(app, store, until):
    directory = store.root / "elsewhere"
    directory.mkdir(parents=True)
    (directory / "training.csv").write_text("epoch,accuracy,loss,val_loss\n0,0.5,1.5,1.7\n1,0.6,1.25,1.5\n")
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, until, lambda: "elsewhere" in header(app))
        await until(pilot, lambda: title(app, "loss") == "loss ⠒⠒ train 1.25 ◆ val 1.50")
        assert header(app).splitlines()[1].startswith("epoch 2")
        assert app.screen.check_action("stop", ()) is None and app.screen.check_action("resume", ()) is None


@pytest.fixture
def looks(monkeypatch):
    """The times at which the live screen was told that it cannot read."""
    told = []
    handle = LiveScreen.on_run_unreadable

    def count(self, message):
        told.append(message.reason)
        handle(self, message)

    monkeypatch.setattr(LiveScreen, "on_run_unreadable", count)
    return told


@pytest.mark.parametrize(
    ("obstacle", "reason"), [("root is a file", "Not a directory"), ("only run is broken", "recipe.json")]
)
async def test_what_cannot_be_read_is_told_once_a_second(app, store, until, looks, obstacle, reason):
    if obstacle == "root is a file":
        store.root.write_text("")
    else:
        directory = store.add(ONE, end="stopped")
        (directory / schema.RECIPE_FILE).write_text("{")
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, until, lambda: reason in header(app))
        await pilot.pause(1)
        assert len(looks) < 6
        assert app.watched is None


async def test_a_readable_run_goes_before_a_newer_broken_one(app, store, until):
    one = store.add(ONE, end="stopped")
    two = store.add(TWO, end="stopped")
    (two / schema.RECIPE_FILE).write_text("{")
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, until, lambda: "STOPPED" in header(app))
        assert app.watched == one


async def test_the_next_run_follows_a_watched_one_that_is_deleted(app, store, until):
    one = store.add(ONE, done=1, end="finished")
    two = store.add(TWO, done=1, end="stopped")
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, until, lambda: "STOPPED" in header(app))
        assert app.watched == two
        await pilot.press("3")
        await until(pilot, lambda: app.screen.query("RunTable") and app.screen.chosen_run() is not None)
        await pilot.press("D")
        await until(pilot, lambda: app.screen.query("#confirm"))
        await pilot.press("y")
        await until(pilot, lambda: app.watched is None and not app.screen.query("#confirm"))
        await pilot.press("2")
        await live(pilot, until, lambda: "FINISHED" in header(app))
        assert app.watched == one
