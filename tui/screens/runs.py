"""RunsScreen: all runs in a table."""

from __future__ import annotations

from dataclasses import replace

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import DataTable, Static

from tui.messages import Notice, RunsRead, RunsUnreadable
from tui.run_lister import RunLister, RunRow
from tui.screens.run_actions import ChosenRun, RunActions
from tui.states import STATE_LOOKS
from tui.widgets.run_table import RunTable


class RunsScreen(RunActions):
    """All runs in a table, looked at once a second."""

    MODE = "runs"
    AUTO_FOCUS = "RunTable"

    HELP = (
        ("Enter", "watch the run"),
        ("s K r", "stop, kill, resume, as in Live"),
        ("D", "delete, after a question"),
        ("o O", "sort by the next column; reverse the order"),
    )

    BINDINGS = [
        Binding("enter", "open_run", "Watch", key_display="enter", id="runs.open_run"),
        Binding("D", "delete", "Delete", key_display="D", id="runs.delete"),
        Binding("o", "sort", "Sort", id="runs.sort"),
        Binding("O", "reverse", "Reverse", key_display="O", id="runs.reverse"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._lister = RunLister(self.app.runs_root, self.app.clock)
        self._looking = False

    def compose_content(self) -> ComposeResult:
        """Yield the table, what stands in its place without runs, and a line on the chosen run."""
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
        self.set_interval(self.app.refresh_s, self._look)

    def on_screen_resume(self) -> None:
        """Look at once."""
        self._look()

    def chosen_run(self) -> ChosenRun | None:
        """The run under the cursor."""
        row = self._chosen_row()
        return None if row is None else ChosenRun(row.directory, row.name, row.state)

    def on_runs_read(self, message: RunsRead) -> None:
        """Show the rows."""
        self._looking = False
        self.query_one(RunTable).show([self._with_own_state(row) for row in message.rows])
        self.set_class(not message.rows, "-no-runs")
        live = sum(row.is_live for row in message.rows)
        count = f"{len(message.rows)} run{'s' * (len(message.rows) != 1)}"
        self.set_subject(count + (f" · ● {live} running" if live else ""))
        self._show_detail()

    def on_runs_unreadable(self, message: RunsUnreadable) -> None:
        """Say why there is nothing new."""
        self._looking = False
        self.query_one("#run-detail", Static).update(
            Content.styled(f"✗ The runs cannot be read: {message.reason}", "$text-error")
        )

    @on(DataTable.RowHighlighted)
    def _cursor_moved(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self._show_detail()

    @on(DataTable.RowSelected)
    def _row_chosen(self, event: DataTable.RowSelected) -> None:
        event.stop()
        self.action_open_run()

    def action_open_run(self) -> None:
        """Watch the run under the cursor."""
        row = self._chosen_row()
        if row is not None and row.state == "broken":
            self.post_message(Notice(f"{row.id} cannot be opened. {row.error}", "error"))
        elif row is not None:
            self.app.open_run(row.directory)

    def action_sort(self) -> None:
        """Sort by the next column."""
        self.query_one(RunTable).sort_by_next_column()

    def action_reverse(self) -> None:
        """Reverse the order."""
        self.query_one(RunTable).reverse_order()

    def _with_own_state(self, row: RunRow) -> RunRow:
        return replace(row, state="killed") if row.state == "lost" and row.directory in self.app.killed else row

    def _chosen_row(self) -> RunRow | None:
        tables = self.query(RunTable)
        return tables.first().chosen() if tables else None

    def _show_detail(self) -> None:
        row = self._chosen_row()
        self.refresh_bindings()
        if row is None:
            self.query_one("#run-detail", Static).update("")
            return
        look = STATE_LOOKS[row.state]
        first = Content.assemble((look.text, f"bold ${look.color}"), "  ", row.id)
        if row.error:
            second = Content.styled(row.error.replace("\n", " "), "$text-error")
        else:
            second = Content.styled(row.about, "$muted")
        self.query_one("#run-detail", Static).update(Content("\n").join([first, second]))

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
