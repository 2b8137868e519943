"""HelpScreen: all keys, and what the signs mean."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.widget import Widget

from keras_tricks.user_config import PREFERENCES_FILE, config_directory
from tui.own_keys import key_problems, named_bindings
from tui.states import STATE_LOOKS
from tui.widgets.mode_bar import MODES

if TYPE_CHECKING:
    from tui.app import KerasTricksApp

_KEY_WIDTH = 9
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


class Entry(NamedTuple):
    """A key, or a sign, and what it means."""

    key: str
    words: str
    color: str = "accent"


class HelpText(Widget):
    """Headings with entries below them; words that take several lines stay in their column.

    Args:
        sections: The entries of each heading.
    """

    def __init__(self, sections: dict[str, list[Entry]]) -> None:
        super().__init__()
        self._sections = sections

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return how many lines it takes."""
        return len(self._lines(width))

    def render(self) -> Content:
        """Return the lines."""
        return Content("\n").join(self._lines(self.content_size.width))

    def _lines(self, width: int) -> list[Content]:
        lines: list[Content] = []
        for title, entries in self._sections.items():
            lines += [Content(""), Content.styled(title, "bold $primary")]
            column = 2 + max([_KEY_WIDTH, *(len(entry.key) + 2 for entry in entries)])
            for entry in entries:
                first, *others = textwrap.wrap(entry.words, max(12, width - column)) or [""]
                lines.append(Content.assemble((f"  {entry.key}".ljust(column), f"bold ${entry.color}"), first))
                lines += [Content(" " * column + words) for words in others]
        return lines[1:]


class HelpScreen(ModalScreen[None]):
    """All keys, those of the screen below first, and what the signs mean."""

    app: KerasTricksApp

    BINDINGS = [Binding("escape,question_mark,f1,q,enter", "app.pop_screen", "Close")]

    def compose(self) -> ComposeResult:
        """Yield the text, which scrolls."""
        with VerticalScroll(id="help") as box:
            box.border_title = "Help"
            box.border_subtitle = "Esc closes"
            yield HelpText(_sections(type(self.app.screen_stack[-2]), self.app.preferences.keys))


def _sections(below: type, own_keys: dict[str, str]) -> dict[str, list[Entry]]:
    from tui.app import KerasTricksApp
    from tui.screens.column_chooser import ColumnChooser
    from tui.screens.compare import CompareScreen
    from tui.screens.launch import LaunchScreen
    from tui.screens.live import LiveScreen
    from tui.screens.predictions import PredictionsScreen
    from tui.screens.queue import QueueScreen
    from tui.screens.runs import RunsScreen
    from tui.widgets.chart_controls import ChartControls
    from tui.widgets.filter_bar import FilterBar

    modes = (LaunchScreen, LiveScreen, RunsScreen, CompareScreen, QueueScreen)
    screens: list[tuple[type, str, Sequence[tuple[str, str]]]] = [
        *((mode, MODES[mode.MODE][1], mode.KEYS_HELP) for mode in modes),
        (PredictionsScreen, "Predictions", PredictionsScreen.KEYS_HELP),
    ]
    titles = {title: keys for _, title, keys in sorted(screens, key=lambda one: one[0] is not below)}
    sections = {
        title: [Entry(key, words) for key, words in keys]
        for title, keys in {"Everywhere": _EVERYWHERE, **titles}.items()
    }
    looks = {state: STATE_LOOKS[state] for state in _STATES}
    sections["States"] = [Entry(look.text, _STATES[state], look.color) for state, look in looks.items()]
    sections["In the charts"] = [Entry("N ↑ ↓", "a value that is NaN, infinite, or below a logarithmic axis")]
    owners = (KerasTricksApp, *modes, PredictionsScreen, ChartControls, FilterBar, ColumnChooser)
    problems = key_problems(own_keys, owners)
    file = config_directory() / PREFERENCES_FILE
    sections[f'Keys of your own: in {file}, as {{"keys": {{"live.zoom": "f8"}}}}'] = [
        Entry(name, f"{own_keys.get(name, binding.key).replace(',', ', ')}: {binding.description}")
        for name, binding in {
            name: binding for owner in owners for name, binding in named_bindings(owner).items()
        }.items()
    ]
    if problems:
        wrong = [Entry(name, f"✗ {problem}", "error") for name, problem in problems.items()]
        sections = {f"Not as it should be in {file}": wrong, **sections}
    return sections
