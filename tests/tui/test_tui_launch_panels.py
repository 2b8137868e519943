"""The launch screen: filter, precision, memory, the command, what runs say, and the recipes of runs."""

import pytest
from launch_places import editor, place, started, text_of
from textual.widgets import Label, Static

from keras_tricks.runs import create_run, list_runs
from keras_tricks.tricks import TRICKS
from tui.screens import launch_actions
from tui.widgets.about_panel import AboutPanel
from tui.widgets.editors import TrickSwitch
from tui.widgets.trick_panel import TrickGroup, TrickRow

ABSENT_PID = 2**22 + 1


@pytest.fixture
def app(make_app):
    return make_app("launch")


async def test_the_filter_shows_some_tricks(app):
    def shown():
        return {row.trick.name for row in app.screen.query(TrickRow) if row.display}

    async with app.run_test(size=(80, 24)) as pilot:
        await started(pilot)
        everything = shown()
        assert everything == set(TRICKS)
        await pilot.press("slash", *"brock")
        assert "adaptive_gradient_clipping" in shown() and "mixup" not in shown()
        assert "5 shown" in app.screen.query_one("#tricks").border_title
        headings = [str(group.query_one(Label).content) for group in app.screen.query(TrickGroup) if group.display]
        assert headings == ["DATA", "MODEL", "OPTIMIZER", "CALLBACKS"]
        await pilot.press(*["backspace"] * 5, *"on mixup", "enter")
        assert shown() == {"mixup"}
        assert app.screen.focused.where == "mixup"
        await pilot.press("space", "down")
        assert app.screen.focused.where == "mixup", "A trick that is turned off stays in sight."

        await pilot.press("slash", *["backspace"] * 8, *"zzz")
        assert shown() == set()
        app.screen.jump("zero_gamma")
        await pilot.pause()
        assert app.screen.focused.where == "zero_gamma"
        assert shown() == everything
        await pilot.press("slash", *"cut", "escape")
        assert shown() == everything
        assert not app.screen.query_one("#trick-filter").display
        assert isinstance(app.screen.focused, TrickSwitch)


async def test_precision_is_a_field_and_a_trick(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await started(pilot)
        editor(app, "precision").focus()
        await pilot.press("right", "right")
        assert app.screen.draft.recipe.trick("mixed_precision").dtype == "bfloat16"
        assert place(app, "mixed_precision").on
        assert "Compute in 16 bits" in str(app.screen.query_one(AboutPanel).content)
        place(app, "mixed_precision").focus()
        await pilot.press("space")
        assert editor(app, "precision").value == "float32"


async def test_parameters_and_memory_follow_the_recipe(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await started(pilot)
        setup = app.screen.query_one("#setup")
        assert setup.border_subtitle == "0.27 M · about 29 MiB"
        batch = editor(app, "batch_size")
        batch.focus()
        await pilot.press("end", "0")
        assert setup.border_subtitle == "0.27 M · about 264 MiB"
        help_text = str(app.screen.query_one(AboutPanel).content)
        for words in ("Parameters  272,474", "640 images at once", "Activations", "comes on top"):
            assert words in help_text


async def test_command_and_script_are_copied_and_shown(app):
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await started(pilot)
        await pilot.press("Y")
        assert app.clipboard == app.screen.draft.recipe.to_script()
        recipe, command = app.screen.draft.recipe, app.screen.draft.command()
        await pilot.press("v")
        assert text_of(app.screen.query_one("#whole-command", Static)) == command
        assert text_of(app.screen.query_one("#whole-script", Static)) == recipe.to_script()
        await pilot.press("y")
        assert app.clipboard == command
        await pilot.press("Y", "escape")
        assert app.clipboard == recipe.to_script()
        assert app.screen.MODE == "launch"


async def test_what_runs_say_of_a_trick(app, store, until):
    store.add("20270101T000000Z-quickstart-aaaa", done=20, end="finished")
    async with app.run_test(size=(80, 24)) as pilot:
        await started(pilot)
        place(app, "mixup").focus()
        panel = app.screen.query_one(AboutPanel)
        await until(pilot, lambda: "1 run with it; no pairs" in str(panel.content))
        place(app, "cutmix").focus()
        await until(pilot, lambda: "no finished run with it yet" in str(panel.content))


async def test_the_recipe_of_a_run_is_edited_as_its_child(app, store, monkeypatch, until):
    monkeypatch.setattr(launch_actions, "start", lambda run: ABSENT_PID)
    directory = store.add("20270101T000000Z-quickstart-aaaa", epochs=7, done=7, end="finished")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await started(pilot)
        await pilot.press("3")
        app.edit_run(directory)
        await until(pilot, lambda: app.screen.draft.parent == directory.name)
        assert editor(app, "epochs").value == "7"
        panel = app.screen.query_one(AboutPanel)
        await until(pilot, lambda: directory.name in str(panel.content).replace("\n", ""))
        editor(app, "epochs").focus()
        await pilot.press("end", "1", "f5")
        await until(pilot, lambda: app.current_mode == "live")
        run = next(run for run in list_runs(store.root) if run.id != directory.name)
        assert run.document()["parent"] == directory.name
        assert run.document()["argv"] == ["keras-tricks", "train", "quickstart", "--set", "epochs=71"]

        for name, document in (("own", None), ("newer", {"schema_version": 99})):
            other = create_run(store.root, name, document)
            app.edit_run(other)
            await until(pilot, lambda: any("It cannot be edited" in notice.message for notice in app._notifications))
            app.clear_notifications()
            await until(pilot, lambda: not app._notifications)


async def test_a_run_can_be_edited_before_the_launch_screen_was_shown(make_app, store, until):
    directory = store.add("20270101T000000Z-quickstart-aaaa", epochs=7, done=7, end="finished")
    app = make_app("runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await started(pilot)
        app.edit_run(directory)
        await until(pilot, lambda: app.current_mode == "launch" and app.screen.draft.parent == directory.name)
