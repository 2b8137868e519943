"""The table of runs."""

import json

import pytest
from textual.widgets import Static

from keras_tricks.runs import RunWriter, schema
from tui.run_lister import RunLister
from tui.screens.live import LiveScreen
from tui.screens.runs import RunsScreen
from tui.widgets.run_table import RunTable

ONE = "20270101T000000Z-quickstart-aaaa"
TWO = "20270102T000000Z-cifar10_resnet20_d-bbbb"
THREE = "20270103T000000Z-quickstart-cccc"
BROKEN = "20270104T000000Z-quickstart-dddd"


@pytest.fixture
def app(make_app):
    return make_app("runs")


@pytest.fixture
def four_runs(store):
    store.add(ONE, epochs=3, done=3, end="finished")
    store.add(TWO, recipe="cifar10_resnet20_d", epochs=6, done=1, end="failed", error="ValueError: no data")
    store.add_live(THREE, epochs=4, done=2)
    (store.root / BROKEN).mkdir()
    (store.root / BROKEN / schema.RECIPE_FILE).write_text("{")
    return store


def cells(app):
    """The texts of the table, row by row."""
    table = app.screen.query_one(RunTable)
    return [[cell.text for cell in table.get_row_at(row)] for row in range(table.row_count)]


def names(app):
    table = app.screen.query_one(RunTable)
    return [table.coordinate_to_cell_key((row, 0)).row_key.value for row in range(table.row_count)]


def detail(app):
    return str(app.screen.query_one("#run-detail", Static).content)


async def runs(pilot, until, count):
    await until(pilot, lambda: pilot.app.screen.query("#run-detail"))
    await until(pilot, lambda: pilot.app.screen.query_one(RunTable).row_count == count)


async def test_the_table(app, four_runs, until):
    async with app.run_test(size=(120, 36)) as pilot:
        await runs(pilot, until, 4)
        assert [row[:3] for row in cells(app)] == [
            ["! broken", BROKEN, "-"],
            ["● running", "quickstart", "2/4"],
            ["✗ failed", "cifar10_resnet20_d", "1/6"],
            ["✓ finished", "quickstart", "3/3"],
        ]
        assert cells(app)[3][3:5] == [".9976", "0.4694"]
        assert "has no status.json" in detail(app)
        assert str(app.screen.query_one(".subject", Static).content) == "4 runs · ● 1 running"

        await pilot.press("down", "down")
        assert "ValueError: no data" in detail(app)
        assert app.screen.check_action("resume", ()) is True
        assert app.screen.check_action("stop", ()) is None

        four_runs.release()
        await until(pilot, lambda: cells(app)[1][0] == "? lost", seconds=3)
        assert TWO in detail(app), "The cursor stays on its run."


async def test_sorting_keeps_the_cursor_and_puts_nothing_last(app, four_runs, until):
    async with app.run_test(size=(120, 36)) as pilot:
        await runs(pilot, until, 4)
        await pilot.press("down", "down", "down")
        assert ONE in detail(app)
        for _ in range(4):
            await pilot.press("o")
        assert names(app) == [ONE, THREE, TWO, BROKEN]
        assert "Val acc▼" in str(app.screen.query_one(RunTable).ordered_columns[3].label)
        assert ONE in detail(app)
        await pilot.press("O")
        assert names(app) == [TWO, THREE, ONE, BROKEN]
        await pilot.click(RunTable, offset=(20, 0))
        assert names(app)[:2] == [BROKEN, TWO]


async def test_columns_fit_the_width(app, four_runs, until):
    async with app.run_test(size=(80, 24)) as pilot:
        await runs(pilot, until, 4)
        table = app.screen.query_one(RunTable)
        assert [column.key.value for column in table.ordered_columns] == [
            "state",
            "name",
            "id",
            "epoch",
            "val_accuracy",
            "val_loss",
            "duration",
        ]
        assert table.virtual_size.width <= 80
        assert [row[1:3] for row in cells(app)[1:3]] == [["quickstart", "cccc"], ["cifar10_resnet20_d", "bbbb"]]
        await pilot.press("down")
        await pilot.resize_terminal(120, 36)
        await until(pilot, lambda: len(table.ordered_columns) == 8)
        assert table.virtual_size.width <= 120
        assert THREE in detail(app)


async def test_home_and_end_go_to_the_first_and_the_last_run(app, four_runs, until):
    async with app.run_test(size=(80, 24)) as pilot:
        await runs(pilot, until, 4)
        await pilot.press("end")
        assert ONE in detail(app)
        await pilot.press("home")
        assert BROKEN in detail(app)


async def test_runs_come_and_go(app, store, until):
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.screen.has_class("-no-runs"))
        assert "No runs yet" in str(app.screen.query_one("#no-runs", Static).content)
        store.add(ONE, done=1, end="stopped")
        store.add(TWO, done=1, end="stopped")
        await until(pilot, lambda: names(app) == [TWO, ONE])
        await pilot.press("D")
        await until(pilot, lambda: app.screen.query("#confirm"))
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and names(app) == [ONE])
        assert not (store.root / TWO).exists()


async def test_enter_watches(app, four_runs, until):
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await runs(pilot, until, 4)
        await pilot.press("enter")
        await pilot.pause()
        assert app.current_mode == "runs"
        assert any("cannot be opened" in notice.message for notice in app._notifications)
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, LiveScreen))
        assert app.watched == four_runs.root / THREE


async def test_a_folder_that_cannot_be_read(app, store, until):
    store.root.write_text("not a folder")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.screen.query("#run-detail") and "cannot be read" in detail(app))


def test_lister_reads_ended_runs_once(store):
    directory = store.add(ONE, done=1, end="finished")
    lister = RunLister(store.root, store.clock)
    [first] = lister.look()
    assert lister.look()[0] is first
    store.rewrite_status(directory, epoch=7)
    assert lister.look()[0].epoch == 7


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        (schema.STATUS_FILE, None, "no status.json"),
        (schema.STATUS_FILE, "{", "cannot be read"),
        (schema.STATUS_FILE, json.dumps({"state": "dancing"}), "is broken"),
        (schema.STATUS_FILE, json.dumps({"schema_version": 99}), "schema version 99"),
        (schema.RECIPE_FILE, None, "no recipe.json"),
        (schema.RECIPE_FILE, "[]", "not a JSON object"),
    ],
)
def test_lister_says_why_a_run_is_broken(store, file, content, reason):
    directory = store.add(ONE, done=1, end="finished")
    if content is None:
        (directory / file).unlink()
    else:
        (directory / file).write_text(content)
    [row] = RunLister(store.root, store.clock).look()
    assert row.state == "broken"
    assert reason in row.error


def test_lister_shows_the_last_validation_also_between_two(store):
    directory = store.add(ONE, done=1)
    with RunWriter(directory) as writer:
        writer.begin(epochs=20, steps=440, epoch=1, step=22)
        writer.update(step=24, last={"loss": 1.0})
        writer.end("stopped")
    [row] = RunLister(store.root, store.clock).look()
    assert row.val_loss is not None and row.val_accuracy is not None


def test_lister_passes_over_what_is_no_run(store):
    store.root.mkdir()
    (store.root / "notes").mkdir()
    (store.root / "notes.txt").write_text("")
    assert RunLister(store.root, store.clock).look() == []
