"""RunActions: stop, kill, resume and delete a run, for the screens that show runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from textual.binding import Binding

from keras_tricks.runs import Run, RunError, kill, remove, request_stop, start, terminate
from tui.messages import Notice, RunDeleted
from tui.screens.confirm import ConfirmScreen
from tui.screens.mode_screen import ModeScreen

if TYPE_CHECKING:
    from tui.app import KerasTricksApp


class ChosenRun(NamedTuple):
    """The run that the keys act on."""

    directory: Path
    name: str
    state: str

    @property
    def is_live(self) -> bool:
        """Whether a trainer works on it."""
        return self.state in ("starting", "running", "stopping")


class RunActions(ModeScreen):
    """A screen with a chosen run that the keys stop, kill, resume and delete.

    The work is done in thread workers; a notice says how it went.
    """

    app: KerasTricksApp

    BINDINGS = [
        Binding("s", "stop", "Stop", id="run.stop"),
        Binding("K", "kill", "Kill", key_display="K", id="run.kill"),
        Binding("r", "resume", "Resume", id="run.resume"),
    ]

    def chosen_run(self) -> ChosenRun | None:
        """The run that the keys act on."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what the chosen run's state does not allow."""
        run = self.chosen_run() if action in ("stop", "kill", "resume", "delete") else None
        if run is None:
            return None if action in ("stop", "kill", "resume", "delete") else True
        allowed = {
            "stop": run.is_live,
            "kill": run.is_live,
            "resume": not run.is_live and run.state not in ("finished", "broken"),
            "delete": not run.is_live,
        }
        return True if allowed[action] else None

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

    def action_delete(self) -> None:
        """Delete the run after a question."""
        run = self.chosen_run()
        if run is not None:
            self._confirm(
                f"Delete {run.name}?",
                f"The directory {run.directory.name} with its checkpoints and its model is removed.",
                "Delete",
                lambda: self._work(run, self._remove, f"Deleted {run.name}."),
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

    def _work(self, run: ChosenRun, what: Callable[[Run], object], done: str) -> None:
        def work() -> None:
            try:
                what(Run(run.directory))
            except (RunError, OSError, ValueError) as error:
                self.post_message(Notice(str(error), "error"))
            else:
                self.post_message(Notice(done))

        self.run_worker(work, thread=True, group="actions")
