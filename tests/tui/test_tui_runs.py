"""The table of runs."""

import json
import shutil

import pytest
from textual.widgets import OptionList, Static

from keras_tricks.runs import Run, RunError, RunWriter, remove, schema
from keras_tricks.user_config import Preferences
from tui.run_lister import RunLister
from tui.screens import run_actions
from tui.screens.live import LiveScreen
from tui.screens.runs import RunsScreen
from tui.widgets.filter_bar import FilterBar
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
    return [table.cells(row) for row in table.rows]


def names(app):
    return [row.id for row in app.screen.query_one(RunTable).rows]


def columns(app):
    return [shown.column.key for shown in app.screen.query_one(RunTable).columns]


def line(app, y):
    """A line of the table as it is drawn."""
    return app.screen.query_one(RunTable).render_line(y).text


def detail(app):
    return str(app.screen.query_one("#run-detail", Static).content)


async def runs(pilot, until, count):
    await until(pilot, lambda: pilot.app.screen.query("#run-detail"))
    await until(pilot, lambda: len(pilot.app.screen.query_one(RunTable).rows) == count)


async def test_the_table(app, four_runs, until):
    async with app.run_test(size=(120, 36)) as pilot:
        await runs(pilot, until, 4)
        assert [row[:4] for row in cells(app)] == [
            ["! broken", BROKEN, "dddd", "-"],
            ["● running", "quickstart", "cccc", "2/4"],
            ["✗ failed", "cifar10_resnet20_d", "bbbb", "1/6"],
            ["✓ finished", "quickstart", "aaaa", "3/3"],
        ]
        assert cells(app)[3][4:6] == [".9976", "0.4694"]
        assert "recipe.json cannot be read" in detail(app)
        assert str(app.screen.query_one(".subject", Static).content) == "4 runs · ● 1 running"

        await pilot.press("down", "down")
        assert "ValueError: no data" in detail(app)
        assert app.screen.check_action("resume", ()) is True
        assert app.screen.check_action("stop", ()) is None

        four_runs.release()
        await until(pilot, lambda: cells(app)[1][0] == "? lost")
        assert TWO in detail(app), "The cursor stays on its run."


async def test_sorting_keeps_the_cursor_and_puts_nothing_last(app, four_runs, until):
    async with app.run_test(size=(120, 36)) as pilot:
        await runs(pilot, until, 4)
        await pilot.press("down", "down", "down")
        assert ONE in detail(app)
        for _ in range(5):
            await pilot.press("o")
        assert names(app) == [ONE, THREE, TWO, BROKEN]
        assert "Val acc▼" in line(app, 0)
        assert ONE in detail(app)
        await pilot.press("O")
        assert names(app) == [TWO, THREE, ONE, BROKEN]
        await pilot.click(RunTable, offset=(20, 0))
        assert names(app)[:2] == [BROKEN, TWO]
        assert "Name▲" in line(app, 0)
        await pilot.click(RunTable, offset=(20, 3))
        assert names(app)[2] in detail(app)


async def test_columns_fit_the_width(app, four_runs, until):
    async with app.run_test(size=(80, 24)) as pilot:
        await runs(pilot, until, 4)
        table = app.screen.query_one(RunTable)
        assert columns(app) == ["state", "name", "id", "epoch", "val_accuracy", "val_loss", "duration"]
        assert table.virtual_size.width <= 80
        assert [row[1:3] for row in cells(app)[1:3]] == [["quickstart", "cccc"], ["cifar…esnet20_d", "bbbb"]]
        await pilot.press("down")
        await pilot.resize_terminal(120, 36)
        await until(pilot, lambda: len(columns(app)) == 9)
        assert table.virtual_size.width <= 120
        await pilot.resize_terminal(240, 60)
        await until(pilot, lambda: columns(app)[:4] == ["state", "name", "id", "tricks"])
        assert table.virtual_size.width <= 240
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


async def test_marks_and_the_baseline(app, four_runs, until):
    async with app.run_test(size=(120, 36)) as pilot:
        await runs(pilot, until, 4)
        await pilot.press("down", "space", "space")
        assert app.selection.marked == [four_runs.root / THREE, four_runs.root / TWO]
        assert ONE in detail(app), "Space goes to the next run."
        await pilot.press("b")
        await until(pilot, lambda: line(app, 4).startswith(" ★"))
        assert [line(app, y)[:2] for y in range(1, 5)] == ["  ", "■ ", "■ ", " ★"]
        assert columns(app)[4:6] == ["val_accuracy", "delta.val_accuracy"]
        assert [row[5] for row in cells(app)] == ["-", "-.0449", "-.3471", "-"]
        assert "■ 2" in str(app.screen.query_one(".subject", Static).content)

        await pilot.press("u")
        assert app.selection.marked == []
        await pilot.press("slash", *"state:failed", "enter", "a")
        assert app.selection.marked == [four_runs.root / TWO]
        await pilot.press("escape", "end", "b")
        assert app.selection.baseline is None
        assert "delta.val_accuracy" not in columns(app)


