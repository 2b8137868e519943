"""NameScreen: ask for a name."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static


class NameScreen(ModalScreen[str | None]):
    """Ask for a name; the answer is None if the user goes back.

    Args:
        question: What the name is for.
        name: The name to begin with.
        problem: Returns why a name cannot be, or None if it can.
    """

    BINDINGS = [Binding("escape", "leave", "Cancel", id="name.leave")]

    def __init__(self, question: str, name: str, problem: Callable[[str], str | None]) -> None:
        super().__init__()
        self._question = question
        self._begin = name
        self._problem = problem

    def compose(self) -> ComposeResult:
        """Yield the question, the name, and the place for what is wrong with it."""
        with Vertical(id="name-box", classes="launch-box") as box:
            box.border_title = self._question
            box.border_subtitle = "Enter does it, Esc goes back"
            yield Input(self._begin, id="name", compact=True, select_on_focus=True)
            yield Static("", id="name-problem", markup=False)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say what is wrong with the name."""
        event.stop()
        problem = self._problem(event.value.strip()) if event.value.strip() else None
        self.query_one("#name-problem", Static).update(f"✗ {problem}" if problem else "")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer, if the name can be."""
        event.stop()
        name = event.value.strip()
        problem = self._problem(name)
        if problem is None:
            self.dismiss(name)
        else:
            self.query_one("#name-problem", Static).update(f"✗ {problem}")

    def action_leave(self) -> None:
        """Go back."""
        self.dismiss(None)
