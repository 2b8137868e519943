"""How each state of a run looks: a symbol, a word and a colour, so that none depends on colour alone."""

from __future__ import annotations

from typing import NamedTuple


class StateLook(NamedTuple):
    """Symbol, word, and theme colour of a state."""

    symbol: str
    word: str
    color: str

    @property
    def text(self) -> str:
        """Symbol and word."""
        return f"{self.symbol} {self.word}"


STATE_LOOKS: dict[str, StateLook] = {
    "queued": StateLook("○", "queued", "foreground"),
    "starting": StateLook("◌", "starting", "primary"),
    "running": StateLook("●", "running", "success"),
    "stopping": StateLook("◍", "stopping", "warning"),
    "stopped": StateLook("■", "stopped", "warning"),
    "finished": StateLook("✓", "finished", "primary"),
    "failed": StateLook("✗", "failed", "error"),
    "killed": StateLook("✗", "killed", "error"),
    "lost": StateLook("?", "lost", "error"),
    "quiet": StateLook("◇", "quiet", "foreground"),
    "broken": StateLook("!", "broken", "error"),
}
"""The states of `keras_tricks.runs`, and three of ours: asked to stop, killed from here, and not readable."""
