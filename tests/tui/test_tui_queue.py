"""The queue: what the table says, and each key."""

import functools

import pytest
from queued_trainer import COMMAND, SUCCEEDS, WAITS, kill_all_of
from textual.widgets import Input, Static

from keras_tricks.presets import presets
from keras_tricks.queue import RunQueue
from keras_tricks.runs import request_stop, spawn
from tui.screens import queue as queue_screen
from tui.screens.live import LiveScreen
from tui.widgets.queue_detail import QueueDetail
from tui.widgets.queue_table import QueueTable


@pytest.fixture
def queue(store, tmp_path, monkeypatch):
    """A queue, whose runs a stand-in trains for the terminal UI too."""
    with_stand_in = functools.partial(RunQueue, trainer=COMMAND)
    monkeypatch.setattr(queue_screen, "RunQueue", with_stand_in)
    yield with_stand_in(store.root)
    kill_all_of(tmp_path)


@pytest.fixture
def add(queue):
    """Queue a run that does as told, and return it."""

    def add_run(does=SUCCEEDS, lane="all", **changes):
        return queue.add(presets()["quickstart"].changed(seed=does, **changes), lane=lane)

    return add_run


@pytest.fixture
def app(make_app):
    return make_app("queue")


def table(app):
    return app.screen.query_one(QueueTable)


def lines(app):
    """The keys of the lines, the stamps of the runs left out."""
    tables = app.screen.query(QueueTable)
    return [line.key for line in tables.first().lines] if tables else []


def cells(app, run):
    line = next(line for line in table(app).lines if line.key == run.id)
    return table(app).texts(line)


def detail(app):
    return str(app.screen.query_one(QueueDetail).content)


async def go_to(pilot, key):
    """Move the cursor to a line."""
    table(pilot.app).action_go_to_line(lines(pilot.app).index(key))
    await pilot.pause()


async def test_an_empty_queue_says_how_to_fill_it(app, until):
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.screen.has_class("-nothing"))
        words = str(app.screen.query_one("#nothing-queued", Static).content)
        assert "keras-tricks queue add quickstart" in words
        for key in ("e", "l", "f", "d", "D", "g", "s", "S", "enter"):
            await pilot.press(key)
        assert app.current_mode == "queue"


async def test_the_order_is_changed_by_keys(app, add, queue, until):
    first, second = add(epochs=7), add().id
    third = add(1).id
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: lines(app) == ["lane all", first.id, second, third])
        assert cells(app, first)[:4] == ["1", "○ queued", "quickstart", "epochs=7"]
        assert first.id in detail(app)
        assert app.screen.check_action("open_run", ()) is True
        await pilot.press("l")
        await until(pilot, lambda: lines(app) == ["lane all", second, first.id, third])
        assert first.id in detail(app), "The cursor stays on its run."
        await pilot.press("e")
        await until(pilot, lambda: lines(app) == ["lane all", first.id, second, third])
        await pilot.press("end", "f")
        await until(pilot, lambda: lines(app) == ["lane all", third, first.id, second])

        await pilot.press("d")
        await until(pilot, lambda: app.screen.query(Input))
        app.screen.query_one(Input).value = "gpu1,"
        await pilot.press("enter")
        assert "Expected a lane" in str(app.screen.query_one("#name-problem", Static).content)
        app.screen.query_one(Input).value = "gpu1,0"
        await pilot.press("enter")
        await until(pilot, lambda: lines(app) == ["lane all", first.id, second, "lane gpu0,1", third])

        await pilot.press("D")
        await until(pilot, lambda: app.screen.query("#confirm"))
        await pilot.press("n")
        await until(pilot, lambda: lines(app)[-1:] == [third])
        await pilot.press("D")
        await until(pilot, lambda: app.screen.query("#confirm"))
        await pilot.press("y")
        await until(pilot, lambda: lines(app) == ["lane all", first.id, second])
        assert not (queue.root / third).exists()

        await pilot.click(QueueTable, offset=(5, 2))
        assert first.id in detail(app)
        await pilot.resize_terminal(120, 36)
        assert table(app).virtual_size.width <= 120
        await pilot.press("home")
        assert "no runner  lane all" in detail(app)
        assert [app.screen.check_action(action, ()) for action in ("start", "stop", "move")] == [True, None, None]


async def test_a_lane_is_started_watched_and_stopped(app, add, queue, until):
    first, second, third = add(WAITS), add(WAITS), add()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(lines(app)) == 4)
        await pilot.press("g")
        await until(pilot, lambda: first.status().state == "running", seconds=60)
        await until(pilot, lambda: cells(app, first)[:2] == ["▸", "● running"])
        assert cells(app, first)[4] == "0/1"
        assert str(app.screen.query_one(".subject", Static).content) == "2 waiting · ● 1 running"
        assert [app.screen.check_action(action, ()) for action in ("move", "remove", "start")] == [None] * 3
        await pilot.press("home")
        assert "runner at work  lane all  process" in detail(app)

        await pilot.press("s")
        await until(pilot, lambda: "stops after its run" in detail(app))
        await pilot.press("g")
        await until(pilot, lambda: "runner at work" in detail(app))
        request_stop(first)
        await until(pilot, lambda: second.status().state == "running", seconds=60)
        await until(pilot, lambda: f"ended {first.id}" in lines(app))
        assert lines(app) == ["lane all", second.id, third.id, "ended", f"ended {first.id}"]

        await pilot.press("S")
        await until(pilot, lambda: app.screen.query("#confirm"))
        await pilot.press("y")
        now = ["lane all", third.id, "ended", f"ended {second.id}", f"ended {first.id}"]
        await until(pilot, lambda: lines(app) == now, seconds=60)
        await until(pilot, lambda: "it was asked to stop" in detail(app))
        assert (second.status().state, third.status().state) == ("stopped", "queued")

        await go_to(pilot, f"ended {second.id}")
        assert "■ stopped" in detail(app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LiveScreen))
        assert app.watched == second.directory

        spawn(second, resume=True, trainer=COMMAND)
        await until(pilot, lambda: second.status().state == "running", seconds=60)
        await pilot.press("5")
        await until(pilot, lambda: f"ended {second.id}" not in lines(app))


async def test_what_is_wrong_is_said(app, add, queue, until):
    run = add()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: len(lines(app)) == 2)
        (run.directory / "status.json").unlink()
        await until(pilot, lambda: cells(app, run)[1] == "! broken")
        assert "no status.json" in detail(app)
        await pilot.press("enter")
        await pilot.pause()
        assert app.current_mode == "queue"
        order = queue.root / ".queue" / "order.json"
        order.write_text("{")
        await until(pilot, lambda: "The queue cannot be read" in detail(app))
        await pilot.press("f")
        await until(pilot, lambda: any("order.json cannot be read" in note.message for note in app._notifications))
