"""The launch screen, by the keyboard and by the mouse."""

import json

import pytest
from launch_places import checks, editor, place, started, text_of
from textual.command import CommandList
from textual.widgets import OptionList, Static

from keras_tricks.runs import Run, RunError, list_runs
from tui.screens import launch_actions
from tui.widgets.about_panel import AboutPanel
from tui.widgets.checks_panel import ChecksPanel
from tui.widgets.editors import ChoiceEditor, MenuEditor, TextEditor, TrickSwitch
from tui.widgets.recipe_list import RecipeList
from tui.widgets.setup_panel import FieldRow

ABSENT_PID = 2**22 + 1


@pytest.fixture
def app(make_app):
    return make_app("launch")


async def test_hurrying_through_the_recipes_edits_none(app):
    """The rows of tricks that one recipe has are still coming when another is chosen."""
    async with app.run_test(size=(80, 24)) as pilot:
        await started(pilot)
        recipes = app.screen.query_one(RecipeList)
        for index in range(recipes.option_count):
            recipes.highlighted = index
        await started(pilot)
        assert app.screen.draft.base.name == "voc07_detection"
        assert app.screen._drafts.edited == []


async def test_editing_by_keyboard(app):
    """Fields, choices, menus, tricks and parameters; the checks and the command follow."""
    async with app.run_test(size=(80, 24)) as pilot:
        await started(pilot)
        screen = app.screen
        assert screen.focused.id == "recipes"
        assert app.screen.draft.base.name == "quickstart"
        assert checks(app) == ["✓ Ready: l launches it, a queues it."]

        editor(app, "epochs").focus()
        await pilot.press("end", "backspace", "backspace", "5", "0")
        assert screen.draft.recipe.epochs == 50
        await pilot.press("down")
        assert screen.focused.where == "batch_size"
        assert "Images a step" in str(screen.query_one(AboutPanel).content)

        nesterov = editor(app, "nesterov")
        assert isinstance(nesterov, ChoiceEditor)
        nesterov.focus()
        await pilot.press("right")
        assert screen.draft.recipe.nesterov is False

        model = editor(app, "model")
        assert isinstance(model, MenuEditor)
        model.focus()
        await pilot.press("enter", "down", "enter")
        assert screen.draft.recipe.model == "resnet56"

        place(app, "mixup").focus()
        await pilot.press("right", "end", "backspace", "3")
        assert screen.focused.where == "mixup.alpha"
        assert screen.draft.recipe.trick("mixup").alpha == 0.3
        await pilot.press("escape")
        assert screen.focused.where == "mixup"
        await pilot.press("down", "space")
        assert screen.draft.is_on("cutmix")
        await pilot.press("up", "enter")
        assert not screen.draft.is_on("mixup")

        command = text_of(screen.query_one("#command", Static))
        assert command == f"$ {screen.draft.command()}"
        for word in ("epochs=50", "nesterov=false", "model=resnet56", "--trick cutmix", "--no-trick mixup"):
            assert word in command
        await pilot.press("y")
        assert app.clipboard == screen.draft.command()

        await pilot.press("u")
        assert not screen.draft.edited
        assert editor(app, "epochs").value == "20"
        assert place(app, "mixup").on


async def test_a_wrong_value_is_a_check_that_enter_leads_to(app, store):
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await started(pilot)
        editor(app, "learning_rate").focus()
        await pilot.press("end", "x")
        row = next(row for row in app.screen.query(FieldRow) if row.where == "learning_rate")
        assert row.has_class("-wrong")
        [check] = checks(app)
        assert check.startswith("✗ learning_rate") and "0.2x" in check
        assert app.screen.query_one(ChecksPanel).border_title == "Checks · 1 error"

        await pilot.press("escape", "l")
        await started(pilot)
        assert list_runs(store.root) == []
        assert "Not launched" in next(iter(app._notifications)).message
        assert app.screen.focused.where == "learning_rate"

        app.screen.query_one(ChecksPanel).focus()
        await pilot.press("down", "enter")
        assert app.screen.focused is editor(app, "learning_rate")
        assert editor(app, "learning_rate").value == "0.2x"
        await pilot.press("backspace")
        assert checks(app) == ["✓ Ready: l launches it, a queues it."]


