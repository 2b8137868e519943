"""LiveScreen: watch one run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widgets import Input, Static

from keras_tricks.runs import Event, RunError, schema
from tui.formats import clock_time
from tui.machine import Machine
from tui.messages import MachineRead, NoRuns, RunRead, RunUnreadable
from tui.run_lister import reason_without_path
from tui.run_watcher import RunView, RunWatcher, newest_run
from tui.screens.live_actions import LiveActions
from tui.screens.run_actions import ChosenRun
from tui.widgets.chart_grid import ChartGrid
from tui.widgets.follow_log import FollowLog
from tui.widgets.run_header import RunHeader
from tui.widgets.system_panel import SystemPanel


class LiveScreen(LiveActions):
    """Watch one run: state, progress, charts, log, events and the load of the machine."""

    MODE = "live"
    AUTO_FOCUS = ""

    def __init__(self) -> None:
        super().__init__()
        self._watcher: RunWatcher | None = None
        self._machine: Machine | None = None
        self._shown: Path | None = None
        self._looking = False
        self._looking_at_machine = False
        self._events: tuple[Event, ...] = ()
        self._state_shown: object = None

    def compose_content(self) -> ComposeResult:
        """Yield the header, the charts, the log, the events and the load."""
        yield Static(
            Content.from_markup(
                "[b]No runs yet.[/b]\n\nPress [b $accent]1[/], choose a recipe, and [b $accent]l[/] launches it."
            ),
            id="no-run",
        )
        yield RunHeader()
        yield ChartGrid(self.app.preferences.charts, self.app.preferences.x_axis)
        with Container(id="records"):
            yield FollowLog("log", id="log")
            yield FollowLog("events", id="events")
            yield SystemPanel()
        yield Input(placeholder="search, Enter keeps it, Esc ends it", id="log-search", compact=True)

    def on_mount(self) -> None:
        """Look again and again."""
        self.set_interval(self.app.refresh_s, self._look)

    def on_screen_resume(self) -> None:
        """Look at once."""
        self._look()

    def chosen_run(self) -> ChosenRun | None:
        """The run that is watched."""
        view = self._view
        if view is None:
            return None
        return ChosenRun(view.directory, view.name, view.state, view.is_read_only, view.has_recipe)

    async def on_run_read(self, message: RunRead) -> None:
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
        self.query_one(RunHeader).show(view, self.app.clock())
        unreadable = f"{view.broken_lines} bad lines" if view.broken_lines else ""
        await self.query_one(ChartGrid).show(view.curves, view.steps_per_epoch, unreadable, at_once=not view.is_live)
        self._show_log(view)
        self._show_events(view)
        self.query_one(SystemPanel).show_run(view)
        self._show_subject()
        self._show_bindings()

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
        self._show_bindings()

    def on_no_runs(self) -> None:
        """Say how to get a run."""
        self._looking = False
        self._view = None
        self.add_class("-no-run")
        self._show_subject()
        self._show_bindings()

    def on_machine_read(self, message: MachineRead) -> None:
        """Show the load of this machine."""
        self._looking_at_machine = False
        self.query_one(SystemPanel).show_machine(message.load, self.app.clock())

    def _show_another(self, directory: Path) -> None:
        self._shown = directory
        self._events = ()
        self.query_one(RunHeader).clear()
        self.query_one(ChartGrid).forget()
        for log in self.query(FollowLog):
            log.start_anew()

    def _show_bindings(self) -> None:
        """Grey out what cannot be done now; only after a change, as it takes the footer a while."""
        if self.chosen_run() != self._state_shown:
            self._state_shown = self.chosen_run()
            self.refresh_bindings()

    def _show_log(self, view: RunView) -> None:
        log = self.query_one("#log", FollowLog)
        if view.log.restarted:
            log.start_anew()
        if view.log.lines:
            log.append(view.log.lines)
        log.say_older(schema.LOG_FILE if view.log.is_cut else "")

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
        if not self.is_current:
            return
        if not self._looking_at_machine and self.query_one(SystemPanel).display:
            self._looking_at_machine = True
            self.run_worker(self._read_machine, thread=True, group="machine")
        if not self._looking:
            self._looking = True
            self.run_worker(self._read, thread=True, group="look")

    def _read_machine(self) -> None:
        self._machine = self._machine or Machine()
        self.post_message(MachineRead(self._machine.look()))

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
