"""QueueScreen: what waits to be trained."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from tui.screens.mode_screen import ModeScreen


class QueueScreen(ModeScreen):
    """What waits to be trained."""

    MODE = "queue"
    HELP = ()

    def compose_content(self) -> ComposeResult:
        """Yield nothing yet."""
        yield Static("")