async def test_a_wrong_value_leaves_nothing_half_typed(app):
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await started(pilot)
        editor(app, "epochs").focus()
        await pilot.press("end", "backspace", "backspace", *"1e999")
        assert editor(app, "epochs").value == "1e999"
        assert app.screen.draft.recipe.epochs == 20
        assert text_of(app.screen.query_one("#command", Static)) == "$ keras-tricks train quickstart"
        assert len(checks(app)) == 1
        await pilot.press("escape", "y")
        await pilot.pause()
        assert "without epochs (1e999 is wrong)" in list(app._notifications)[-1].message


async def test_a_long_text_shows_its_start_unless_it_is_edited(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await started(pilot)
        data = editor(app, "data")
        data.focus()
        await pilot.press("end", *"/a/long/path/to/pictures")
        assert data.render_line(0).text.rstrip().endswith("pictures")
        await pilot.press("escape")
        text = data.render_line(0).text
        assert text.startswith("digits/a") and text.endswith("…") and len(text) == data.content_size.width


async def test_runs_that_cannot_be_read_are_told_once(app, store):
    store.root.write_text("")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        for _ in range(3):
            await started(pilot)
            app.screen.read_runs()
        await started(pilot)
        assert len([notice for notice in app._notifications if "cannot be read" in notice.message]) == 1


async def test_problems_of_tricks_show_in_their_rows(app):
    async with app.run_test(size=(120, 36)) as pilot:
        await started(pilot)
        place(app, "step_decay").focus()
        await pilot.press("space")
        row = place(app, "step_decay").parent
        assert {problem.where for problem in app.screen.draft.problems()} >= {"cosine_decay"}
        assert any("exclude each other" in check for check in checks(app))
        note = next(
            text_of(widget)
            for widget in place(app, "cosine_decay").parent.query(".trick-note").results(Static)
            if widget.display
        )
        assert note.startswith("✗")
        assert row.query_one(TextEditor).display


async def test_drafts_of_other_recipes_are_kept(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await started(pilot)
        editor(app, "epochs").focus()
        await pilot.press("end", "1")
        await pilot.press("escape", "up")
        assert app.screen.draft.base.name == "imagenet_resnet50_d_tricks"
        assert editor(app, "model").value == "resnet50"
        assert place(app, "mixed_precision").on
        await pilot.press("down")
        assert editor(app, "epochs").value == "201"
        recipes = app.screen.query_one("#recipes", OptionList)
        assert str(recipes.get_option("quickstart").prompt) == "▸● quickstart"


async def test_help_on_what_has_the_focus(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await started(pilot)
        panel = app.screen.query_one(AboutPanel)
        assert "handwritten digits" in str(panel.content)
        place(app, "label_smoothing").focus()
        await pilot.pause()
        help_text = str(panel.content)
        for words in ("uniform distribution", "epsilon", "≥ 0 and < 1", "He et al. 2018", "5.2", "arxiv.org"):
            assert words in help_text
        editor(app, "model").focus()
        await pilot.pause()
        assert "0.272 M" in str(panel.content)


async def test_the_mouse_does_what_the_keys_do(app):
    async with app.run_test(size=(120, 36)) as pilot:
        await started(pilot)
        zero_gamma = place(app, "zero_gamma")
        assert isinstance(zero_gamma, TrickSwitch)
        zero_gamma.scroll_visible(animate=False, immediate=True)
        await pilot.pause()
        await pilot.click(zero_gamma)
        assert not app.screen.draft.is_on("zero_gamma")
        assert app.screen.focused is zero_gamma
        kind = editor(app, "warmup.kind")
        kind.scroll_visible(animate=False, immediate=True)
        await pilot.pause()
        await pilot.click(kind)
        assert app.screen.draft.recipe.trick("warmup").kind == "constant"
        app.screen.query_one("#recipes").scroll_home(animate=False, immediate=True)
        await pilot.pause()
        await pilot.click("#recipes", offset=(5, 0))
        assert app.screen.draft.base.name == next(iter(app.presets))


async def test_panels_in_turn(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await started(pilot)
        seen = []
        for _ in range(4):
            await pilot.press("f6")
            seen.append(app.screen.focused)
        assert isinstance(seen[0], TrickSwitch)
        assert isinstance(seen[1], AboutPanel)
        assert isinstance(seen[2], ChecksPanel)
        assert seen[3].id == "recipes"


async def test_launching_makes_a_run_and_watches_it(app, store, monkeypatch, until):
    launched = []

    def start(run: Run):
        launched.append(run)
        return ABSENT_PID

    monkeypatch.setattr(launch_actions, "start", start)
    async with app.run_test(size=(80, 24)) as pilot:
        await started(pilot)
        editor(app, "epochs").focus()
        await pilot.press("end", "backspace", "backspace", "3", "f5")
        await until(pilot, lambda: app.current_mode == "live")
        [run] = list_runs(store.root)
        assert [started_run.directory for started_run in launched] == [run.directory]
        document = run.document()
        assert document["recipe"]["epochs"] == 3
        assert document["argv"] == ["keras-tricks", "train", "quickstart", "--set", "epochs=3"]
        assert app.watched == run.directory


@pytest.mark.parametrize("obstacle", ["root is a file", "start fails"])
async def test_a_launch_that_fails_is_told_and_leaves_nothing(app, store, monkeypatch, until, obstacle):
    if obstacle == "root is a file":
        store.root.write_text("")
    else:

        def fail(run: Run):
            raise RunError("no more processes")

        monkeypatch.setattr(launch_actions, "start", fail)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await started(pilot)
        await pilot.press("l")
        await until(pilot, lambda: any("Not launched" in notice.message for notice in app._notifications))
        assert app.current_mode == "launch"
        if obstacle == "start fails":
            assert list(store.root.iterdir()) == []


async def test_live_runs_are_told(app, store, until):
    store.add_live("20270101T000000Z-quickstart-aaaa")
    async with app.run_test(size=(80, 24)) as pilot:
        await started(pilot)
        subject = app.screen.query_one(".subject", Static)
        await until(pilot, lambda: text_of(subject) == "● quickstart is running")


async def test_digits_change_mode_but_not_while_typing(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await started(pilot)
        await pilot.press("3")
        assert app.current_mode == "runs"
        await pilot.press("1")
        editor(app, "seed").focus()
        await pilot.press("end", "2", "3")
        assert app.current_mode == "launch"
        assert app.screen.draft.recipe.seed == 23
        await pilot.press("escape", "2")
        assert app.current_mode == "live"


async def test_help_and_palette(app, until):
    async with app.run_test(size=(80, 24)) as pilot:
        await started(pilot)
        await pilot.press("question_mark")
        assert app.screen.query("#help")
        await pilot.press("escape")
        titles = [command.title for command in app.get_system_commands(app.screen)]
        assert {"Launch", "Live", "Runs", "Help", "Theme", "Quit"} <= set(titles)
        assert "Keys" not in titles and titles.count("Launch: Launch") == 1
        await pilot.press("ctrl+p")
        await pilot.pause()
        assert type(app.screen).__name__ == "CommandPalette"
        await pilot.press(*"launch view")
        await until(pilot, lambda: app.screen.query_one(CommandList).option_count == 1)
        await pilot.press("enter")
        await until(pilot, lambda: app.screen.query("#command-box"))


def test_recipe_json_is_what_the_trainer_reads(app):
    """What is written is JSON that `Recipe.from_document` accepts."""
    recipe = next(iter(app.presets.values()))
    assert type(recipe).from_document(json.loads(json.dumps(recipe.model_dump(mode="json")))) == recipe
