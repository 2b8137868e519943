"""RunsScreen: all runs in a table."""

from __future__ import annotations

from dataclasses import replace

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Static

from keras_tricks.runs.columns import Viewpoint, known_keys
from keras_tricks.runs.filter import SYNTAX, FilterError, parse_filter
from keras_tricks.runs.summary import RunSummary
from tui.messages import Notice, RunDeleted, RunsRead, RunsUnreadable
from tui.run_lister import RunLister
from tui.screens.column_chooser import ColumnChooser
from tui.screens.run_actions import ALLOWED, ChosenRun, RunActions
from tui.states import STATE_LOOKS
from tui.widgets.filter_bar import FilterBar
from tui.widgets.run_table import RunTable


class RunsScreen(RunActions):
    """All runs in a table, looked at again and again."""

    MODE = "runs"
    AUTO_FOCUS = "RunTable"

    KEYS_HELP = (
        ("Enter", "watch the run"),
        ("Space a u", "mark the run; mark all shown; take all marks away"),
        ("b", "compare with this run (★), in Δ columns and in Compare"),
        ("/", "filter; Enter keeps it, Esc drops it:"),
        *((f"  {example}  ", words) for example, words in SYNTAX),
        ("c", "choose the columns"),
        ("o O", "sort by the next column; reverse the order"),
        ("e", "change the run's recipe and train it again"),
        ("s K r", "stop, kill, resume, as in Live"),
        ("w", "what the model gets wrong: confusion matrix and worst images"),
        ("D", "delete the marked runs, else this one, after a question"),
    )

    BINDINGS = [
        Binding("enter", "open_run", "Watch", key_display="enter", id="runs.open_run", show=False),
        Binding("space", "mark", "Mark", key_display="space", id="runs.mark"),
        Binding("a", "mark_all", "Mark all", id="runs.mark_all", show=False),
        Binding("u", "unmark_all", "Unmark", id="runs.unmark_all", show=False),
        Binding("b", "baseline", "Base", id="runs.baseline"),
        Binding("slash", "filter", "Filter", id="runs.filter", priority=True),
        Binding("escape", "drop_filter", "No filter", show=False, id="runs.drop_filter"),
        Binding("c", "columns", "Columns", show=False, id="runs.columns"),
        Binding("o", "sort", "Sort", show=False, id="runs.sort"),
        Binding("O", "reverse", "Reverse", key_display="O", id="runs.reverse", show=False),
        Binding("e", "edit", "Edit", id="runs.edit"),
        Binding("D", "delete", "Delete", key_display="D", id="runs.delete"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._lister = RunLister(self.app.runs_root)
        self._looking = False
        self._runs: list[RunSummary] = []
        self._allowed: list[bool | None] = []

    def compose_content(self) -> ComposeResult:
        """Yield the filter, the table, what stands in its place without runs, and a line on the chosen run."""
        yield FilterBar()
        yield RunTable()
        yield Static(
            Content.from_markup(
                "[b]No runs yet.[/b]\n\nPress [b $accent]1[/], choose a recipe, and [b $accent]l[/] launches it."
            ),
            id="no-runs",
        )
        yield Static(id="run-detail")

    def on_mount(self) -> None:
        """Look again and again."""
        self.query_one(RunTable).show_columns(self.app.preferences.columns)
        self.set_interval(self.app.refresh_s, self._look)

    def on_screen_resume(self) -> None:
        """Look at once."""
        self._look()

    def chosen_run(self) -> ChosenRun | None:
        """The run under the cursor."""
        row = self._chosen_row()
        return None if row is None else _as_chosen(row)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Let the filter's sign be typed in the filter, and grey out what the chosen run does not allow."""
        if action == "filter":
            return not (self.query(FilterBar) and self.query_one(FilterBar).has_focus_within)
        return super().check_action(action, parameters)

    def runs_to_delete(self) -> list[ChosenRun]:
        """The marked runs, else the one under the cursor."""
        shown = {run.directory for run in self.query_one(RunTable).rows}
        marked = [
            _as_chosen(run)._replace(is_hidden=run.directory not in shown)
            for run in self._runs
            if run.directory in self.app.selection.marked
        ]
        return marked or super().runs_to_delete()

    def on_runs_read(self, message: RunsRead) -> None:
        """Show the rows."""
        self._looking = False
        self._runs = [self._with_own_state(row) for row in message.rows]
        self.app.selection.keep({row.directory for row in message.rows})
        self.set_class(not message.rows, "-no-runs")
        self._show_runs()

    def on_runs_unreadable(self, message: RunsUnreadable) -> None:
        """Say why there is nothing new."""
        self._looking = False
        self.query_one("#run-detail", Static).update(
            Content.styled(f"✗ The runs cannot be read: {message.reason}", "$text-error")
        )

    def on_run_deleted(self, message: RunDeleted) -> None:
        """Leave the run out at once."""
        self._runs = [run for run in self._runs if run.directory != message.directory]
        self.app.selection.forget(message.directory)
        self._show_runs()

    def on_filter_bar_changed(self, event: FilterBar.Changed) -> None:
        """Show what matches."""
        event.stop()
        self._show_runs()

    def on_filter_bar_left(self, event: FilterBar.Left) -> None:
        """Go back to the table."""
        event.stop()
        self.query_one(RunTable).focus()

    @on(RunTable.Highlighted)
    def _cursor_moved(self, event: RunTable.Highlighted) -> None:
        event.stop()
        self._show_detail()

    @on(RunTable.Opened)
    def _row_chosen(self, event: RunTable.Opened) -> None:
        event.stop()
        self.action_open_run()

    def action_open_run(self) -> None:
        """Watch the run under the cursor."""
        row = self._chosen_row()
        if row is not None and row.state == "broken":
            self.post_message(Notice(f"{row.id} cannot be opened. {row.error}", "error"))
        elif row is not None:
            self.app.open_run(row.directory)

    def action_mark(self) -> None:
        """Mark the run under the cursor or take its mark away, and go to the next."""
        row = self._chosen_row()
        if row is not None:
            self.app.selection.toggle(row.directory)
            self._show_runs()
            self.query_one(RunTable).action_go(1)

    def action_mark_all(self) -> None:
        """Mark all runs that are shown."""
        self.app.selection.mark(row.directory for row in self.query_one(RunTable).rows)
        self._show_runs()

    def action_unmark_all(self) -> None:
        """Take all marks away."""
        self.app.selection.unmark_all()
        self._show_runs()

    def action_baseline(self) -> None:
        """Compare with the run under the cursor."""
        row = self._chosen_row()
        if row is not None:
            self.app.selection.set_baseline(row.directory)
            self._show_runs()

    def action_filter(self) -> None:
        """Let the user type a filter, from the very next key on."""
        self.query_one(FilterBar).open()

    def action_drop_filter(self) -> None:
        """Filter nothing any more."""
        self.query_one(FilterBar).drop()

    def action_columns(self) -> None:
        """Let the user choose the columns, which are remembered."""

        def answered(keys: tuple[str, ...] | None) -> None:
            if keys is not None:
                self.app.remember(columns=keys or None)
                self.query_one(RunTable).show_columns(self.app.preferences.columns)

        shown = [column.column.key for column in self.query_one(RunTable).columns]
        self.app.push_screen(ColumnChooser(shown, known_keys(self._runs)), answered)

    def action_sort(self) -> None:
        """Sort by the next column."""
        self.query_one(RunTable).sort_by_next_column()

    def action_reverse(self) -> None:
        """Reverse the order."""
        self.query_one(RunTable).reverse_order()

    def action_edit(self) -> None:
        """Change the run's recipe in Launch, and train it again."""
        row = self._chosen_row()
        if row is not None:
            self.app.edit_run(row.directory)

    def _with_own_state(self, row: RunSummary) -> RunSummary:
        return replace(row, state="killed") if row.state == "lost" and row.directory in self.app.killed else row

    def _chosen_row(self) -> RunSummary | None:
        tables = self.query(RunTable)
        return tables.first().chosen() if tables else None

    def _view(self) -> Viewpoint:
        selection = self.app.selection
        baseline = next((run for run in self._runs if run.directory == selection.baseline), None)
        return Viewpoint(self.app.clock(), baseline, frozenset(selection.marked))

    def _show_runs(self) -> None:
        view = self._view()
        bar = self.query_one(FilterBar)
        shown, error = self._runs, ""
        try:
            matches = parse_filter(bar.text, known_keys(self._runs) if self._runs and bar.text else None)
            shown = [run for run in self._runs if matches(run, view)]
        except FilterError as caught:
            error = str(caught)
        bar.say(f"{len(shown)} of {len(self._runs)}", error)
        self.query_one(RunTable).show(shown, view)
        self._show_subject()
        self._show_detail()

    def _show_subject(self) -> None:
        live = sum(row.is_live for row in self._runs)
        count = f"{len(self._runs)} run{'s' * (len(self._runs) != 1)}"
        marked = len(self.app.selection.marked)
        self.set_subject(count + (f" · ■ {marked}" if marked else "") + (f" · ● {live} running" if live else ""))

    def _show_detail(self) -> None:
        row = self._chosen_row()
        self._show_keys()
        if row is None:
            self.query_one("#run-detail", Static).update("")
            return
        look = STATE_LOOKS[row.state]
        first = Content.assemble((look.text, f"bold ${look.color}"), "  ", row.id)
        if row.error:
            second = Content.styled(row.error.replace("\n", " "), "$text-error")
        else:
            words = [row.about, ", ".join(row.facts.tricks), f"from {row.facts.parent}" if row.facts.parent else ""]
            second = Content.styled(" · ".join(word for word in words if word), "$muted")
        self.query_one("#run-detail", Static).update(Content("\n").join([first, second]))

    def _show_keys(self) -> None:
        """Grey keys out anew, if others are to be: the footer is built again for it, which takes a while."""
        allowed = [self.check_action(action, ()) for action in ALLOWED]
        if allowed != self._allowed:
            self._allowed = allowed
            self.refresh_bindings()

    def _look(self) -> None:
        if self._looking or not self.is_current:
            return
        self._looking = True
        self.run_worker(self._read, thread=True, group="look")

    def _read(self) -> None:
        try:
            self.post_message(RunsRead(self._lister.look()))
        except OSError as error:
            self.post_message(RunsUnreadable(str(error)))


def _as_chosen(row: RunSummary) -> ChosenRun:
    return ChosenRun(row.directory, row.name, row.state, row.is_read_only, bool(row.facts.recipe))
