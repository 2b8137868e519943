"""LineTable: lines below a line of headings, of which only those on the screen are drawn, with a cursor on one."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from textual.binding import Binding
from textual.events import Click
from textual.message import Message
from textual.scroll_view import ScrollView


class LineTable(ScrollView, can_focus=True):
    """Lines below a line of headings, with a cursor on one of them.

    It keeps no widget and no cell for a line: a thousand of them cost what is on the screen. A subclass keeps the
    lines, draws them in `render_line`, and sets `virtual_size`.
    """

    BINDINGS = [
        Binding("up,k", "go(-1)", "Up", show=False),
        Binding("down,j", "go(1)", "Down", show=False),
        Binding("pageup", "go_page(-1)", "Page up", show=False),
        Binding("pagedown", "go_page(1)", "Page down", show=False),
        Binding("home", "go_to_line(0)", "First line", show=False),
        Binding("end", "go_to_line(-1)", "Last line", show=False),
        Binding("enter", "open", "Open", show=False),
    ]

    class Highlighted(Message):
        """The cursor is on another line, or on none."""

    class Opened(Message):
        """The user wants to see what is under the cursor."""

    def __init__(self) -> None:
        super().__init__()
        self._index = 0
        self._cursor: Hashable = None

    def line_count(self) -> int:
        """How many lines there are, the headings not counted."""
        raise NotImplementedError

    def line_key(self, index: int) -> Hashable:
        """What a line is about, by which it is known again in another place."""
        raise NotImplementedError

    def click_heading(self, x: int) -> None:
        """Do what a click on the headings does: nothing, unless a subclass says so."""

    @property
    def cursor_index(self) -> int:
        """The place of the line under the cursor."""
        return self._index

    def on_mount(self) -> None:
        """Follow changes of the colours."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self.refresh())

    def action_go(self, lines: int) -> None:
        """Move the cursor by some lines."""
        self._go_to(self._index + lines)

    def action_go_page(self, pages: int) -> None:
        """Move the cursor by some screens."""
        self._go_to(self._index + pages * max(1, self.size.height - 2))

    def action_go_to_line(self, line: int) -> None:
        """Move the cursor to a line, counted from the end if negative."""
        self._go_to(line % max(1, self.line_count()))

    def action_open(self) -> None:
        """Open what is under the cursor."""
        self.post_message(self.Opened())

    def on_click(self, event: Click) -> None:
        """Move the cursor to the line, or open it if it is there already."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        index = offset.y - 1 + self.scroll_offset.y
        if offset.y == 0:
            self.click_heading(offset.x + self.scroll_offset.x)
        elif index == self._index and index < self.line_count():
            self.action_open()
        elif index < self.line_count():
            self._go_to(index)

    def _stay(self, places: Mapping[Any, int], otherwise: int) -> None:
        """Go to the new place of the line under the cursor, or to another one if it is gone."""
        self._go_to(places.get(self._cursor, otherwise))

    def _go_to(self, index: int) -> None:
        self._index = max(0, min(index, self.line_count() - 1))
        before, self._cursor = self._cursor, self.line_key(self._index) if self.line_count() else None
        self._show_cursor()
        self.refresh()
        if self._cursor != before:
            self.post_message(self.Highlighted())

    def _show_cursor(self) -> None:
        top, lines = self.scroll_offset.y, max(1, self.size.height - 1)
        if not top <= self._index < top + lines:
            y = self._index if self._index < top else self._index + 1 - lines
            self.scroll_to(y=y, animate=False, force=True, immediate=True)
