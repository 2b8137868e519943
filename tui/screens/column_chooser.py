"""ColumnChooser: which of many things are shown, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option


class ColumnChooser(ModalScreen[tuple[str, ...] | None]):
    """The columns; the answer is the chosen ones in order, an empty tuple for the usual ones, None for no change.

    Args:
        chosen: The columns that are shown.
        known: All that there are.
        title: What they are.
        usual: Which are shown unless the user chooses.
    """

    AUTO_FOCUS = "#column-list"

    BINDINGS = [
        Binding("space", "toggle_column", "Add/remove", id="columns.toggle"),
        Binding("u", "move(-1)", "Up", id="columns.up"),
        Binding("d", "move(1)", "Down", id="columns.down"),
        Binding("x", "reset", "Usual", id="columns.reset"),
        Binding("enter", "accept", "Done", id="columns.accept", priority=True),
        Binding("slash", "search", "Search", id="columns.search", priority=True),
        Binding("escape", "cancel", "Cancel", id="columns.cancel"),
    ]

    def __init__(
        self, chosen: Sequence[str], known: Sequence[str], title: str = "Columns", usual: str = "those that fit"
    ) -> None:
        super().__init__()
        self._title = title
        self._usual = usual
        self._chosen = list(chosen)
        self._known = list(dict.fromkeys([*chosen, *known]))

    def compose(self) -> ComposeResult:
        """Yield a search, the columns and the keys."""
        with Vertical(id="columns") as box:
            box.border_title = self._title
            yield Input(placeholder="/ searches", id="column-search", compact=True)
            yield OptionList(id="column-list", compact=True)
            yield Static(
                Content.from_markup(
                    f"[b $accent]Space[/] add, remove   [b $accent]u d[/] move   [b $accent]x[/] {self._usual}\n"
                    "[b $accent]Enter[/] done   [b $accent]Esc[/] cancel"
                ),
                id="column-keys",
            )

    def on_mount(self) -> None:
        """List the columns."""
        self._fill()

    def on_input_changed(self, event: Input.Changed) -> None:
        """List those whose name has the words in it."""
        event.stop()
        self._fill()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Add or remove a column that was clicked."""
        event.stop()
        self.action_toggle_column()

    def action_toggle_column(self) -> None:
        """Add the column under the cursor at the end of the chosen ones, or remove it."""
        key = self._under_cursor()
        if key is None:
            return
        if key in self._chosen:
            self._chosen.remove(key)
        else:
            self._chosen.append(key)
        place = self.query_one(OptionList).highlighted
        self._fill()
        self.query_one(OptionList).highlighted = place

    def action_move(self, places: int) -> None:
        """Move the column under the cursor among the chosen ones."""
        key = self._under_cursor()
        if key not in self._chosen:
            return
        place = self._chosen.index(key)
        self._chosen.insert(max(0, place + places), self._chosen.pop(place))
        self._fill()
        self.query_one(OptionList).highlighted = self.query_one(OptionList).get_option_index(key)

    def action_search(self) -> None:
        """Let the user type what to look for."""
        self.set_focus(self.query_one(Input))

    def action_reset(self) -> None:
        """Show the usual ones."""
        self.dismiss(())

    def action_accept(self) -> None:
        """Leave the search, or show what was chosen."""
        if self.query_one(Input).has_focus:
            self.query_one(OptionList).focus()
        else:
            self.dismiss(tuple(self._chosen))

    def action_cancel(self) -> None:
        """Leave the search, or change nothing."""
        if self.query_one(Input).has_focus or self.query_one(Input).value:
            self.query_one(Input).value = ""
            self.query_one(OptionList).focus()
        else:
            self.dismiss(None)

    def _under_cursor(self) -> str | None:
        listed = self.query_one(OptionList)
        return None if listed.highlighted is None else listed.get_option_at_index(listed.highlighted).id

    def _fill(self) -> None:
        words = self.query_one(Input).value.casefold()
        others = [key for key in self._known if key not in self._chosen]
        listed = self.query_one(OptionList)
        listed.clear_options()
        for key in [*self._chosen, *others]:
            if words in key.casefold():
                mark = f"{self._chosen.index(key) + 1:2} ■ " if key in self._chosen else "     "
                listed.add_option(Option(Content(f"{mark}{key}"), id=key))
        if listed.option_count:
            listed.highlighted = 0
