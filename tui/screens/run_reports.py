"""RunReports: how many runs are alive, and what the finished ones say of tricks and of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_tricks.recipe import Recipe
from keras_tricks.runs.summary import RunSummary
from keras_tricks.tricks import TRICKS
from tui.messages import FindingsRead, Notice, RunsRead, RunsUnreadable
from tui.run_lister import RunLister
from tui.screens.mode_screen import ModeScreen

if TYPE_CHECKING:
    from tui.app import KerasTricksApp


class RunReports(ModeScreen):
    """A screen that says at its top right how many runs are alive, and knows what the finished ones say."""

    app: KerasTricksApp

    def __init__(self) -> None:
        super().__init__()
        self.findings: dict[str, str] = {}
        self._rows: list[RunSummary] = []
        self._finished: frozenset[str] | None = None
        self._trouble = ""
        self._lister = RunLister(self.app.runs_root)

    def show_findings(self) -> None:
        """Show what the runs say of tricks."""
        raise NotImplementedError

    def seconds_per_epoch(self, recipe: Recipe) -> float | None:
        """How long an epoch took in earlier runs of the same model, data and batch."""
        from keras_tricks.ablation.earlier_runs import seconds_per_epoch

        return seconds_per_epoch(recipe, self._rows)

    def read_runs(self) -> None:
        """Look at the runs in a thread, while the screen is the one that is seen."""
        if self.is_current:
            self.run_worker(self._read_runs, thread=True, exclusive=True, group="count")

    def on_runs_read(self, message: RunsRead) -> None:
        """Say how many runs are alive."""
        self._trouble = ""
        self._rows = message.rows
        live = [row for row in message.rows if row.is_live]
        words = f"● {live[0].name} is running" if len(live) == 1 else f"● {len(live)} runs are running"
        self.set_subject(words if live else "")

    def on_findings_read(self, message: FindingsRead) -> None:
        """Keep what the runs say of each trick, and show it."""
        self.findings = message.findings
        self.show_findings()

    def on_runs_unreadable(self, message: RunsUnreadable) -> None:
        """Say why, once."""
        if message.reason != self._trouble:
            self._trouble = message.reason
            self.post_message(Notice(f"The runs cannot be read: {message.reason}", "error"))

    def _read_runs(self) -> None:
        try:
            rows = self._lister.look()
        except OSError as error:
            self.post_message(RunsUnreadable(str(error)))
            return
        self.post_message(RunsRead(rows))
        finished = frozenset(row.id for row in rows if row.state == "finished")
        if finished != self._finished:
            # It brings NumPy, which the first paint must not wait for.
            from keras_tricks.ablation.earlier_runs import finding, trick_pairs

            self._finished = finished
            pairs = trick_pairs(rows)
            self.post_message(FindingsRead({name: finding(pairs.get(name)) for name in TRICKS}))
