"""LaunchScreen: choose a recipe, change it, and start it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.events import DescendantFocus
from textual.widget import Widget
from textual.widgets import OptionList, Static

from keras_tricks.data_facts import KNOWN_DATA_SETS
from keras_tricks.presets import closest_recipe
from keras_tricks.recipe import Problem, Recipe, RecipeError
from keras_tricks.runs import RunError, open_run
from keras_tricks.tricks import MixedPrecision
from keras_tricks.user_recipes import UserRecipe
from tui.draft import PRECISION, Draft
from tui.drafts import BROKEN, Drafts
from tui.messages import (
    FieldEdited,
    Notice,
    RunRecipeRead,
    TrickToggled,
    UserRecipesRead,
)
from tui.screens.launch_actions import LaunchActions
from tui.screens.recipe_actions import RecipeActions
from tui.screens.run_reports import RunReports
from tui.widgets.about_panel import AboutPanel, about, about_broken, about_recipe
from tui.widgets.checks_panel import ChecksPanel
from tui.widgets.editors import TextEditor
from tui.widgets.recipe_list import RecipeList
from tui.widgets.setup_panel import SetupPanel
from tui.widgets.trick_panel import TrickPanel

if TYPE_CHECKING:
    from tui.app import KerasTricksApp

_FIRST_RECIPE = "quickstart"
_FIRST_PAINT_S = 0.05
"""How long the panels wait with their fields after the screen has its layout: Textual paints nothing before that."""


class LaunchScreen(RunReports, LaunchActions, RecipeActions):
    """Choose a recipe, change it, and start it as a process of its own, or queue it."""

    app: KerasTricksApp
    MODE = "launch"
    AUTO_FOCUS = "#recipes"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide"), (150, "-vast")]

    KEYS_HELP = (
        ("l or F5", "launch the recipe as a process of its own"),
        ("a", "add it to the queue; A also starts the runner"),
        ("V", "queue variants: tricks left out, alone or stacked, times seeds"),
        ("p or F6", "next panel"),
        ("↑ ↓", "next recipe, field or trick"),
        ("Space", "turn a trick on or off; next value of a choice"),
        ("→ ←", "from a trick to its parameters; Esc goes back"),
        ("/", "filter the tricks by name, paper, on, off; Esc shows all"),
        ("Enter", "on a check: go to what it is about"),
        ("u", "undo all edits of this recipe"),
        ("Ctrl+S", "save it as a recipe of yours"),
        ("R D", "rename or delete the recipe of yours under the cursor"),
        ("y Y v", "copy the command, copy a script, view both"),
        ("Esc", "back to the recipes; there 1 2 3 change mode again"),
    )

    BINDINGS = [
        Binding("slash", "filter", "Filter", id="launch.filter"),
        Binding("p,f6", "next_panel", "Panel", id="launch.next_panel"),
        Binding("u", "revert", "Undo", id="launch.revert"),
        Binding("escape", "leave_editor", "Back", show=False, id="launch.leave_editor"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._drafts = Drafts(self.app.presets, _FIRST_RECIPE)
        self._problems: list[Problem] = []
        self._wanted: Path | None = None

    @property
    def draft(self) -> Draft:
        """The recipe that is being edited."""
        return self._drafts.draft

    def edit_run(self, directory: Path) -> None:
        """Load the recipe of a run, to be changed and trained as that run's child."""
        self._wanted = directory
        if self.is_mounted:
            self._read_wanted()

    def compose_content(self) -> ComposeResult:
        """Yield the five panels."""
        with Container(id="launch-panels"):
            yield SetupPanel(KNOWN_DATA_SETS)
            yield TrickPanel()
            yield AboutPanel()
            yield ChecksPanel()
            yield Static(id="command")

    def on_mount(self) -> None:
        """Show the first recipe, and from time to time how many runs are alive."""
        self.query_one("#command", Static).border_title = "Command · y copies, v views"
        self._list_recipes()
        self._show_draft()
        self.app.theme_changed_signal.subscribe(self, lambda _: self._mark_panel(self.focused))
        self.call_after_refresh(self.set_timer, _FIRST_PAINT_S, self._fill)
        self.set_interval(5, self.read_runs)

    def on_screen_resume(self) -> None:
        """Count the runs that are alive, and look at the user's recipes."""
        self.read_runs()
        self.read_own_recipes()
        self._read_wanted()

    @on(OptionList.OptionHighlighted, "#recipes")
    def _choose_recipe(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        key = event.option.id
        if key is None:
            return
        if key.startswith(BROKEN) or key == self._drafts.chosen:
            self._show_about(self.focused)
        else:
            self._drafts.chosen = key
            self._show_draft()

    def on_user_recipes_read(self, message: UserRecipesRead) -> None:
        """List the user's recipes."""
        if message.done_with is not None:
            message.done_with.revert()
        if self._drafts.take_own(message.recipes, message.then_choose, message.renamed):
            self._list_recipes()
            self._show_draft()

    def on_run_recipe_read(self, message: RunRecipeRead) -> None:
        """Edit the recipe of a run."""
        self._drafts.add_run(message.directory, message.recipe, message.start)
        self._list_recipes()
        self._show_draft()

    def on_field_edited(self, message: FieldEdited) -> None:
        """Change the draft."""
        if message.text.strip() != self.draft.text(message.where):
            self.draft.edit(message.where, message.text)
            self._show_draft()

    def on_trick_toggled(self, message: TrickToggled) -> None:
        """Turn the trick on or off."""
        self.draft.toggle(message.name)
        self._show_draft()

    def on_checks_panel_jump(self, message: ChecksPanel.Jump) -> None:
        """Go to the place that a problem is about."""
        self.jump(message.where)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Show help on what has the focus, and which panel that is in; note the value that may be edited."""
        if isinstance(event.widget, TextEditor):
            self.draft.begin_editing(event.widget.where)
        self._show_about(event.widget)
        self._mark_panel(event.widget)

    def show_findings(self) -> None:
        """Say in the help on a trick what the runs say of it."""
        self._show_about(self.focused)

    def action_filter(self) -> None:
        """Type what tricks to show."""
        self.query_one(TrickPanel).open_filter()

    def action_revert(self) -> None:
        """Go back to what the draft started from."""
        if self.draft.edited:
            self.draft.revert()
            self._show_draft()
            self.post_message(Notice(f"{self.draft.base.name} is as it was."))

    def action_next_panel(self) -> None:
        """Go to the next panel."""
        panels = self._panels()
        focused = self.focused
        place = -1
        if focused is not None:
            place = next((index for index, panel in enumerate(panels) if panel in focused.ancestors_with_self), -1)
        panel = panels[(place + 1) % len(panels)]
        target = next((widget for widget in self.focus_chain if panel in widget.ancestors_with_self), None)
        if target is not None:
            target.focus()

    def action_leave_editor(self) -> None:
        """Go back to the list of recipes."""
        self.query_one("#recipes").focus()

    @property
    def own_recipes(self) -> Mapping[str, UserRecipe]:
        """The user's recipes by name."""
        return self._drafts.own

    def own_recipe_name(self) -> str | None:
        """The name of the user's recipe under the cursor; None if it is none of the user's."""
        key = (self.query_one(RecipeList).highlighted_key or "").removeprefix(BROKEN)
        return key if key in self._drafts.own else None

    def jump(self, where: str) -> None:
        """Go to the place that a problem is about; a filter that hides it is dropped."""
        name = where.partition(".")[0]
        for attempt in range(2):
            stops = {getattr(widget, "where", ""): widget for widget in self.focus_chain}
            target = stops.get(where) or stops.get(name)
            if target is not None:
                target.focus()
                return
            if attempt == 0:
                self.query_one(TrickPanel).drop_filter()

    def _read_wanted(self) -> None:
        directory, self._wanted = self._wanted, None
        if directory is not None:
            self.run_worker(lambda: self._read_run(directory), thread=True, group="edit")

    def _read_run(self, directory: Path) -> None:
        try:
            recipe = Recipe.from_document(open_run(directory).recipe(), directory.name)
            self.post_message(RunRecipeRead(directory, recipe, closest_recipe(recipe)))
        except (RunError, RecipeError, OSError, ValidationError) as error:
            self.post_message(Notice(f"It cannot be edited. {error}", "error"))

    async def _fill(self) -> None:
        await self.query_one(SetupPanel).fill(self.draft)
        await self.query_one(TrickPanel).fill(self.draft)
        self._show_draft()

    def _show_draft(self) -> None:
        draft = self.draft
        self._problems = draft.problems()
        signs = {problem.where: f"✗ {problem.message}" for problem in self._problems if problem.level == "error"}
        self.query_one(SetupPanel).show(draft, set(signs))
        self.query_one(RecipeList).show(self._drafts.chosen, self._drafts.edited)
        self.query_one(TrickPanel).show(draft, signs)
        self.query_one(ChecksPanel).show(self._problems)
        command = Content.assemble(("$ ", "$faint"), draft.command())
        if command != self.query_one("#command", Static).content:
            self.query_one("#command", Static).update(command)
        self._show_about(self.focused)

    def _list_recipes(self) -> None:
        self.query_one(RecipeList).fill(self._drafts.entries(), self._drafts.chosen)

    def _show_about(self, focused: Widget | None) -> None:
        panel = self.query_one(AboutPanel)
        recipes = self.query_one(RecipeList)
        where = getattr(focused, "where", None)
        entry = recipes.entry(recipes.highlighted_key or "")
        if where is not None:
            trick = MixedPrecision.name if where == PRECISION else where.partition(".")[0]
            panel.show(where, about(where, self.draft, self.findings.get(trick, "")))
        elif focused is not None and focused.id != "recipes":
            return
        elif entry is not None and entry.error:
            panel.show(entry.title, about_broken(entry.error))
        else:
            panel.show(self.draft.base.name, about_recipe(self.draft, self._drafts.is_own))

    def _panels(self) -> list[Widget]:
        return [self.query_one(name) for name in ("#setup", "#tricks", "#about", "#checks")]

    def _mark_panel(self, focused: Widget | None) -> None:
        """Colour the border of the panel with the focus; `:focus-within` would restyle all that is in it."""
        colors = self.app.theme_variables
        for panel in self._panels():
            active = focused is not None and panel in focused.ancestors_with_self
            panel.styles.border = ("round", colors["border" if active else "border-blurred"])
            panel.styles.border_title_color = colors["primary" if active else "foreground"]
