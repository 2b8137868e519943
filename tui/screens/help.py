"""HelpScreen: all keys, and what the signs mean."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.states import STATE_LOOKS
from tui.widgets.mode_bar import MODES

_EVERYWHERE = (
    ("1 … 5", "Launch, Live, Runs, Compare, Queue"),
    ("Tab", "next place; Shift+Tab the one before"),
    ("Ctrl+P", "command palette: commands, colour themes, a screenshot"),
    ("?", "this help"),
    ("q", "quit; runs go on, and are here again next time"),
)

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
    "quiet": "files of another program, not written to for five minutes",
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
    from tui.screens.compare import CompareScreen
    from tui.screens.launch import LaunchScreen
    from tui.screens.live import LiveScreen
    from tui.screens.queue import QueueScreen
    from tui.screens.runs import RunsScreen

    modes = (LaunchScreen, LiveScreen, RunsScreen, CompareScreen, QueueScreen)
    titles = {MODES[mode.MODE][1]: mode.KEYS_HELP for mode in modes}
    lines = []
    for title, keys in {"Everywhere": _EVERYWHERE, **titles}.items():
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
