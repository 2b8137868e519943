"""ModeBar: the line on top, with the modes and their keys."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

MODES = {
    "launch": ("1", "Launch"),
    "live": ("2", "Live"),
    "runs": ("3", "Runs"),
    "compare": ("4", "Compare"),
    "queue": ("5", "Queue"),
}
"""Key and title of each mode."""


class _ModeLink(Static):
    """A mode that a click opens."""

    def __init__(self, mode: str, active: bool) -> None:
        key, title = MODES[mode]
        mark = "▸" if active else " "
        super().__init__(Content.assemble(mark, (key, "bold"), f" {title} "), classes="-active" if active else "")
        self.mode = mode

    async def on_click(self) -> None:
        """Open the mode."""
        await self.run_action(f"app.show_mode('{self.mode}')")


class ModeBar(Horizontal):
    """The program's name, the modes, and what the active one is about.

    Args:
        mode: The mode of the screen that it stands on.
    """

    def __init__(self, mode: str) -> None:
        super().__init__()
        self._mode = mode

    def compose(self) -> ComposeResult:
        """Yield the name, the modes and the subject."""
        yield Static(" keras-tricks ", classes="brand")
        for mode in MODES:
            yield _ModeLink(mode, mode == self._mode)
        yield Static("", classes="subject")

    def set_subject(self, text: str) -> None:
        """Say what the screen is about, at the right end."""
        subject = self.query_one(".subject", Static)
        if subject.content != Content(text):
            subject.update(Content(text))