async def test_the_columns_follow_the_tasks_of_the_runs(app, store, until):
    def segmenter(run_id):
        directory = store.add(run_id, recipe="camvid_fcn_resnet50_d", done=1, end="finished")
        best = {"metric": "val_mean_iou", "value": 0.25, "epoch": 1}
        store.rewrite_status(directory, best=best, last={"val_mean_iou": 0.25})

    segmenter(ONE)
    segmenter(TWO)
    async with app.run_test(size=(80, 24)) as pilot:
        await runs(pilot, until, 2)
        assert columns(app)[4] == "val_mean_iou" and cells(app)[0][4] == ".2500"
        await pilot.press("b")
        assert columns(app)[4:6] == ["val_mean_iou", "delta.val_mean_iou"]
        store.add(THREE, done=1, end="finished")
        await runs(pilot, until, 3)
        assert columns(app)[4:6] == ["best", "delta.best"]


async def test_what_is_gone_is_neither_marked_nor_the_baseline(app, store, until):
    directories = [store.add(run_id, done=1, end="finished") for run_id in (ONE, TWO)]
    app.selection.mark(directories)
    app.selection.baseline = directories[1]
    async with app.run_test(size=(80, 24)) as pilot:
        await runs(pilot, until, 2)
        shutil.rmtree(directories[1])
        await until(pilot, lambda: len(names(app)) == 1)
        assert app.selection.marked == directories[:1]
        assert app.selection.baseline is None


async def test_the_filter(app, four_runs, until):
    async with app.run_test(size=(80, 24)) as pilot:
        await runs(pilot, until, 4)
        bar = app.screen.query_one(FilterBar)
        assert not bar.display
        await pilot.press("slash", *"val_accuracy>.9")
        assert names(app) == [THREE, ONE]
        assert str(bar.query_one("#filter-count", Static).content) == "2 of 4"
        await pilot.press(*" zzz>1")
        error = str(bar.query_one("#filter-error", Static).content)
        assert "character 17" in error and "There is no 'zzz'" in error
        assert names(app) == [BROKEN, THREE, TWO, ONE], "A filter in the making hides nothing."
        await pilot.press(*["backspace"] * 6, "enter")
        assert bar.display and app.screen.query_one(RunTable).has_focus
        assert names(app) == [THREE, ONE]
        four_runs.rewrite_status(four_runs.root / TWO, last={"val_accuracy": 0.99})
        await until(pilot, lambda: names(app) == [THREE, TWO, ONE])
        await pilot.press("escape")
        assert names(app) == [BROKEN, THREE, TWO, ONE]
        assert not bar.display


