"""FollowLog: lines of text that stay at the newest one until the user scrolls up, and that can be searched."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.content import Content
from textual.events import Resize
from textual.strip import Strip
from textual.widgets import Log

from tui.formats import shortened
from tui.log_tail import MOST_LINES


class FollowLog(Log):
    """Lines of text that stay at the newest one until the user scrolls up.

    While something is searched, the lines stay where they are.

    Args:
        title: What the lines are.
        id: The widget's id.
        max_lines: How many of the newest lines are kept.
    """

    def __init__(self, title: str, *, id: str, max_lines: int = MOST_LINES) -> None:
        super().__init__(id=id, max_lines=max_lines, auto_scroll=False)
        self._title = title
        self._following = True
        self._pattern: re.Pattern[str] | None = None
        self._searched = ""
        self._found: list[int] = []
        self._place: int | None = None
        self._dropped = 0
        self._older = ""
        self._shown_titles = ("", "")
        self._show_title()

    @property
    def is_cut(self) -> bool:
        """Whether there were older lines than these."""
        return bool(self._older) or self._dropped > 0

    @property
    def found(self) -> int:
        """How many lines have what is searched."""
        return len(self._found)

    @property
    def is_searched(self) -> bool:
        """Whether a search is on."""
        return self._pattern is not None

    def render_line(self, y: int) -> Strip:
        """Return a line, with an ellipsis where more of it lies to the right."""
        strip = super().render_line(y)
        place = self.scroll_offset.y + y
        width = self.scrollable_content_region.width
        if place >= len(self.lines) or cell_len(self.lines[place]) <= self.scroll_offset.x + width:
            return strip
        return Strip.join([strip.crop(0, width - 1), Strip([Segment("…", self.rich_style)])])

    def append(self, lines: Iterable[str]) -> None:
        """Add lines at the end."""
        lines = [part for line in lines for part in line.splitlines()]
        dropped = max(0, len(self._lines) + len(lines) - (self.max_lines or 0))
        self.write_lines(lines)
        self._dropped += dropped
        if dropped and not (self._following and self._pattern is None):
            self.scroll_to(y=self.scroll_y - dropped, animate=False, immediate=True)
        if self._pattern is not None:
            if self._place is not None:
                self._place = self._place - dropped if self._place >= dropped else None
            self._find()
        self._show_title()
        self._stay()

    def start_anew(self) -> None:
        """Forget all lines and follow the next ones."""
        self.clear()
        self._dropped, self._older = 0, ""
        self._place = None
        self.search("")
        self.follow()

    def say_older(self, where: str) -> None:
        """Say where older lines than these are."""
        if where != self._older:
            self._older = where
            self._show_title()

    def follow(self) -> None:
        """Go to the end and stay there."""
        self._following = True
        self._show_title()
        self._stay()

    def search(self, text: str) -> None:
        """Mark a text wherever it stands, in capitals or not, and go to the nearest line above that has it."""
        self._searched = text
        self._pattern = re.compile(re.escape(text), re.IGNORECASE) if text else None
        self._render_line_cache.clear()
        seen_last = self.scroll_offset.y + self.size.height - 1
        self._place = None
        self._find()
        above = [line for line in self._found if line <= seen_last]
        if self._found:
            self._go_to(above[-1] if above else self._found[0])
        self._show_title()
        self.refresh()

    def search_on(self, direction: int) -> None:
        """Go to the next line that has the text, or the one before; after the last one comes the first."""
        if self._found:
            place = -1 if self._place is None else self._found.index(self._place)
            self._go_to(self._found[(place + direction) % len(self._found)])

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """See whether the user left the end, or came back to it."""
        super().watch_scroll_y(old_value, new_value)
        following = self.is_vertical_scroll_end
        if following != self._following:
            self._following = following
            self._show_title()

    def on_resize(self, event: Resize) -> None:
        """Stay at the end, which is elsewhere now."""
        self._show_title()
        self._stay()

    def _render_line_strip(self, y: int, rich_style: Style) -> Strip:
        """Return a whole line, with what is searched marked in it."""
        if self._pattern is None or y >= len(self._lines) or not self._pattern.search(self._lines[y]):
            return super()._render_line_strip(y, rich_style)
        text = Text(self._process_line(self._lines[y]), style=rich_style, no_wrap=True)
        mark = Style(reverse=True, bold=y == self._place, underline=y == self._place)
        for match in self._pattern.finditer(text.plain):
            text.stylize(mark, *match.span())
        return Strip(text.render(self.app.console), cell_len(text.plain))

    def _find(self) -> None:
        """List the lines that have the text."""
        pattern = self._pattern
        self._found = [] if pattern is None else [y for y, line in enumerate(self._lines) if pattern.search(line)]

    def _go_to(self, line: int) -> None:
        self._place = line
        self._render_line_cache.clear()
        first = max(0, line - self.size.height // 2)
        self.scroll_to(y=first, animate=False, immediate=True)
        self._show_title()
        self.refresh()

    def _stay(self) -> None:
        if self._following and self._pattern is None:
            self.call_after_refresh(self.scroll_end, animate=False, immediate=True, x_axis=False)

    def _show_title(self) -> None:
        words = "following" if self._following else "f follows"
        if self._pattern is not None:
            place = 0 if self._place is None else self._found.index(self._place) + 1
            words = f"{place}/{len(self._found)} {shortened(self._searched, 20)} · n N · Esc"
        title = f"{self._title} · {words}"
        older = f"older lines: {self._older}" if self._older else ""
        # As content, which is not parsed for markup.
        if title != self._shown_titles[0]:
            self.border_title = Content(title)
        if older != self._shown_titles[1]:
            self.border_subtitle = Content(older)
        self._shown_titles = title, older
