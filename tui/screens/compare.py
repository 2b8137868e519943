"""CompareScreen: compare the marked runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import ContentSwitcher, Static

from keras_tricks.ablation.effects import effects, group_runs
from keras_tricks.runs.comparison import metrics_of
from keras_tricks.runs.storage import StorageError
from tui.column_text import middle_shortened
from tui.formats import shortened
from tui.messages import Notice, RunsCompared
from tui.run_comparer import Comparison, RunComparer
from tui.screens.mode_screen import ModeScreen
from tui.states import STATE_LOOKS
from tui.widgets.ablation_bars import AblationBars
from tui.widgets.comparison_tables import DifferenceTable, ValueTable
from tui.widgets.overlay import Overlay

if TYPE_CHECKING:
    from tui.app import KerasTricksApp

VIEWS = {
    "values": ("t", "Table"),
    "differences": ("d", "Differences"),
    "curves": ("c", "Curves"),
    "ablation": ("a", "Ablation"),
}
"""Key and title of each view."""

_LETTER_LINES = 3

_NO_RUNS = (
    "[b]Nothing to compare yet.[/b]\n\nPress [b $accent]3[/], mark runs with [b $accent]Space[/] "
    "or those that a filter shows with [b $accent]a[/],\nand come back with [b $accent]4[/]. "
    "[b $accent]b[/] there chooses the run ★ that others are compared with."
)


class CompareScreen(ModeScreen):
    """Compare the marked runs: values, recipes, curves, and effects of what sets them apart."""

    app: KerasTricksApp

    MODE = "compare"
    AUTO_FOCUS = None

    KEYS_HELP = (
        ("t d c a", "values; differences of the recipes; curves; ablation bars"),
        ("v", "the next of these"),
        ("m n", "the next metric; the one before"),
        ("y", "logarithmic curves; arrows and wheel enlarge and move them, the mouse reads them"),
        ("b", "compare with the run under the cursor of the table"),
        ("u", "take the mark of that run away"),
        ("Enter", "watch that run"),
        ("x", "export as CSV, Markdown and PNG"),
    )

    BINDINGS = [
        *(
            Binding(key, f"view('{name}')", title, show=False, id=f"compare.{name}")
            for name, (key, title) in VIEWS.items()
        ),
        Binding("v", "next_view", "Next view", show=False, id="compare.next_view"),
        Binding("m", "metric(1)", "Metric", id="compare.metric"),
        Binding("n", "metric(-1)", "Metric before", show=False, id="compare.metric_before"),
        Binding("y", "log_y", "Log", id="compare.log_y"),
        Binding("b", "baseline", "Base", id="compare.baseline"),
        Binding("u", "unmark", "Unmark", id="compare.unmark"),
        Binding("x", "export", "Export", id="compare.export"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._comparer = RunComparer()
        self._looking = False
        self._comparison = Comparison()
        self._metric = ""
        self._keys_for: tuple[str, bool] | None = None

    def compose_content(self) -> ComposeResult:
        """Yield the line of views, the views, and the names behind the letters."""
        yield Static(id="views")
        yield Static(Content.from_markup(_NO_RUNS), id="no-marked-runs")
        with ContentSwitcher(initial="values", id="compared"):
            yield ValueTable(id="values")
            yield DifferenceTable(id="differences")
            yield Overlay(id="curves")
            yield AblationBars(id="ablation")
        yield Static(id="letters")

    def on_mount(self) -> None:
        """Look again and again."""
        self.set_interval(self.app.refresh_s, self._look)

    def on_screen_resume(self) -> None:
        """Look at once."""
        self._look()

    def on_runs_compared(self, message: RunsCompared) -> None:
        """Show the runs."""
        self._looking = False
        self._comparison = message.comparison
        metrics = metrics_of(self._comparison.runs)
        if self._metric not in metrics:
            self._metric = metrics[0] if metrics else ""
        self._show()

    @on(ValueTable.RowSelected)
    def _row_chosen(self, event: ValueTable.RowSelected) -> None:
        event.stop()
        directory = self._directory(event.row_key.value)
        if directory is not None:
            self.app.open_run(directory)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what needs runs, or the table."""
        if action in ("export", "metric", "next_view", "view") and not self._comparison.runs:
            return None
        if action in ("baseline", "unmark"):
            return True if self._view == "values" and self._comparison.runs else None
        return None if action == "log_y" and self._view != "curves" else True

    def action_view(self, view: str) -> None:
        """Go to a view."""
        self.query_one(ContentSwitcher).current = view
        self.query_one(f"#{view}").focus()
        self._show()

    def action_next_view(self) -> None:
        """Go to the next view."""
        names = list(VIEWS)
        self.action_view(names[(names.index(self._view) + 1) % len(names)])

    def action_metric(self, places: int) -> None:
        """Look at another metric."""
        metrics = metrics_of(self._comparison.runs)
        if metrics:
            self._metric = metrics[(metrics.index(self._metric) + places) % len(metrics)]
            self._show()

    def action_log_y(self) -> None:
        """Make the axis of the curves logarithmic, or linear again."""
        chart = self.query_one(Overlay)
        chart.log_y = not chart.log_y

    def action_baseline(self) -> None:
        """Compare with the run under the cursor."""
        directory = self._directory(self.query_one(ValueTable).chosen())
        if directory is not None:
            self.app.selection.baseline = directory
            self._look()

    def action_unmark(self) -> None:
        """Take the mark of the run under the cursor away."""
        directory = self._directory(self.query_one(ValueTable).chosen())
        if directory is not None:
            self.app.selection.toggle(directory)
            self._look()

    def action_export(self) -> None:
        """Write the comparison into files, and say where."""
        comparison, metric = self._comparison, self._metric

        def work() -> None:
            from keras_tricks.comparison_files import write_comparison

            try:
                files = write_comparison(self.app.runs_root, comparison.runs, metric, comparison.baseline)
            except StorageError as error:
                self.post_message(Notice(str(error), "error"))
            else:
                names = ", ".join(file.name for file in files)
                self.post_message(Notice(f"Wrote {names} into {files[0].parent}"))

        if comparison.runs:
            self.run_worker(work, thread=True, group="export", exclusive=True)

    def on_resize(self) -> None:
        """Lay the letters out for the new width."""
        if self.query("#letters"):
            self._show_letters()

    def _directory(self, row: str | None) -> Path | None:
        """The run of a row; None for a row of another table, and for a run that has just gone."""
        return next((run.summary.directory for run in self._comparison.runs if run.summary.id == row), None)

    @property
    def _view(self) -> str:
        return self.query_one(ContentSwitcher).current or "values"

    def _show(self) -> None:
        runs, baseline = self._comparison.runs, self._comparison.baseline
        self.set_class(not runs, "-no-runs")
        self.set_subject(f"{len(runs)} run{'s' * (len(runs) != 1)}" if runs else "")
        self._show_views()
        if (self._view, bool(runs)) != self._keys_for:
            self._keys_for = self._view, bool(runs)
            self.refresh_bindings()
        self._show_letters()
        if self._view == "values":
            others = [name for name in metrics_of(runs) if name != self._metric]
            self.query_one(ValueTable).show(runs, [self._metric, *others] if self._metric else [], baseline)
        elif self._view == "differences":
            self.query_one(DifferenceTable).show(runs)
        elif self._view == "curves":
            self.query_one(Overlay).show_runs(group_runs(runs, baseline), runs, self._metric)
        else:
            found = effects(group_runs(runs, baseline), self._metric)
            self.query_one(AblationBars).show(found, self._metric)

    def _show_views(self) -> None:
        """Show the views, which a click opens too, and the metric."""
        parts = []
        for name, (key, title) in VIEWS.items():
            mark, style = ("▸", "bold reverse $primary") if name == self._view else (" ", "$muted")
            parts.append(f"[@click=screen.view('{name}')][{style}] {mark}{key} {title} [/][/]")
        metric = Content.assemble("  ", ("m", "bold"), f" {self._metric}")
        self.query_one("#views", Static).update(Content.from_markup("".join(parts)) + metric)

    def _show_letters(self) -> None:
        """Say which run each letter of the curves is, and what could not be read."""
        names = []
        for run in self._comparison.runs if self._view == "curves" else ():
            look = STATE_LOOKS[run.summary.state]
            star = "★" if run.summary.directory == self._comparison.baseline else ""
            name = middle_shortened(run.summary.name, 24)
            about = Content.assemble((f"{run.letter}{star}", "bold"), f" {name} {run.summary.id[-4:]} ")
            names.append(about + Content.styled(look.symbol, f"${look.color}"))
        width = max(1, self.size.width - 2)
        troubles = list(self._comparison.troubles)
        if names and len(troubles) > 1:
            # The letters must have room too.
            troubles = [f"({len(troubles)} such) {troubles[0]}"]
        words = [shortened(f"✗ {trouble}".replace("\n", " "), width) for trouble in troubles]
        lines = [*(Content.styled(trouble, "$text-error") for trouble in words), *_rows(names, width)]
        if len(lines) > _LETTER_LINES:
            lines[_LETTER_LINES - 1 :] = [
                Content.styled(f"… and {len(lines) - _LETTER_LINES + 1} lines more", "$muted")
            ]
        letters = self.query_one("#letters", Static)
        letters.display = bool(lines)
        letters.update(Content("\n").join(lines))

    def _look(self) -> None:
        if self._looking or not self.is_current:
            return
        self._looking = True
        self.run_worker(self._read, thread=True, group="look")

    def _read(self) -> None:
        selection = self.app.selection
        self.post_message(RunsCompared(self._comparer.look(tuple(selection.marked), selection.baseline)))


def _rows(parts: Iterable[Content], width: int) -> list[Content]:
    """Return parts in rows of at most so many cells, none broken between two."""
    rows: list[Content] = []
    for part in parts:
        if rows and rows[-1].cell_length + 2 + part.cell_length <= width:
            rows[-1] += Content("  ") + part
        else:
            rows.append(part)
    return rows