async def test_columns_are_chosen_and_remembered(make_app, four_runs, until, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_TRICKS_CONFIG", str(tmp_path / "config"))
    app = make_app("runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await runs(pilot, until, 4)
        await pilot.press("c", "down", "space", "slash", *"warmup.ep")
        listed = app.screen.query_one(OptionList)
        assert [listed.get_option_at_index(index).id for index in range(listed.option_count)] == ["warmup.epochs"]
        await pilot.press("enter", "space", "u", "u", "escape", "enter")
        chosen = ["state", "id", "epoch", "val_accuracy", "warmup.epochs", "val_loss", "duration"]
        assert columns(app) == chosen
        assert [row[4] for row in cells(app)] == ["-", "1", "1", "1"]
        await pilot.press("c", "space", "escape")
        assert columns(app) == chosen, "Escape changes nothing."

    Preferences.load().changed(columns=("name", "no_such.thing", "warmup.epochs")).save()
    app = make_app("runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await runs(pilot, until, 4)
        assert columns(app) == ["name", "no_such.thing", "warmup.epochs"]
        assert [row[1] for row in cells(app)] == ["-"] * 4
        await pilot.press("o")
        assert names(app)[:2] == [BROKEN, TWO], "By the first column there is."
        await pilot.press("c", "x")
        assert len(columns(app)) == 7
        assert Preferences.load().columns is None


async def test_the_marked_are_deleted_after_a_question_that_names_them(app, four_runs, until):
    async with app.run_test(size=(80, 24)) as pilot:
        await runs(pilot, until, 4)
        await pilot.press("a", "D")
        await until(pilot, lambda: app.screen.query("#confirm"))
        words = str(app.screen.query_one("#detail", Static).content)
        assert all(run_id in words for run_id in (ONE, TWO, BROKEN))
        assert THREE not in words and "1 that are being trained" in words
        await pilot.press("n")
        assert len(list(four_runs.root.iterdir())) == 4
        await pilot.press("D")
        await until(pilot, lambda: app.screen.query("#confirm"))
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and names(app) == [THREE])
        assert [path.name for path in four_runs.root.iterdir()] == [THREE]
        assert app.selection.marked == [four_runs.root / THREE]
        assert app.screen.check_action("delete", ()) is None


async def test_the_question_says_how_many_of_the_marked_are_not_seen(app, four_runs, until):
    async with app.run_test(size=(80, 24)) as pilot:
        await runs(pilot, until, 4)
        await pilot.press("a", "slash", *"state:failed", "enter", "D")
        await until(pilot, lambda: pilot.app.screen.query("#detail"))
        assert "The filter hides 2 of them." in str(app.screen.query_one("#detail", Static).content)
        await pilot.press("n", "escape", "D")
        await until(pilot, lambda: pilot.app.screen.query("#detail"))
        assert "hides" not in str(app.screen.query_one("#detail", Static).content)


async def test_a_run_that_cannot_be_deleted_is_named_and_the_others_go(app, four_runs, until, monkeypatch):
    def refusing(run):
        if run.id == TWO:
            raise RunError(f"{TWO} is on a read-only disk.")
        remove(run)

    monkeypatch.setattr(run_actions, "remove", refusing)
    async with app.run_test(size=(80, 24)) as pilot:
        await runs(pilot, until, 4)
        await pilot.press("a", "D")
        await until(pilot, lambda: app.screen.query("#confirm"))
        await pilot.press("y")
        await until(pilot, lambda: any("1 of 3 runs stay" in note.message for note in app._notifications))
        assert any("read-only disk" in note.message for note in app._notifications)
        assert sorted(path.name for path in four_runs.root.iterdir()) == sorted([TWO, THREE])


async def test_a_recipe_is_edited_where_there_is_one(app, four_runs, until, monkeypatch):
    edited = []
    monkeypatch.setattr(app, "edit_run", edited.append)
    async with app.run_test(size=(80, 24)) as pilot:
        await runs(pilot, until, 4)
        await pilot.press("e", "down", "e")
        assert edited == [four_runs.root / THREE]


async def test_what_is_only_read_cannot_be_changed(app, four_runs, until, monkeypatch):
    monkeypatch.setattr(Run, "is_read_only", True)
    async with app.run_test(size=(80, 24)) as pilot:
        await runs(pilot, until, 4)
        await pilot.press("down")
        assert [app.screen.check_action(action, ()) for action in ("stop", "kill", "resume", "delete")] == [None] * 4


async def test_lines_that_are_wider_than_the_screen_and_hold_anything(app, four_runs, until):
    four_runs.rewrite_status(four_runs.root / TWO, error="ValueError: 数据\x1b[31m not\nhere" + "!" * 99)
    async with app.run_test(size=(80, 24)) as pilot:
        await runs(pilot, until, 4)
        table = app.screen.query_one(RunTable)
        table.show_columns(("error", "tricks", "name", "model", "started", "host"))
        assert table.virtual_size.width > 80
        for _ in range(2):
            for y in range(6):
                assert table.render_line(y).cell_length == table.size.width
            assert "\x1b" not in line(app, 3)
            await pilot.pause()
            table.scroll_to(x=20, animate=False, immediate=True)
        assert "ValueError" not in line(app, 3)


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
    lister = RunLister(store.root)
    [first] = lister.look()
    assert lister.look()[0] is first
    store.rewrite_status(directory, epoch=7)
    assert lister.look()[0].status.epoch == 7


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        (schema.STATUS_FILE, None, "no status.json"),
        (schema.STATUS_FILE, "{", "cannot be read"),
        (schema.STATUS_FILE, json.dumps({"state": "dancing"}), "is broken: state: Input should be 'queued'"),
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
    [row] = RunLister(store.root).look()
    assert row.state == "broken"
    assert reason in row.error


def test_lister_shows_the_last_validation_also_between_two(store):
    directory = store.add(ONE, done=1)
    with RunWriter(directory) as writer:
        writer.begin(epochs=20, steps=440, epoch=1, step=22)
        writer.update(step=24, last={"loss": 1.0})
        writer.end("stopped")
    [row] = RunLister(store.root).look()
    assert {"val_loss", "val_accuracy"} <= set(row.status.last)


def test_lister_passes_over_what_is_no_run(store):
    store.root.mkdir()
    (store.root / "notes").mkdir()
    (store.root / "notes.txt").write_text("")
    assert RunLister(store.root).look() == []
