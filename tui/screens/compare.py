"""CompareScreen: compare the marked runs."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from tui.screens.mode_screen import ModeScreen


class CompareScreen(ModeScreen):
    """Compare the marked runs."""

    MODE = "compare"
    HELP = ()

    def compose_content(self) -> ComposeResult:
        """Yield nothing yet."""
        yield Static("")
