"""HelpScreen: all keys, and what the signs mean."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.states import STATE_LOOKS

_KEYS = {
    "Everywhere": (
        ("1 2 3", "Launch, Live, Runs"),
        ("Tab", "next place; Shift+Tab the one before"),
        ("Ctrl+P", "command palette: commands, colour themes, a screenshot"),
        ("?", "this help"),
        ("q", "quit; runs go on, and are here again next time"),
    ),
    "Launch": (
        ("l or F5", "launch the recipe as a process of its own"),
        ("p or F6", "next panel"),
        ("↑ ↓", "next recipe, field or trick"),
        ("Space", "turn a trick on or off; next value of a choice"),
        ("→ ←", "from a trick to its parameters; Esc goes back"),
        ("Enter", "on a check: go to what it is about"),
        ("u", "undo all edits of this recipe"),
        ("y", "copy the equivalent command"),
        ("Esc", "back to the recipes; there 1 2 3 change mode again"),
    ),
    "Live": (
        ("s", "stop: end the step and keep the checkpoint; again: terminate"),
        ("K", "kill, after a question"),
        ("r", "resume from the last checkpoint"),
        ("y", "logarithmic axes for loss and learning rate"),
        ("+ -", "smooth the curves more or less"),
        ("z", "zoom the panel with the focus; Esc goes back"),
        ("l", "log and events, or all charts"),
        ("f", "follow the log again after scrolling up"),
    ),
    "Runs": (
        ("Enter", "watch the run"),
        ("s K r", "stop, kill, resume, as in Live"),
        ("D", "delete, after a question"),
        ("o O", "sort by the next column; reverse the order"),
    ),
}

_STATES = {
    "queued": "made, not started",
    "starting": "its process loads and builds",
    "running": "it trains",
    "stopping": "asked to stop",
    "stopped": "ended before its last epoch; r resumes it",
    "finished": "trained to the end",
    "failed": "ended with an error; its log says more",
    "killed": "killed by K; r resumes it",
    "lost": "its process is gone without a word; r resumes it",
    "broken": "its directory cannot be read",
}


class HelpScreen(ModalScreen[None]):
    """All keys, and what the signs mean."""

    BINDINGS = [Binding("escape,question_mark,f1,q,enter", "app.pop_screen", "Close")]

    def compose(self) -> ComposeResult:
        """Yield the text, which scrolls."""
        with VerticalScroll(id="help") as box:
            box.border_title = "Help"
            box.border_subtitle = "Esc closes"
            yield Static(_text())


def _text() -> Content:
    lines = []
    for title, keys in _KEYS.items():
        lines.append(Content.styled(title, "bold $primary"))
        lines += [Content.assemble((f"  {key:<9}", "bold $accent"), words) for key, words in keys]
        lines.append(Content(""))
    lines.append(Content.styled("States", "bold $primary"))
    for state, words in _STATES.items():
        look = STATE_LOOKS[state]
        lines.append(Content.assemble((f"  {look.text:<12}", f"bold ${look.color}"), words))
    lines.append(Content(""))
    lines.append(Content.styled("In the charts", "bold $primary"))
    lines.append(Content("  N ↑ ↓      a value that is NaN, infinite, or below a logarithmic axis"))
    return Content("\n").join(lines)
