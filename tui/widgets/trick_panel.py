"""TrickPanel: the catalogue by groups, with a switch for each trick and its parameters beside it."""

from __future__ import annotations

from collections.abc import Mapping

from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Label, Static

from keras_tricks.trick import Trick
from keras_tricks.tricks import TRICKS
from tui.draft import Draft
from tui.widgets.editors import TrickSwitch, editor_for
from tui.widgets.setup_panel import FieldRow


class TrickRow(Horizontal):
    """A trick: its switch and, beside it, its parameters while it is on, and a word about it while it is off."""

    def __init__(self, trick: type[Trick], draft: Draft) -> None:
        super().__init__(classes="-on" if draft.is_on(trick.name) else "")
        self.trick = trick
        self._draft = draft

    def compose(self) -> ComposeResult:
        """Yield the switch, the summary, and a row for each parameter."""
        yield TrickSwitch(self.trick.name, self._draft.is_on(self.trick.name))
        with Vertical(classes="trick-body"):
            yield Static(classes="trick-note")
            for parameter, field in self.trick.model_fields.items():
                where = f"{self.trick.name}.{parameter}"
                yield FieldRow(where, editor_for(where, field, self._draft.text(where)))

    def show(self, draft: Draft, problems: Mapping[str, str]) -> None:
        """Show the trick as it is in `draft`; `problems` maps what is wrong to a short word."""
        name = self.trick.name
        on = draft.is_on(name)
        self.query_one(TrickSwitch).on = on
        self.set_class(on, "-on")
        self.set_class(name in problems, "-wrong")
        note = self.query_one(".trick-note", Static)
        if name in problems:
            words = Content.styled(problems[name], "$text-error")
        else:
            words = Content.styled(self.trick.summary(), "$faint")
        if note.content != words:
            note.update(words)
        note.display = name in problems or not on or not self.trick.model_fields
        for row in self.query(FieldRow):
            row.display = on
            row.show(draft.text(row.where), row.where in problems)


class TrickPanel(VerticalScroll, can_focus=False):
    """The tricks, by groups; they come with `fill`."""

    BINDINGS = [
        Binding("down", "step(1)", "Next trick", show=False),
        Binding("up", "step(-1)", "Trick before", show=False),
        Binding("right", "enter_parameters", "Parameters", show=False),
        Binding("left,escape", "leave_parameters", "Back to the trick", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(id="tricks")
        self.border_title = "Tricks"

    async def fill(self, draft: Draft) -> None:
        """Add a heading for each group and a row for each of its tricks."""
        groups: dict[str, list[type[Trick]]] = {}
        for trick in TRICKS.values():
            groups.setdefault(trick.group, []).append(trick)
        children: list[Widget] = []
        for group, tricks in groups.items():
            children.append(Label(group.upper(), classes="trick-group"))
            children += [TrickRow(trick, draft) for trick in tricks]
        await self.mount_all(children)

    def show(self, draft: Draft, problems: Mapping[str, str]) -> None:
        """Show the tricks as they are in `draft`."""
        count = len(draft.recipe.tricks)
        self.border_title = f"Tricks · {count} on"
        for row in self.query(TrickRow):
            row.show(draft, problems)

    def action_step(self, direction: int) -> None:
        """Go from trick to trick, or from parameter to parameter."""
        focused = self.screen.focused
        stops: list[Widget] = list(self.query(TrickSwitch))
        if not isinstance(focused, TrickSwitch):
            stops = [stop for stop in self.screen.focus_chain if self in stop.ancestors]
        if focused in stops:
            place = stops.index(focused) + direction
            stops[max(0, min(len(stops) - 1, place))].focus()

    def action_enter_parameters(self) -> None:
        """Go from a trick to its first parameter."""
        row = self._focused_row()
        if row is not None and row.has_class("-on") and isinstance(self.screen.focused, TrickSwitch):
            for parameter in row.query(FieldRow):
                parameter.editor.focus()
                return

    def action_leave_parameters(self) -> None:
        """Go from a parameter to its trick."""
        row = self._focused_row()
        if row is None or isinstance(self.screen.focused, TrickSwitch):
            raise SkipAction
        row.query_one(TrickSwitch).focus()

    def _focused_row(self) -> TrickRow | None:
        focused = self.screen.focused
        if focused is None:
            return None
        return next((parent for parent in focused.ancestors if isinstance(parent, TrickRow)), None)
