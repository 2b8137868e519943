"""FilterBar: the line in which the user types what runs to show."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static


class FilterBar(Vertical):
    """The expression of a filter, how many runs match, and what is wrong with it; hidden while it is empty."""

    BINDINGS = [
        Binding("escape", "drop", "No filter", id="filter.drop"),
        Binding("enter", "leave", "To the runs", show=False, id="filter.leave"),
    ]

    class Changed(Message):
        """The expression is another one."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(Message):
        """The user is done with it."""

    def compose(self) -> ComposeResult:
        """Yield the expression, and the place for what is to be said of it."""
        with Horizontal():
            yield Static("/", id="filter-sign")
            yield Input(placeholder="val_accuracy>.9 trick:mixup state:finished", id="filter", compact=True)
            yield Static("", id="filter-count")
        yield Static("", id="filter-error")

    @property
    def text(self) -> str:
        """The expression."""
        return self.query_one(Input).value

    def open(self) -> None:
        """Let the user type."""
        self.add_class("-open")
        self.screen.set_focus(self.query_one(Input))

    def drop(self) -> None:
        """Filter nothing any more."""
        self.query_one(Input).value = ""
        self.action_leave()

    def say(self, count: str, error: str = "") -> None:
        """Say how many runs match, or what is wrong with the expression."""
        self.query_one("#filter-count", Static).update(Content(count))
        self.query_one("#filter-error", Static).update(Content(f"✗ {error}" if error else ""))
        self.set_class(bool(error), "-wrong")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tell the screen."""
        event.stop()
        self.set_class(bool(event.value), "-filtering")
        self.post_message(self.Changed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go back to the runs."""
        event.stop()
        self.action_leave()

    def action_drop(self) -> None:
        """Filter nothing any more, and go back to the runs."""
        self.drop()

    def action_leave(self) -> None:
        """Go back to the runs."""
        self.remove_class("-open")
        self.post_message(self.Left())
