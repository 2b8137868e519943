"""LaunchScreen: choose a recipe, change it, and start it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.events import DescendantFocus
from textual.widget import Widget
from textual.widgets import OptionList, Static

from keras_tricks.data_facts import KNOWN_DATA_SETS
from keras_tricks.recipe import Problem
from keras_tricks.runs import Run, RunError, create_run, remove, start
from tui.draft import Draft
from tui.messages import FieldEdited, Notice, RunLaunched, RunsRead, RunsUnreadable, TrickToggled
from tui.run_lister import RunLister
from tui.screens.mode_screen import ModeScreen
from tui.widgets.about_panel import AboutPanel, about, about_recipe
from tui.widgets.checks_panel import ChecksPanel
from tui.widgets.editors import TextEditor
from tui.widgets.setup_panel import SetupPanel
from tui.widgets.trick_panel import TrickPanel

if TYPE_CHECKING:
    from tui.app import KerasTricksApp

_FIRST_RECIPE = "quickstart"


class LaunchScreen(ModeScreen):
    """Choose a recipe, change it, and start it as a process of its own."""

    app: KerasTricksApp
    MODE = "launch"
    AUTO_FOCUS = "#recipes"

    HELP = (
        ("l or F5", "launch the recipe as a process of its own"),
        ("p or F6", "next panel"),
        ("↑ ↓", "next recipe, field or trick"),
        ("Space", "turn a trick on or off; next value of a choice"),
        ("→ ←", "from a trick to its parameters; Esc goes back"),
        ("Enter", "on a check: go to what it is about"),
        ("u", "undo all edits of this recipe"),
        ("y", "copy the equivalent command"),
        ("Esc", "back to the recipes; there 1 2 3 change mode again"),
    )

    BINDINGS = [
        Binding("l,f5", "launch", "Launch", id="launch.launch"),
        Binding("p,f6", "next_panel", "Panel", id="launch.next_panel"),
        Binding("y", "copy_command", "Copy command", id="launch.copy_command"),
        Binding("u", "revert", "Undo edits", id="launch.revert"),
        Binding("escape", "leave_editor", "Back", show=False, id="launch.leave_editor"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._drafts = {name: Draft(recipe) for name, recipe in self.app.presets.items()}
        self._chosen = _FIRST_RECIPE if _FIRST_RECIPE in self._drafts else next(iter(self._drafts))
        self._problems: list[Problem] = []
        self._launching = False
        self._trouble = ""
        self._lister = RunLister(self.app.runs_root)

    @property
    def draft(self) -> Draft:
        """The recipe that is being edited."""
        return self._drafts[self._chosen]

    def compose_content(self) -> ComposeResult:
        """Yield the five panels."""
        with Container(id="launch-panels"):
            yield SetupPanel(self._drafts, self._chosen, KNOWN_DATA_SETS)
            yield TrickPanel()
            yield AboutPanel()
            yield ChecksPanel()
            yield Static(id="command")

    def on_mount(self) -> None:
        """Show the first recipe, and from time to time how many runs are alive."""
        self.query_one("#command", Static).border_title = "Command · y copies"
        self._show_draft()
        self.app.theme_changed_signal.subscribe(self, lambda _: self._mark_panel(self.focused))
        self.call_after_refresh(self._fill)
        self.set_interval(5, self._count_runs)

    def on_screen_resume(self) -> None:
        """Count the runs that are alive."""
        self._count_runs()

    @on(OptionList.OptionHighlighted, "#recipes")
    def _choose_recipe(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        if event.option.id is not None and event.option.id != self._chosen:
            self._chosen = event.option.id
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
        self._jump(message.where)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Show help on what has the focus, and which panel that is in; note the value that may be edited."""
        if isinstance(event.widget, TextEditor):
            self.draft.begin_editing(event.widget.where)
        self._show_about(event.widget)
        self._mark_panel(event.widget)

    def on_runs_read(self, message: RunsRead) -> None:
        """Say how many runs are alive."""
        self._trouble = ""
        live = [row for row in message.rows if row.is_live]
        words = f"● {live[0].name} is running" if len(live) == 1 else f"● {len(live)} runs are running"
        self.set_subject(words if live else "")

    def on_runs_unreadable(self, message: RunsUnreadable) -> None:
        """Say why, once."""
        if message.reason != self._trouble:
            self._trouble = message.reason
            self.post_message(Notice(f"The runs cannot be read: {message.reason}", "error"))

    def action_launch(self) -> None:
        """Start the recipe, unless there is an error in it."""
        errors = [problem for problem in self._problems if problem.level == "error"]
        if errors:
            self.post_message(Notice(f"Not launched. {errors[0].message}", "error"))
            self._jump(errors[0].where)
        elif not self._launching:
            self._launching = True
            self.run_worker(self._launch, thread=True, group="launch")

    def action_copy_command(self) -> None:
        """Copy the equivalent command to the clipboard."""
        self.app.copy_to_clipboard(self.draft.command())
        left_out = ", ".join(f"{where} ({text or 'empty'} is wrong)" for where, text in self.draft.left_out.items())
        if left_out:
            self.post_message(Notice(f"Copied the command without {left_out}.", "warning"))
        else:
            self.post_message(Notice("Copied the command."))

    def action_revert(self) -> None:
        """Go back to the preset."""
        if self.draft.edited:
            self.draft.revert()
            self._show_draft()
            self.post_message(Notice(f"{self._chosen} is as it was."))

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

    def _launch(self) -> None:
        recipe = self.draft.recipe
        try:
            run = Run(
                create_run(
                    self.app.runs_root,
                    recipe.name,
                    recipe.model_dump(mode="json"),
                    argv=self.draft.argv,
                )
            )
            try:
                self.app.trainers.add(start(run))
            except (RunError, OSError):
                remove(run)
                raise
        except (RunError, OSError) as error:
            self.post_message(Notice(f"Not launched. {error}", "error"))
        else:
            self.post_message(RunLaunched(run.directory))
            self.post_message(Notice(f"Launched {recipe.name}. It goes on when you quit."))
        finally:
            self._launching = False

    def _count_runs(self) -> None:
        if self.is_current:
            self.run_worker(self._read_runs, thread=True, exclusive=True, group="count")

    def _read_runs(self) -> None:
        try:
            self.post_message(RunsRead(self._lister.look()))
        except OSError as error:
            self.post_message(RunsUnreadable(str(error)))

    async def _fill(self) -> None:
        await self.query_one(SetupPanel).fill()
        await self.query_one(TrickPanel).fill(self.draft)
        self._show_draft()

    def _show_draft(self) -> None:
        draft = self.draft
        self._problems = draft.problems()
        signs = {problem.where: f"✗ {problem.message}" for problem in self._problems if problem.level == "error"}
        self.query_one(SetupPanel).show(self._chosen, set(signs))
        self.query_one(TrickPanel).show(draft, signs)
        self.query_one(ChecksPanel).show(self._problems)
        command = Content.assemble(("$ ", "$faint"), draft.command())
        if command != self.query_one("#command", Static).content:
            self.query_one("#command", Static).update(command)
        self._show_about(self.focused)

    def _show_about(self, focused: Widget | None) -> None:
        panel = self.query_one(AboutPanel)
        where = getattr(focused, "where", None)
        if where is not None:
            panel.show(where, about(where, self.draft))
        elif focused is None or focused.id == "recipes":
            panel.show(self._chosen, about_recipe(self.draft))

    def _panels(self) -> list[Widget]:
        return [self.query_one(name) for name in ("#setup", "#tricks", "#about", "#checks")]

    def _mark_panel(self, focused: Widget | None) -> None:
        """Colour the border of the panel with the focus; `:focus-within` would restyle all that is in it."""
        colors = self.app.theme_variables
        for panel in self._panels():
            active = focused is not None and panel in focused.ancestors_with_self
            panel.styles.border = ("round", colors["border" if active else "border-blurred"])
            panel.styles.border_title_color = colors["primary" if active else "foreground"]

    def _jump(self, where: str) -> None:
        stops = {getattr(widget, "where", ""): widget for widget in self.focus_chain}
        target = stops.get(where) or stops.get(where.partition(".")[0])
        if target is not None:
            target.focus()
