"""ConfirmScreen: a question before something that cannot be undone."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static


class ConfirmScreen(ModalScreen[bool]):
    """A question; the answer is True only if the user says so.

    Args:
        question: What is about to happen.
        detail: What it means.
        verb: The word on the button that does it.
    """

    BINDINGS = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape", "answer(False)", "No"),
        Binding("left,right", "app.focus_next", show=False),
    ]

    def __init__(self, question: str, detail: str, verb: str) -> None:
        super().__init__()
        self._question = question
        self._detail = detail
        self._verb = verb

    def compose(self) -> ComposeResult:
        """Yield the question and two buttons, the harmless one first."""
        with Vertical(id="confirm"):
            yield Static(self._question, id="question", markup=False)
            yield Static(self._detail, id="detail", markup=False)
            with Horizontal(id="answers"):
                yield Button("n  Cancel", id="no", compact=True)
                yield Button(f"y  {self._verb}", id="yes", variant="error", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """Answer."""
        self.dismiss(answer)
