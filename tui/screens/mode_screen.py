"""ModeScreen: what the screens of all modes share."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Footer

from tui.widgets.mode_bar import ModeBar


class ModeScreen(Screen[None]):
    """A screen with the modes on top and its keys at the bottom."""

    MODE: ClassVar[str]
    KEYS_HELP: ClassVar[tuple[tuple[str, str], ...]]
    """Keys and what they do, for the help."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]

    def compose(self) -> ComposeResult:
        """Yield the modes, the content and the keys."""
        yield ModeBar(self.MODE)
        yield from self.compose_content()
        yield Footer(compact=True, show_command_palette=False)

    def compose_content(self) -> ComposeResult:
        """Yield what stands between the modes and the keys."""
        raise NotImplementedError

    def set_subject(self, text: str) -> None:
        """Say at the top right what the screen is about."""
        self.query_one(ModeBar).set_subject(text)
