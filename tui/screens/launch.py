"""LaunchScreen: choose a recipe, change it, and start it."""

from __future__ import annotations

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
from keras_tricks.runs.summary import RunSummary
from keras_tricks.tricks import TRICKS, MixedPrecision
from tui.draft import PRECISION, Draft
from tui.messages import (
    FieldEdited,
    FindingsRead,
    Notice,
    RunRecipeRead,
    RunsRead,
    RunsUnreadable,
    TrickToggled,
    UserRecipesRead,
)
from tui.run_lister import RunLister
from tui.screens.launch_actions import LaunchActions
from tui.screens.recipe_actions import RecipeActions
from tui.widgets.about_panel import AboutPanel, about, about_broken, about_recipe
from tui.widgets.checks_panel import ChecksPanel
from tui.widgets.editors import TextEditor
from tui.widgets.recipe_list import RecipeEntry, RecipeList
from tui.widgets.setup_panel import SetupPanel
from tui.widgets.trick_panel import TrickPanel

if TYPE_CHECKING:
    from tui.app import KerasTricksApp

_FIRST_RECIPE = "quickstart"
_BROKEN, _RUN = "broken:", "run:"
"""What the keys of such lines begin with; a recipe's name has no colon."""


class LaunchScreen(LaunchActions, RecipeActions):
    """Choose a recipe, change it, and start it as a process of its own, or queue it."""

    app: KerasTricksApp
    MODE = "launch"
    AUTO_FOCUS = "#recipes"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide"), (150, "-vast")]

    KEYS_HELP = (
        ("l or F5", "launch the recipe as a process of its own"),
        ("a", "add it to the queue; A also starts the runner"),
        ("V", "queue variants: each trick left out, each alone, a stack; times seeds"),
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
        self._drafts = {name: Draft(recipe) for name, recipe in self.app.presets.items()}
        self._chosen = _FIRST_RECIPE if _FIRST_RECIPE in self._drafts else next(iter(self._drafts))
        self._problems: list[Problem] = []
        self._rows: list[RunSummary] = []
        self._findings: dict[str, str] = {}
        self._finished: frozenset[str] | None = None
        self._trouble = ""
        self._lister = RunLister(self.app.runs_root)
        self._wanted: Path | None = None

    @property
    def draft(self) -> Draft:
        """The recipe that is being edited."""
        return self._drafts[self._chosen]

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
        self.call_after_refresh(self._fill)
        self.set_interval(5, self._count_runs)

    def on_screen_resume(self) -> None:
        """Count the runs that are alive, and look at the user's recipes."""
        self._count_runs()
        self.read_own_recipes()
        self._read_wanted()

    @on(OptionList.OptionHighlighted, "#recipes")
    def _choose_recipe(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        key = event.option.id
        if key is None:
            return
        if key.startswith(_BROKEN):
            self._show_about(self.focused)
        elif key != self._chosen:
            self._chosen = key
            self._show_draft()
        else:
            self._show_about(self.focused)

    def on_user_recipes_read(self, message: UserRecipesRead) -> None:
        """List the user's recipes; a draft that is edited keeps its edits."""
        own = {recipe.name: recipe for recipe in message.recipes}
        recipes = {name: found.recipe for name, found in own.items() if found.recipe is not None}
        if message.done_with is not None:
            message.done_with.revert()
        if message.renamed in self._drafts and message.then_choose in recipes:
            draft = self._drafts.pop(message.renamed)
            draft.rebase(recipes[message.then_choose])
            self._drafts[message.then_choose] = draft
        for name in self._own.keys() - recipes.keys():
            if name in self._drafts and not self._drafts[name].edited:
                del self._drafts[name]
        for name, recipe in recipes.items():
            if name not in self._drafts or not self._drafts[name].edited:
                self._drafts[name] = Draft(recipe)
        if message.then_choose in self._drafts:
            self._chosen = message.then_choose
        elif self._chosen not in self._drafts:
            self._chosen = next(iter(self._drafts))
        if own != self._own or message.then_choose is not None:
            self._own = own
            self._list_recipes()
            self._show_draft()

    def on_run_recipe_read(self, message: RunRecipeRead) -> None:
        """Edit the recipe of a run."""
        key = f"{_RUN}{message.directory.name}"
        if key not in self._drafts or not self._drafts[key].edited:
            self._drafts[key] = Draft(message.recipe, message.start, parent=message.directory.name)
        self._chosen = key
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

    def on_runs_read(self, message: RunsRead) -> None:
        """Say how many runs are alive."""
        self._trouble = ""
        self._rows = message.rows
        live = [row for row in message.rows if row.is_live]
        words = f"● {live[0].name} is running" if len(live) == 1 else f"● {len(live)} runs are running"
        self.set_subject(words if live else "")

    def on_findings_read(self, message: FindingsRead) -> None:
        """Say in the help on a trick what the runs say of it."""
        self._findings = message.findings
        self._show_about(self.focused)

    def on_runs_unreadable(self, message: RunsUnreadable) -> None:
        """Say why, once."""
        if message.reason != self._trouble:
            self._trouble = message.reason
            self.post_message(Notice(f"The runs cannot be read: {message.reason}", "error"))

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

    def own_recipe_name(self) -> str | None:
        """The name of the user's recipe under the cursor; None if it is none of the user's."""
        key = (self.query_one(RecipeList).highlighted_key or "").removeprefix(_BROKEN)
        return key if key in self._own else None

    def seconds_per_epoch(self) -> float | None:
        """How long an epoch took in earlier runs of the same model, data and batch."""
        from keras_tricks.ablation.earlier_runs import seconds_per_epoch

        return seconds_per_epoch(self.draft.recipe, self._rows)

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

    def _count_runs(self) -> None:
        if self.is_current:
            self.run_worker(self._read_runs, thread=True, exclusive=True, group="count")

    def _read_runs(self) -> None:
        try:
            rows = self._lister.look()
        except OSError as error:
            self.post_message(RunsUnreadable(str(error)))
            return
        self.post_message(RunsRead(rows))
        finished = frozenset(row.id for row in rows if row.state == "finished")
        if finished != self._finished:
            # It brings NumPy, which the first paint must not wait for.
            from keras_tricks.ablation.earlier_runs import finding, trick_pairs

            self._finished = finished
            pairs = trick_pairs(rows)
            self.post_message(FindingsRead({name: finding(pairs.get(name)) for name in TRICKS}))

    async def _fill(self) -> None:
        await self.query_one(SetupPanel).fill(self.draft)
        await self.query_one(TrickPanel).fill(self.draft)
        self._show_draft()

    def _show_draft(self) -> None:
        draft = self.draft
        self._problems = draft.problems()
        signs = {problem.where: f"✗ {problem.message}" for problem in self._problems if problem.level == "error"}
        self.query_one(SetupPanel).show(draft, set(signs))
        self.query_one(RecipeList).show(self._chosen, [key for key, one in self._drafts.items() if one.edited])
        self.query_one(TrickPanel).show(draft, signs)
        self.query_one(ChecksPanel).show(self._problems)
        command = Content.assemble(("$ ", "$faint"), draft.command())
        if command != self.query_one("#command", Static).content:
            self.query_one("#command", Static).update(command)
        self._show_about(self.focused)

    def _list_recipes(self) -> None:
        runs = [RecipeEntry(key, draft.base.name, "From runs") for key, draft in self._drafts.items() if draft.parent]
        broken = [
            RecipeEntry(f"{_BROKEN}{recipe.name}", recipe.name, "Yours", recipe.error)
            for recipe in self._own.values()
            if recipe.error
        ]
        own = sorted(key for key, draft in self._drafts.items() if key not in self.app.presets and not draft.parent)
        presets = [RecipeEntry(name, name) for name in self.app.presets]
        self.query_one(RecipeList).fill(
            [*presets, *(RecipeEntry(name, name, "Yours") for name in own), *broken, *runs], self._chosen
        )

    def _show_about(self, focused: Widget | None) -> None:
        panel = self.query_one(AboutPanel)
        recipes = self.query_one(RecipeList)
        where = getattr(focused, "where", None)
        entry = recipes.entry(recipes.highlighted_key or "")
        if where is not None:
            trick = MixedPrecision.name if where == PRECISION else where.partition(".")[0]
            panel.show(where, about(where, self.draft, self._findings.get(trick, "")))
        elif focused is not None and focused.id != "recipes":
            return
        elif entry is not None and entry.error:
            panel.show(entry.title, about_broken(entry.error))
        else:
            panel.show(self.draft.base.name, about_recipe(self.draft, self._chosen in self._own))

    def _panels(self) -> list[Widget]:
        return [self.query_one(name) for name in ("#setup", "#tricks", "#about", "#checks")]

    def _mark_panel(self, focused: Widget | None) -> None:
        """Colour the border of the panel with the focus; `:focus-within` would restyle all that is in it."""
        colors = self.app.theme_variables
        for panel in self._panels():
            active = focused is not None and panel in focused.ancestors_with_self
            panel.styles.border = ("round", colors["border" if active else "border-blurred"])
            panel.styles.border_title_color = colors["primary" if active else "foreground"]
