"""The user's own recipes on the launch screen: save, rename, delete, and files that are broken."""

import asyncio
import threading

import pytest
from textual.widgets import Input, Static

from keras_tricks import Recipe, tricks
from keras_tricks.user_recipes import find_user_recipe, recipes_directory, rename_recipe, save_recipe, user_recipes
from tui.widgets.about_panel import AboutPanel
from tui.widgets.recipe_list import RecipeList

MINE = Recipe(name="x", model="nf_resnet20", epochs=3, tricks=(tricks.Mixup(alpha=0.4),))


@pytest.fixture(autouse=True)
def _config(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_TRICKS_CONFIG", str(tmp_path / "config"))


@pytest.fixture
def app(make_app):
    return make_app("launch")


def lines(app):
    """What the list shows, without the marks."""
    recipes = app.screen.query_one(RecipeList)
    return [str(recipes.get_option_at_index(place).prompt).lstrip("▸● ") for place in range(recipes.option_count)]


def problem(app):
    return str(app.screen.query_one("#name-problem", Static).content)


async def type_name(pilot, name):
    pilot.app.screen.query_one("#name", Input).value = name
    await pilot.press("enter")


async def test_save_rename_and_delete(app, until):
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.screen.query("FieldRow"))
        launch = app.screen
        assert "Yours" not in lines(app)
        launch.draft.edit("epochs", "7")
        await pilot.press("ctrl+s")
        assert app.screen.query_one("#name", Input).value == "my_quickstart"
        await type_name(pilot, "quickstart")
        assert "quickstart is a preset" in problem(app)
        await type_name(pilot, "mine")
        await until(pilot, lambda: launch.draft.base.name == "mine")
        assert find_user_recipe("mine").epochs == 7
        assert lines(app)[-2:] == ["Yours", "mine"]
        assert launch._drafts.edited == [], "Its edits are the new recipe's now."
        assert launch.draft.command() == "keras-tricks train mine"
        assert "R renames it" in str(launch.query_one(AboutPanel).content)

        launch.draft.edit("epochs", "8")
        await pilot.press("ctrl+s", "enter", "n")
        assert find_user_recipe("mine").epochs == 7 and launch.draft.recipe.epochs == 8
        await pilot.press("ctrl+s", "enter", "y")
        await until(pilot, lambda: not launch.draft.edited)
        assert find_user_recipe("mine").epochs == launch.draft.recipe.epochs == 8

        await pilot.press("R")
        await type_name(pilot, "other")
        await until(pilot, lambda: lines(app)[-1] == "other")
        assert launch.draft.base.name == "other"
        await pilot.press("D", "n")
        assert find_user_recipe("other") is not None
        await pilot.press("D", "y")
        await until(pilot, lambda: "Yours" not in lines(app))
        assert find_user_recipe("other") is None
        await pilot.press("D")
        await until(pilot, lambda: any("Presets cannot" in note.message for note in app._notifications))
        await pilot.press("R")
        await until(pilot, lambda: any("Presets keep" in note.message for note in app._notifications))


async def test_a_slow_look_at_the_recipes_does_not_undo_what_was_saved_meanwhile(app, until, monkeypatch):
    looked, go_on = threading.Event(), threading.Event()

    def slow_first_time():
        recipes = user_recipes()
        if not looked.is_set():
            looked.set()
            go_on.wait(10)
        return recipes

    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.screen.query("FieldRow"))
        await app.workers.wait_for_complete()
        monkeypatch.setattr("tui.screens.recipe_actions.user_recipes", slow_first_time)
        app.screen.read_own_recipes()
        await until(pilot, looked.is_set)
        await pilot.press("ctrl+s")
        await type_name(pilot, "mine")
        await asyncio.sleep(0.3)
        go_on.set()
        await app.workers.wait_for_complete()
        await pilot.pause()
        await until(pilot, lambda: lines(app)[-1] == "mine")


async def test_a_look_between_a_change_and_its_telling_does_not_come_before_it(app, until, monkeypatch):
    save_recipe(MINE, "mine")
    renamed, go_on, told = threading.Event(), threading.Event(), []

    def slow_rename(name, new_name):
        rename_recipe(name, new_name)
        renamed.set()
        go_on.wait(10)

    monkeypatch.setattr("tui.screens.recipe_actions.rename_recipe", slow_rename)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: lines(app)[-1] == "mine")
        await until(pilot, lambda: app.screen.query("FieldRow"))
        await pilot.press("end")
        await until(pilot, lambda: app.screen.draft.base.name == "mine")
        app.screen.draft.edit("epochs", "8")
        show = app.screen.on_user_recipes_read
        monkeypatch.setattr(
            type(app.screen),
            "on_user_recipes_read",
            lambda screen, message: (told.append(message.renamed), show(message)),
        )
        await pilot.press("R")
        await type_name(pilot, "other")
        await until(pilot, renamed.is_set)
        app.screen.read_own_recipes()
        await asyncio.sleep(0.3)
        go_on.set()
        await app.workers.wait_for_complete()
        await until(pilot, lambda: lines(app)[-1] == "other")
        assert told[0] == "mine" and set(told[1:]) <= {None}
        assert lines(app)[-2] == "Yours"
        assert app.screen.draft.base.name == "other" and app.screen.draft.recipe.epochs == 8


async def test_saved_recipes_and_broken_ones_are_listed(app, until):
    save_recipe(MINE, "mine")
    (recipes_directory() / "bad.json").write_text("{")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "Yours" in lines(app))
        launch = app.screen
        assert lines(app)[-3:] == ["Yours", "mine", "✗ bad"]
        await pilot.press("end", "up")
        assert launch.draft.recipe == MINE.changed(name="mine")
        await pilot.press("down")
        assert launch.draft.base.name == "mine", "A broken recipe cannot be chosen."
        panel = launch.query_one(AboutPanel)
        assert panel.border_title == "About: bad" and "not valid JSON" in str(panel.content)
        await pilot.press("D", "y")
        await until(pilot, lambda: "✗ bad" not in lines(app))
        assert not (recipes_directory() / "bad.json").exists()

        launch.draft.edit("epochs", "9")
        save_recipe(MINE.changed(epochs=5), "mine", replace=True)
        await pilot.press("3", "1")
        await until(pilot, lambda: launch.own_recipes["mine"].recipe.epochs == 5)
        assert launch.draft.recipe.epochs == 9, "Edits are kept."

        await pilot.press("R")
        await type_name(pilot, "other")
        await until(pilot, lambda: launch.draft.base.name == "other")
        assert launch.draft.command() == "keras-tricks train other --set epochs=9"
        (recipes_directory() / "other.json").unlink()
        await pilot.press("3", "1")
        await until(pilot, lambda: "other" not in launch.own_recipes)
        assert launch.draft.recipe.epochs == 9
        assert lines(app)[-1] == "other", "A file that went away takes no edits along."


async def test_a_recipe_that_cannot_be_saved_keeps_its_edits(app, until):
    recipes_directory().parent.mkdir(parents=True)
    recipes_directory().write_text("")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.screen.query("FieldRow"))
        app.screen.draft.edit("epochs", "7")
        await pilot.press("ctrl+s")
        await type_name(pilot, "mine")
        await until(pilot, lambda: any("cannot be written" in notice.message for notice in app._notifications))
        assert app.screen.draft.recipe.epochs == 7
        recipes_directory().unlink()
        await pilot.press("ctrl+s")
        assert app.screen.query_one("#name", Input).value == "mine", "What was typed is proposed again."
        await pilot.press("enter")
        await until(pilot, lambda: "mine" in app.screen.own_recipes)
