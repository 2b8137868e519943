"""TrickPanel: the catalogue by stages, with a switch for each trick and its parameters beside it."""

from __future__ import annotations

from collections.abc import Mapping

from textual import on
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from keras_tricks.trick import STAGES, Trick
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
        self._rows: list[FieldRow] = []
        texts = (trick.name, trick.name.replace("_", " "), trick.summary(), trick.source.paper, trick.group)
        self._words = " ".join(texts).lower()

    def compose(self) -> ComposeResult:
        """Yield the switch and the summary; a row for each parameter comes when the trick is first on."""
        yield TrickSwitch(self.trick.name, self._draft.is_on(self.trick.name))
        with Vertical(classes="trick-body"):
            yield Static(classes="trick-note")

    def matches(self, words: list[str]) -> bool:
        """Whether all words are in its name, summary, paper or group; `on` and `off` ask for its state."""
        on = self.has_class("-on")
        states = {"on": on, "off": not on}
        return all(states.get(word, word in self._words) for word in words)

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
        if on and not self._rows:
            self._rows = [
                FieldRow(where, editor_for(where, field, draft.text(where)))
                for parameter, field in self.trick.model_fields.items()
                for where in [f"{name}.{parameter}"]
            ]
            self.query_one(".trick-body").mount_all(self._rows)
        for row in self._rows:
            row.display = on
            row.show(draft.text(row.where), row.where in problems)


class TrickGroup(Vertical):
    """A stage of the training, and the tricks that begin to act there."""

    def __init__(self, stage: str, tricks: list[type[Trick]], draft: Draft) -> None:
        super().__init__()
        self._stage = stage
        self._tricks = tricks
        self._draft = draft

    def compose(self) -> ComposeResult:
        """Yield the heading and the tricks."""
        yield Label(self._stage.replace("_", " ").upper(), classes="trick-group")
        for trick in self._tricks:
            yield TrickRow(trick, self._draft)


class TrickPanel(VerticalScroll, can_focus=False):
    """The tricks, by the stage at which they take hold, in the order in which they do; they come with `fill`.

    A filter shows some of them.
    """

    BINDINGS = [
        Binding("down", "step(1)", "Next trick", show=False),
        Binding("up", "step(-1)", "Trick before", show=False),
        Binding("right", "enter_parameters", "Parameters", show=False),
        Binding("left", "leave_parameters", "Back to the trick", show=False),
        Binding("escape", "go_back", "Back", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(id="tricks")
        self._count = 0

    def compose(self) -> ComposeResult:
        """Yield the filter."""
        yield Input(id="trick-filter", placeholder="name, paper, on, off", compact=True, select_on_focus=False)

    async def fill(self, draft: Draft) -> None:
        """Add a heading for each stage and a row for each of its tricks."""
        stages = {stage: [trick for trick in TRICKS.values() if trick.stages()[0] == stage] for stage in STAGES}
        await self.mount_all([TrickGroup(stage, tricks, draft) for stage, tricks in stages.items() if tricks])

    def show(self, draft: Draft, problems: Mapping[str, str]) -> None:
        """Show the tricks as they are in `draft`."""
        self._count = len(draft.recipe.tricks)
        self._set_titles()
        for row in self.query(TrickRow):
            row.show(draft, problems)

    @property
    def filter(self) -> str:
        """What the shown tricks have in common; empty for all."""
        return self.query_one("#trick-filter", Input).value.strip().lower()

    def open_filter(self) -> None:
        """Let the user type what tricks to show."""
        self.add_class("-filtering")
        self.query_one("#trick-filter").focus()

    def drop_filter(self) -> None:
        """Show all tricks."""
        self.query_one("#trick-filter", Input).value = ""
        self._apply_filter()
        self.remove_class("-filtering")

    @on(Input.Changed, "#trick-filter")
    def _filter(self, event: Input.Changed) -> None:
        event.stop()
        self._apply_filter()

    @on(Input.Submitted, "#trick-filter")
    def _go_to_tricks(self, event: Input.Submitted) -> None:
        event.stop()
        if not self.filter:
            self.drop_filter()
        self._focus_first()

    def action_step(self, direction: int) -> None:
        """Go from trick to trick, or from parameter to parameter."""
        focused = self.screen.focused
        if focused is not None and focused.id == "trick-filter":
            self._focus_first()
            return
        stops: list[Widget] = [row.query_one(TrickSwitch) for row in self.query(TrickRow) if row.display]
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

    def action_go_back(self) -> None:
        """Go from a parameter to its trick; from there, show all tricks again."""
        row = self._focused_row()
        if row is not None and not isinstance(self.screen.focused, TrickSwitch):
            row.query_one(TrickSwitch).focus()
        elif self.has_class("-filtering"):
            self.drop_filter()
            if row is None:
                self._focus_first()
        else:
            raise SkipAction

    def _apply_filter(self) -> None:
        words = self.filter.split()
        for group in self.query(TrickGroup):
            rows = list(group.query(TrickRow))
            for row in rows:
                row.display = row.matches(words)
            group.display = any(row.display for row in rows)
        self._set_titles()

    def _set_titles(self) -> None:
        shown = sum(row.display for row in self.query(TrickRow))
        self.border_title = f"Tricks · {self._count} on" + (f" · {shown} shown" if self.filter else " · / filter")

    def _focus_first(self) -> None:
        for row in self.query(TrickRow):
            if row.display:
                row.query_one(TrickSwitch).focus()
                return

    def _focused_row(self) -> TrickRow | None:
        focused = self.screen.focused
        if focused is None:
            return None
        return next((parent for parent in focused.ancestors if isinstance(parent, TrickRow)), None)
