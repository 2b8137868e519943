"""SetupPanel: the recipes, and the fields of the chosen recipe."""

from __future__ import annotations

from collections.abc import Iterable

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.widget import Widget
from textual.widgets import Label

from keras_tricks.memory_estimate import as_text
from keras_tricks.model_facts import MODELS
from keras_tricks.recipe import Recipe, has_field
from tui.draft import PRECISION, PRECISIONS, Draft
from tui.widgets.editors import ChoiceEditor, Editor, MenuEditor, editor_for
from tui.widgets.recipe_list import RecipeList

_FIRST = ("model", "data", "epochs", "batch_size", "replicas", PRECISION)
_NOT_SHOWN = ("name", "description", "published", "tricks")
FIELDS = (*_FIRST, *(field for field in Recipe.model_fields if field not in (*_FIRST, *_NOT_SHOWN)), "name")
"""The fields of a recipe that are edited, in the order in which they are shown."""


class FieldRow(Horizontal):
    """A field's name and its editor."""

    def __init__(self, where: str, editor: Editor) -> None:
        super().__init__()
        self.where = where
        self.editor = editor
        self._title = where.rpartition(".")[2]
        self._label = Label(self._title, classes="field-name")

    def compose(self) -> ComposeResult:
        """Yield the name and the editor."""
        yield self._label
        yield self.editor

    def show(self, text: str, wrong: bool) -> None:
        """Show the value, and whether there is an error about it."""
        self.editor.load(text)
        if wrong != self.has_class("-wrong"):
            self.set_class(wrong, "-wrong")
            self._label.update(f"✗ {self._title}" if wrong else self._title)


class SetupPanel(VerticalScroll, can_focus=False):
    """The recipes, and the fields of the chosen one.

    Args:
        data_names: Data sets to complete a typed name from.
    """

    BINDINGS = [
        Binding("down", "step(1)", "Next field", show=False),
        Binding("up", "step(-1)", "Field before", show=False),
    ]

    def __init__(self, data_names: Iterable[str]) -> None:
        super().__init__(id="setup")
        self.border_title = "Recipe"
        self._data_names = tuple(data_names)

    def compose(self) -> ComposeResult:
        """Yield the list of recipes; the fields come with `fill`."""
        yield RecipeList()

    async def fill(self, draft: Draft) -> None:
        """Add a row for each field, which takes longer than a first paint should."""
        await self.mount_all([FieldRow(where, self._editor(where, draft.text(where))) for where in FIELDS])

    def show(self, draft: Draft, wrong: set[str]) -> None:
        """Show a draft.

        Args:
            draft: The draft.
            wrong: The fields about which there is an error.
        """
        self.border_title = "Recipe · ● edited" if draft.edited else "Recipe"
        memory = draft.memory()
        self.border_subtitle = (
            f"{memory.parameters / 1e6:.2f} M · about {as_text(memory.total)}" if memory is not None else ""
        )
        task = draft.task
        for row in self.query(FieldRow):
            row.show(draft.text(row.where), row.where in wrong)
            # A field of other tasks is shown where it has a value that is wrong here.
            row.display = row.where == PRECISION or has_field(task, row.where) or row.where in wrong

    def action_step(self, direction: int) -> None:
        """Go to the next field, or to the one before."""
        rows = [row for row in self.query(FieldRow) if row.display]
        stops: list[Widget] = [self.query_one("#recipes"), *(row.editor for row in rows)]
        place = stops.index(self.screen.focused) if self.screen.focused in stops else 0
        stops[max(0, min(len(stops) - 1, place + direction))].focus()

    def _editor(self, where: str, text: str) -> Editor:
        if where == "model":
            return MenuEditor(where, text, tuple(MODELS))
        if where == PRECISION:
            return ChoiceEditor(where, text, PRECISIONS)
        return editor_for(where, Recipe.model_fields[where], text, self._data_names if where == "data" else ())
