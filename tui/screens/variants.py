"""VariantsScreen: choose which variants of a recipe to train, with which seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from keras_tricks.ablation import DESIGNS, Design, Variant, parse_seeds, variants
from keras_tricks.recipe import Recipe, RecipeError
from tui.formats import duration
from tui.messages import FieldEdited
from tui.widgets.editors import ChoiceEditor, TextEditor
from tui.widgets.setup_panel import FieldRow

_DESIGN_WORDS = {
    "leave-one-out": "The recipe itself, then each of its tricks left out.",
    "one-at-a-time": "The recipe without tricks, then each of them alone.",
    "stack": "The recipe without tricks, then one more at a time, in the papers' order.",
}
_START, _WAIT = "start", "leave as it is"


class ChosenVariants(NamedTuple):
    """What the user chose."""

    runs: tuple[Variant, ...]
    design: Design
    lane: str
    starts: bool


class VariantsScreen(ModalScreen[ChosenVariants | None]):
    """Choose a design and seeds, and see what runs they make; the answer is None if the user goes back.

    Args:
        recipe: The recipe.
        lanes: The lanes of the queue.
        seconds_per_epoch: How long an epoch took in earlier runs like these; None if there were none.
    """

    BINDINGS = [
        Binding("f5,a", "add", "Add to the queue", id="variants.add"),
        Binding("escape", "leave", "Cancel", id="variants.leave"),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def __init__(self, recipe: Recipe, lanes: Sequence[str], seconds_per_epoch: float | None) -> None:
        super().__init__()
        self._recipe = recipe
        self._seconds_per_epoch = seconds_per_epoch
        self._values = {"design": DESIGNS[0], "seeds": str(recipe.seed), "lane": lanes[0], "runner": _START}
        self._choices = {"design": DESIGNS, "lane": tuple(lanes), "runner": (_START, _WAIT)}
        self._runs: tuple[Variant, ...] = ()
        self._error = ""

    def compose(self) -> ComposeResult:
        """Yield the choices, the runs that they make, and the buttons."""
        with Vertical(id="variants-box", classes="launch-box") as box:
            box.border_title = f"Variants of {self._recipe.name}"
            for where, value in self._values.items():
                if where == "seeds":
                    yield FieldRow(where, TextEditor(where, value))
                elif where != "lane" or len(self._choices["lane"]) > 1:
                    yield FieldRow(where, ChoiceEditor(where, value, self._choices[where]))
            yield Static("", id="design-words", markup=False)
            with VerticalScroll(id="variants-list"):
                yield Static("", id="variants-text", markup=False)
            yield Static("", id="variants-total", markup=False)
            with Horizontal(id="answers"):
                yield Button("Esc  Cancel", id="no", compact=True)
                yield Button("F5  Add to the queue", id="yes", variant="primary", compact=True)

    def on_mount(self) -> None:
        """Show the runs of the first design."""
        self._show()

    def on_field_edited(self, message: FieldEdited) -> None:
        """Make other runs."""
        message.stop()
        self._values[message.where] = message.text
        self._show()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        event.stop()
        if event.button.id == "yes":
            self.action_add()
        else:
            self.action_leave()

    def action_add(self) -> None:
        """Answer with the runs, unless something is wrong."""
        if not self._error:
            values = self._values
            self.dismiss(ChosenVariants(self._runs, self._design, values["lane"], values["runner"] == _START))

    def action_leave(self) -> None:
        """Go back."""
        self.dismiss(None)

    @property
    def _design(self) -> Design:
        return next(design for design in DESIGNS if design == self._values["design"])

    def _show(self) -> None:
        self._error, self._runs = "", ()
        try:
            self._runs = tuple(variants(self._recipe, self._design, parse_seeds(self._values["seeds"])))
        except RecipeError as error:
            self._error = str(error)
        wrong = next((run for run in self._runs if run.errors), None)
        if wrong is not None:
            self._error = f"{wrong.name}: {wrong.errors[0]}"
        self.query_one("#design-words", Static).update(_DESIGN_WORDS[self._design])
        self.query_one("#variants-text", Static).update(self._list())
        total = Content.styled(f"✗ {self._error}", "$text-error") if self._error else Content(self._total())
        self.query_one("#variants-total", Static).update(total)
        self.query_one("#yes", Button).disabled = bool(self._error)

    def _list(self) -> Content:
        lines = []
        for place in range(self._runs[-1].place + 1 if self._runs else 0):
            runs = [run for run in self._runs if run.place == place]
            errors = runs[0].errors
            seeds = "seed" if len(runs) == 1 else "seeds"
            words = Content.assemble(
                (f"{place:>3} ", "$muted"),
                ("✗ ", "$text-error") if errors else "",
                (f"{runs[0].name:<34}", ""),
                (f" {seeds} {', '.join(str(run.seed) for run in runs)}", "$muted"),
            )
            lines += [words, *(Content.styled(f"      {error}", "$text-error") for error in errors[:1])]
        return Content("\n").join(lines)

    def _total(self) -> str:
        count, epochs = len(self._runs), sum(run.recipe.epochs for run in self._runs)
        words = f"{count} runs, {epochs} epochs in all"
        if self._seconds_per_epoch is None:
            return f"{words}; no finished run like these says how long an epoch takes."
        return f"{words}, about {duration(epochs * self._seconds_per_epoch)} one after the other."
