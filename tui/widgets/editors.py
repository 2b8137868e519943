"""One-line editors for the values of a recipe: text, a choice of few, a menu of many, and a trick's switch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.binding import Binding
from textual.content import Content
from textual.events import Click
from textual.reactive import reactive
from textual.strip import Strip
from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Input, Select

from tui.messages import FieldEdited, TrickToggled


class TextEditor(Input):
    """A value that is typed.

    Args:
        where: The field or parameter.
        text: Its value.
        suggestions: What may be completed with the right arrow key.
    """

    def __init__(self, where: str, text: str, suggestions: Iterable[str] = ()) -> None:
        super().__init__(
            value=text,
            select_on_focus=False,
            suggester=SuggestFromList(suggestions) if suggestions else None,
        )
        self.where = where
        self._known = text

    def load(self, text: str) -> None:
        """Show a value without saying that the user changed it; what is being typed is left alone."""
        if not self.has_focus:
            self._known = text
            if text != self.value:
                with self.prevent(Input.Changed):
                    self.value = text
                    self.cursor_position = len(text)

    def render_line(self, y: int) -> Strip:
        """Return the part with the cursor while it is edited, else the start, and an ellipsis if there is more."""
        width = self.content_size.width
        if y or self.has_focus or cell_len(self.value) <= width:
            return super().render_line(y)
        text = f"{set_cell_size(self.value, max(0, width - 1))}…"
        return Strip([Segment(text, self.rich_style)]).crop(0, width)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tell the screen what the user typed; the first value also comes here, maybe after the next is shown."""
        event.stop()
        if event.value == self.value != self._known:
            self._known = event.value
            self.post_message(FieldEdited(self.where, event.value))


class ChoiceEditor(Widget, can_focus=True):
    """One of a few values: the arrow keys, space or a click go on to the next.

    Args:
        where: The field or parameter.
        text: Its value.
        choices: The values.
    """

    BINDINGS = [
        Binding("right,space,enter", "choose(1)", "Next value", show=False),
        Binding("left", "choose(-1)", "Value before", show=False),
    ]

    value: reactive[str] = reactive("")

    def __init__(self, where: str, text: str, choices: tuple[str, ...]) -> None:
        super().__init__()
        self.where = where
        self.choices = choices
        self.set_reactive(ChoiceEditor.value, text)

    def render(self) -> Content:
        """Show the value, between the signs that say that there are others if there is room."""
        if self.content_size.width < len(self.value) + 4:
            return Content(self.value)
        return Content.assemble(("◂ ", "$muted"), self.value, (" ▸", "$muted"))

    def load(self, text: str) -> None:
        """Show a value."""
        self.value = text

    def action_choose(self, direction: int) -> None:
        """Take the next value, or the one before."""
        place = self.choices.index(self.value) if self.value in self.choices else -1
        self.value = self.choices[(place + direction) % len(self.choices)]
        self.post_message(FieldEdited(self.where, self.value))

    def on_click(self, event: Click) -> None:
        """Take the next value."""
        event.stop()
        self.focus()
        self.action_choose(1)


class MenuEditor(Select[str], inherit_bindings=False):
    """One of many values, from a menu that space or enter opens.

    Args:
        where: The field.
        text: Its value, one of `choices`.
        choices: The values.
    """

    BINDINGS = [Binding("enter,space", "show_overlay", "Menu", show=False)]

    def __init__(self, where: str, text: str, choices: tuple[str, ...]) -> None:
        super().__init__(
            [(choice, choice) for choice in choices],
            value=text,
            allow_blank=False,
            compact=True,
        )
        self.where = where
        self._known = text

    def load(self, text: str) -> None:
        """Show a value without saying that the user changed it."""
        self._known = text
        with self.prevent(Select.Changed):
            self.value = text

    def on_select_changed(self, event: Select.Changed) -> None:
        """Tell the screen what the user chose; the first value also comes here, maybe after the next is shown."""
        event.stop()
        if isinstance(event.value, str) and event.value == self.value != self._known:
            self._known = event.value
            self.post_message(FieldEdited(self.where, event.value))


Editor = TextEditor | ChoiceEditor | MenuEditor


class TrickSwitch(Widget, can_focus=True):
    """A trick's name with a box that says whether it is on.

    Args:
        trick: Its name.
        on: Whether it is on.
    """

    BINDINGS = [Binding("space,enter", "flip", "On/off")]

    on: reactive[bool] = reactive(False)

    def __init__(self, trick: str, on: bool) -> None:
        super().__init__()
        self.where = trick
        self.set_reactive(TrickSwitch.on, on)

    def render(self) -> Content:
        """Show the box and the name."""
        return Content.assemble(
            ("[", "$muted"),
            ("x", "bold $success") if self.on else " ",
            ("]", "$muted"),
            " ",
            (self.where, "bold" if self.on else "$muted"),
        )

    def action_flip(self) -> None:
        """Tell the screen."""
        self.post_message(TrickToggled(self.where))

    def on_click(self, event: Click) -> None:
        """Toggle."""
        event.stop()
        self.focus()
        self.action_flip()


def editor_for(where: str, field: FieldInfo, text: str, suggestions: Iterable[str] = ()) -> Editor:
    """Return the editor that suits a field's type.

    Args:
        where: The field or parameter.
        field: What pydantic knows of it.
        text: Its value.
        suggestions: Completions for typed text.
    """
    choices = choices_of(field)
    return ChoiceEditor(where, text, choices) if choices else TextEditor(where, text, suggestions)


def choices_of(field: FieldInfo) -> tuple[str, ...]:
    """Return the values that a field can take, if these are few."""
    annotation: Any = field.annotation
    if annotation is bool:
        return ("true", "false")
    if get_origin(annotation) is Literal:
        return tuple(str(value) for value in get_args(annotation))
    return ()
