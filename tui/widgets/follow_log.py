"""FollowLog: lines of text that stay at the newest one until the user scrolls up."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len
from rich.segment import Segment
from textual.events import Resize
from textual.strip import Strip
from textual.widgets import Log


class FollowLog(Log):
    """Lines of text that stay at the newest one until the user scrolls up.

    Args:
        title: What the lines are.
        id: The widget's id.
        max_lines: How many of the newest lines are kept.
    """

    def __init__(self, title: str, *, id: str, max_lines: int = 2000) -> None:
        super().__init__(id=id, max_lines=max_lines, auto_scroll=False)
        self._title = title
        self._following = True
        self._show_title()

    def render_line(self, y: int) -> Strip:
        """Return a line, with an ellipsis where more of it lies to the right."""
        strip = super().render_line(y)
        place = self.scroll_offset.y + y
        width = self.size.width
        if place >= len(self.lines) or cell_len(self.lines[place]) <= self.scroll_offset.x + width:
            return strip
        return Strip.join([strip.crop(0, width - 1), Strip([Segment("…", self.rich_style)])])

    def append(self, lines: Iterable[str]) -> None:
        """Add lines at the end."""
        self.write_lines(lines)
        self._stay()

    def start_anew(self) -> None:
        """Forget all lines and follow the next ones."""
        self.clear()
        self.follow()

    def follow(self) -> None:
        """Go to the end and stay there."""
        self._following = True
        self._show_title()
        self._stay()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """See whether the user left the end, or came back to it."""
        super().watch_scroll_y(old_value, new_value)
        following = self.is_vertical_scroll_end
        if following != self._following:
            self._following = following
            self._show_title()

    def on_resize(self, event: Resize) -> None:
        """Stay at the end, which is elsewhere now."""
        self._stay()

    def _stay(self) -> None:
        if self._following:
            self.call_after_refresh(self.scroll_end, animate=False, immediate=True, x_axis=False)

    def _show_title(self) -> None:
        self.border_title = f"{self._title} · following" if self._following else f"{self._title} · f follows"
