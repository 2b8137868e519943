"""LiveScreen: watch one run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from keras_tricks.runs import Event, RunError
from tui.formats import clock_time
from tui.messages import NoRuns, RunRead, RunUnreadable
from tui.run_lister import reason_without_path
from tui.run_watcher import RunView, RunWatcher, newest_run
from tui.screens.run_actions import ChosenRun, RunActions
from tui.widgets.chart import Chart, Line
from tui.widgets.follow_log import FollowLog
from tui.widgets.run_header import RunHeader

SMOOTHING_LEVELS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95)


class LiveScreen(RunActions):
    """Watch one run: state, progress, charts, log and events, looked at once a second."""

    MODE = "live"
    AUTO_FOCUS = ""

    HELP = (
        ("s", "stop: end the step and keep the checkpoint; again: terminate"),
        ("K", "kill, after a question"),
        ("r", "resume from the last checkpoint"),
        ("y", "logarithmic axes for loss and learning rate"),
        ("+ -", "smooth the curves more or less"),
        ("z", "zoom the panel with the focus; Esc goes back"),
        ("l", "log and events, or all charts"),
        ("f", "follow the log again after scrolling up"),
    )

    BINDINGS = [
        Binding("y", "log_y", "Log-y", id="live.log_y"),
        Binding("plus,equals_sign", "smooth(1)", "Smooth", key_display="+ -", id="live.smooth"),
        Binding("minus", "smooth(-1)", "Rougher", show=False, id="live.rougher"),
        Binding("z", "zoom", "Zoom", id="live.zoom"),
        Binding("l", "log", "Log", id="live.log"),
        Binding("f", "follow", "Follow", show=False, id="live.follow"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._watcher: RunWatcher | None = None
        self._view: RunView | None = None
        self._shown: Path | None = None
        self._looking = False
        self._log_y = False
        self._smoothing_level = 0
        self._events: tuple[Event, ...] = ()

    def compose_content(self) -> ComposeResult:
        """Yield the header, four charts, the log and the events."""
        yield Static(
            Content.from_markup(
                "[b]No runs yet.[/b]\n\nPress [b $accent]1[/], choose a recipe, and [b $accent]l[/] launches it."
            ),
            id="no-run",
        )
        yield RunHeader()
        with Container(id="charts"):
            yield Chart(
                "loss",
                (Line("loss", "train", "primary"), Line("val_loss", "val", "warning", marker="◆")),
                id="loss",
                may_log=True,
            )
            yield Chart(
                "accuracy",
                (Line("accuracy", "train", "primary"), Line("val_accuracy", "val", "warning", marker="◆")),
                id="accuracy",
            )
            yield Chart(
                "learning rate",
                (Line("learning_rate", "", "accent"),),
                id="learning-rate",
                may_log=True,
                may_smooth=False,
            )
            yield Chart("images/s", (Line("images_per_second", "", "success"),), id="images-per-second")
        with Container(id="records"):
            yield FollowLog("log", id="log")
            yield FollowLog("events", id="events")

    def on_mount(self) -> None:
        """Look again and again."""
        self.set_interval(self.app.refresh_s, self._look)

    def on_screen_resume(self) -> None:
        """Look at once."""
        self._look()

    def chosen_run(self) -> ChosenRun | None:
        """The run that is watched."""
        view = self._view
        return None if view is None else ChosenRun(view.directory, view.name, view.state)

    def on_run_read(self, message: RunRead) -> None:
        """Show what was seen."""
        self._looking = False
        view = replace(message.view, killed=message.view.directory in self.app.killed)
        if self.app.watched is None:
            self.app.watched = view.directory
        if view.directory != self.app.watched:
            self._look()
            return
        if view.directory != self._shown:
            self._show_another(view.directory)
        self._view = view
        self.remove_class("-no-run")
        self._show_subject()
        self.query_one(RunHeader).show(view, self.app.clock())
        unreadable = f"{view.broken_lines} lines not readable" if view.broken_lines else ""
        for chart in self.query(Chart):
            chart.show(view.curves, view.x_label, unreadable if chart.id == "loss" else "")
        self._show_log(view)
        self._show_events(view)
        self.refresh_bindings()

    def on_run_unreadable(self, message: RunUnreadable) -> None:
        """Say why there is nothing new."""
        self._looking = False
        if self.app.watched is not None and message.directory != self.app.watched:
            self._look()
            return
        if message.directory != self._shown:
            self._show_another(message.directory)
        self._view = None
        self.remove_class("-no-run")
        self.query_one(RunHeader).show_trouble(message.reason)
        self.refresh_bindings()

    def on_no_runs(self) -> None:
        """Say how to get a run."""
        self._looking = False
        self._view = None
        self.add_class("-no-run")
        self._show_subject()
        self.refresh_bindings()

    def action_log_y(self) -> None:
        """Turn logarithmic axes on or off, for loss and learning rate."""
        self._log_y = not self._log_y
        for chart in self.query(Chart):
            chart.log_y = self._log_y
        self._show_subject()

    def action_smooth(self, direction: int) -> None:
        """Smooth the curves more, or less."""
        last = len(SMOOTHING_LEVELS) - 1
        self._smoothing_level = max(0, min(last, self._smoothing_level + direction))
        for chart in self.query(Chart):
            chart.smoothing = SMOOTHING_LEVELS[self._smoothing_level]
        self._show_subject()

    def action_zoom(self) -> None:
        """Let the panel with the focus fill the screen, or go back."""
        if self.maximized is not None:
            self.minimize()
        else:
            self.maximize(self.focused or self.query_one("#loss"))

    def action_log(self) -> None:
        """Show log and events, or charts in their place."""
        self.toggle_class("-charts")

    def action_follow(self) -> None:
        """Go to the end of log and events and follow them."""
        for log in self.query(FollowLog):
            log.follow()

    def _show_another(self, directory: Path) -> None:
        self._shown = directory
        self._events = ()
        self.query_one(RunHeader).clear()
        for log in self.query(FollowLog):
            log.start_anew()

    def _show_subject(self) -> None:
        smoothing = SMOOTHING_LEVELS[self._smoothing_level]
        words = [
            "log y" if self._log_y else "",
            f"smooth {smoothing:g}" if smoothing else "",
            "" if self._view is None else self._view.name,
        ]
        self.set_subject(" · ".join(word for word in words if word))

    def _show_log(self, view: RunView) -> None:
        log = self.query_one("#log", FollowLog)
        if view.log_restarted:
            log.start_anew()
        if view.new_log_lines:
            log.append(view.new_log_lines)

    def _show_events(self, view: RunView) -> None:
        if view.events == self._events:
            return
        log = self.query_one("#events", FollowLog)
        if view.events[: len(self._events)] != self._events:
            log.start_anew()
            self._events = ()
        new = view.events[len(self._events) :]
        log.append(f"{clock_time(event.t)} {event.kind}: {event.message}" for event in new)
        self._events = view.events

    def _look(self) -> None:
        if self._looking or not self.is_current:
            return
        self._looking = True
        self.run_worker(self._read, thread=True, group="look")

    def _read(self) -> None:
        directory = self.app.watched
        try:
            directory = directory or newest_run(self.app.runs_root)
            if directory is None:
                self.post_message(NoRuns())
                return
            if self._watcher is None or self._watcher.directory != directory:
                self._watcher = RunWatcher(directory)
            self.post_message(RunRead(self._watcher.look()))
        except (RunError, OSError, ValueError) as error:
            if directory is not None and not directory.exists():
                reason = f"{directory.name} was deleted. 3 lists the other runs."
            else:
                directory = directory or self.app.runs_root
                reason = reason_without_path(error, directory)
            self.post_message(RunUnreadable(directory, reason))
