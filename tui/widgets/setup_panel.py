"""SetupPanel: the presets, and the fields of the chosen recipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Label, OptionList
from textual.widgets.option_list import Option

from keras_tricks.model_facts import MODELS
from keras_tricks.recipe import Recipe
from tui.draft import Draft
from tui.widgets.editors import Editor, MenuEditor, editor_for

_NOT_SHOWN = ("name", "description", "published", "tricks")
FIELDS = (*(field for field in Recipe.model_fields if field not in _NOT_SHOWN), "name")
"""The fields of a recipe that are edited, in the order in which they are shown."""


class FieldRow(Horizontal):
    """A field's name and its editor."""

    def __init__(self, where: str, editor: Editor) -> None:
        super().__init__()
        self.where = where
        self.editor = editor
        self._label = where.rpartition(".")[2]

    def compose(self) -> ComposeResult:
        """Yield the name and the editor."""
        yield Label(self._label, classes="field-name")
        yield self.editor

    def show(self, text: str, wrong: bool) -> None:
        """Show the value, and whether there is an error about it."""
        self.editor.load(text)
        if wrong != self.has_class("-wrong"):
            self.set_class(wrong, "-wrong")
            self.query_one(Label).update(f"✗ {self._label}" if wrong else self._label)


class SetupPanel(VerticalScroll, can_focus=False):
    """The presets, and the fields of the chosen recipe.

    Args:
        drafts: The draft of each preset.
        chosen: The preset to begin with.
        data_names: Data sets to complete a typed name from.
    """

    BINDINGS = [
        Binding("down", "step(1)", "Next field", show=False),
        Binding("up", "step(-1)", "Field before", show=False),
    ]

    def __init__(self, drafts: Mapping[str, Draft], chosen: str, data_names: Iterable[str]) -> None:
        super().__init__(id="setup")
        self.border_title = "Recipe"
        self._drafts = drafts
        self._chosen = chosen
        self._data_names = tuple(data_names)

    def compose(self) -> ComposeResult:
        """Yield the list of presets; the fields come with `fill`."""
        yield OptionList(id="recipes", markup=False)

    async def fill(self) -> None:
        """Add a row for each field, which takes longer than a first paint should."""
        draft = self._drafts[self._chosen]
        rows = []
        for where in FIELDS:
            text = draft.text(where)
            if where == "model":
                editor: Editor = MenuEditor(where, text, tuple(MODELS))
            else:
                suggestions = self._data_names if where == "data" else ()
                editor = editor_for(where, Recipe.model_fields[where], text, suggestions)
            rows.append(FieldRow(where, editor))
        await self.mount_all(rows)

    def on_mount(self) -> None:
        """List the presets."""
        recipes = self.query_one("#recipes", OptionList)
        recipes.add_options([Option(self._option(name), id=name) for name in self._drafts])
        recipes.highlighted = list(self._drafts).index(self._chosen)

    def show(self, chosen: str, wrong: set[str]) -> None:
        """Show a draft.

        Args:
            chosen: Its preset.
            wrong: The fields about which there is an error.
        """
        self._chosen = chosen
        self.border_title = "Recipe · ● edited" if self._drafts[chosen].edited else "Recipe"
        recipes = self.query_one("#recipes", OptionList)
        for name in self._drafts:
            if recipes.get_option(name).prompt != self._option(name):
                recipes.replace_option_prompt(name, self._option(name))
        for row in self.query(FieldRow):
            row.show(self._drafts[chosen].text(row.where), row.where in wrong)

    def action_step(self, direction: int) -> None:
        """Go to the next field, or to the one before."""
        stops: list[Widget] = [self.query_one("#recipes"), *(row.editor for row in self.query(FieldRow))]
        place = stops.index(self.screen.focused) if self.screen.focused in stops else 0
        stops[max(0, min(len(stops) - 1, place + direction))].focus()

    def _option(self, name: str) -> Content:
        draft = self._drafts[name]
        return Content.assemble(
            "▸" if name == self._chosen else " ", ("●", "$warning") if draft.edited else " ", " ", name
        )
