"""RunActions: stop, kill, resume and delete a run, for the screens that show runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from textual.binding import Binding

from keras_tricks.runs import Run, RunError, kill, open_run, remove, request_stop, start, terminate
from tui.messages import Notice, RunDeleted
from tui.screens.confirm import ConfirmScreen
from tui.screens.mode_screen import ModeScreen

if TYPE_CHECKING:
    from tui.app import KerasTricksApp

_MOST_NAMED = 8


class ChosenRun(NamedTuple):
    """The run that the keys act on.

    Args:
        directory: Its directory.
        name: Its name.
        state: Its state.
        is_read_only: Whether it can only be looked at.
        has_recipe: Whether its training can be repeated from a recipe.
        is_hidden: Whether a filter keeps it from being seen.
    """

    directory: Path
    name: str
    state: str
    is_read_only: bool = False
    has_recipe: bool = True
    is_hidden: bool = False

    @property
    def is_live(self) -> bool:
        """Whether a trainer works on it."""
        return self.state in ("starting", "running", "stopping")


ALLOWED: dict[str, Callable[[ChosenRun], bool]] = {
    "stop": lambda run: run.is_live and not run.is_read_only,
    "kill": lambda run: run.is_live and not run.is_read_only,
    "resume": lambda run: (
        run.has_recipe and not run.is_live and not run.is_read_only and run.state not in ("finished", "broken")
    ),
    "delete": lambda run: not run.is_live and not run.is_read_only,
    "edit": lambda run: run.has_recipe and run.state != "broken",
    "predictions": lambda run: run.has_recipe and run.state not in ("queued", "starting", "broken"),
}
"""What may be done with a run."""


class RunActions(ModeScreen):
    """A screen with a chosen run that the keys stop, kill, resume and delete.

    The work is done in thread workers; a notice says how it went.
    """

    app: KerasTricksApp

    BINDINGS = [
        Binding("s", "stop", "Stop", id="run.stop"),
        Binding("K", "kill", "Kill", key_display="K", id="run.kill"),
        Binding("r", "resume", "Resume", id="run.resume"),
        Binding("w", "predictions", "Predictions", show=False, id="run.predictions"),
    ]

    def chosen_run(self) -> ChosenRun | None:
        """The run that the keys act on."""
        raise NotImplementedError

    def runs_to_delete(self) -> list[ChosenRun]:
        """The runs that the key for it deletes."""
        run = self.chosen_run()
        return [] if run is None else [run]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what the chosen run's state does not allow."""
        if action not in ALLOWED:
            return True
        runs = self.runs_to_delete() if action == "delete" else [self.chosen_run()]
        return True if any(run is not None and ALLOWED[action](run) for run in runs) else None

    def action_stop(self) -> None:
        """Ask the run to stop; if it was asked already, offer to terminate it."""
        run = self.chosen_run()
        if run is None:
            return
        if run.state == "stopping":
            self._confirm(
                f"Terminate {run.name}?",
                "It has been asked to stop already. SIGTERM goes to its process group.",
                "Terminate",
                lambda: self._work(run, terminate, f"Sent SIGTERM to {run.name}."),
            )
        else:
            self._work(run, request_stop, f"Asked {run.name} to stop: it ends its step and keeps its checkpoint.")

    def action_kill(self) -> None:
        """Kill the run after a question."""
        run = self.chosen_run()
        if run is not None:
            self._confirm(
                f"Kill {run.name}?",
                "What it did since its last checkpoint is lost. r resumes it from there.",
                "Kill",
                lambda: self._work(run, self._kill, f"Killed {run.name}."),
            )

    def action_resume(self) -> None:
        """Start a trainer that goes on with the run."""
        run = self.chosen_run()
        if run is not None:
            self._work(run, self._resume, f"Resumed {run.name}.")

    def action_predictions(self) -> None:
        """Show what the run's model got right and wrong."""
        from tui.screens.predictions import PredictionsScreen

        run = self.chosen_run()
        if run is not None:
            self.app.push_screen(PredictionsScreen(run.directory, run.name))

    def action_delete(self) -> None:
        """Delete the run, or the marked ones, after a question that names them."""
        runs = [run for run in self.runs_to_delete() if ALLOWED["delete"](run)]
        kept = len(self.runs_to_delete()) - len(runs)
        if not runs:
            return
        question = f"Delete {runs[0].name}?" if len(runs) == 1 else f"Delete {len(runs)} runs?"
        named = [run.directory.name for run in runs[:_MOST_NAMED]]
        more = [f"and {len(runs) - _MOST_NAMED} more"] * (len(runs) > _MOST_NAMED)
        hidden = sum(run.is_hidden for run in runs)
        unseen = [f"The filter hides {hidden} of them."] * (hidden > 0)
        stays = [f"{kept} that are being trained or only read stay."] * (kept > 0)
        removed = "Removed for good, with checkpoints and model:"
        done = f"Deleted {runs[0].name}." if len(runs) == 1 else f"Deleted {len(runs)} runs."
        self._confirm(
            question,
            "\n".join([removed, *named, *more, *unseen, *stays]),
            "Delete",
            lambda: self._work(runs, self._remove, done),
        )

    def _kill(self, run: Run) -> None:
        kill(run)
        self.app.killed.add(run.directory)

    def _resume(self, run: Run) -> None:
        self.app.trainers.add(start(run, resume=True))
        self.app.killed.discard(run.directory)

    def _remove(self, run: Run) -> None:
        remove(run)
        self.post_message(RunDeleted(run.directory))

    def _confirm(self, question: str, detail: str, verb: str, then: Callable[[], None]) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                then()

        self.app.push_screen(ConfirmScreen(question, detail, verb), answered)

    def _work(self, runs: ChosenRun | list[ChosenRun], what: Callable[[Run], object], done: str) -> None:
        chosen = runs if isinstance(runs, list) else [runs]

        def work() -> None:
            failed = 0
            for run in chosen:
                try:
                    what(open_run(run.directory))
                except (RunError, OSError, ValueError) as error:
                    failed += 1
                    self.post_message(Notice(str(error), "error"))
            if not failed:
                self.post_message(Notice(done))
            elif len(chosen) > 1:
                self.post_message(Notice(f"{failed} of {len(chosen)} runs stay as they are.", "warning"))

        self.run_worker(work, thread=True, group="actions")
