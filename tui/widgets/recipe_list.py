"""RecipeList: the presets, the user's recipes, and the runs whose recipes are edited."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option


class RecipeEntry(NamedTuple):
    """A line of the list.

    Args:
        key: What the line is known by.
        title: What it shows.
        heading: The heading above it; lines of one heading follow each other. Empty for none.
        error: Why it cannot be used; empty if it can.
    """

    key: str
    title: str
    heading: str = ""
    error: str = ""


class RecipeList(OptionList):
    """The recipes, under headings; one that cannot be used is marked, and says why when it is highlighted."""

    def __init__(self) -> None:
        super().__init__(id="recipes", markup=False)
        self._entries: tuple[RecipeEntry, ...] = ()
        self._chosen = ""
        self._edited: frozenset[str] = frozenset()

    @property
    def highlighted_key(self) -> str | None:
        """The key of the line under the cursor."""
        return None if self.highlighted is None else self.get_option_at_index(self.highlighted).id

    def entry(self, key: str) -> RecipeEntry | None:
        """The line of this key."""
        return next((entry for entry in self._entries if entry.key == key), None)

    def fill(self, entries: Sequence[RecipeEntry], chosen: str) -> None:
        """List these recipes, with the cursor on `chosen`."""
        self._entries, self._chosen = tuple(entries), chosen
        options: list[Option] = []
        heading = ""
        for entry in entries:
            if entry.heading != heading:
                heading = entry.heading
                options.append(Option(Content.styled(f"{heading}", "bold $primary"), disabled=True))
            options.append(Option(self._prompt(entry), id=entry.key))
        with self.prevent(OptionList.OptionHighlighted):
            self.clear_options()
            self.add_options(options)
            self.highlighted = self.get_option_index(chosen)

    def show(self, chosen: str, edited: Iterable[str]) -> None:
        """Mark the recipe that is chosen, and those that were edited."""
        before = {self._chosen, *self._edited}
        self._chosen, self._edited = chosen, frozenset(edited)
        for entry in self._entries:
            if entry.key in before | {chosen} | self._edited:
                self.replace_option_prompt(entry.key, self._prompt(entry))

    def _prompt(self, entry: RecipeEntry) -> Content:
        if entry.error:
            return Content.assemble((" ✗ ", "$text-error"), (entry.title, "$text-error"))
        return Content.assemble(
            "▸" if entry.key == self._chosen else " ",
            ("●", "$warning") if entry.key in self._edited else " ",
            " ",
            entry.title,
        )
