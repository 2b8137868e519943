"""KerasTricksApp: the terminal UI."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.screen import Screen
from textual.theme import Theme

from keras_tricks.presets import presets
from keras_tricks.user_config import ConfigError, Preferences
from tui.messages import Notice, RunDeleted, RunLaunched
from tui.selection import Selection
from tui.terminal import Terminal, end_as_hung_up

THEME = Theme(
    name="keras-tricks",
    primary="#6ea8fe",
    secondary="#5b6577",
    accent="#ff8f6b",
    success="#7bd88f",
    warning="#f2c14e",
    error="#ff6b78",
    foreground="#d8dee9",
    background="#11151c",
    surface="#171c25",
    panel="#202733",
    dark=True,
    variables={
        "border": "#6ea8fe",
        "border-blurred": "#39435a",
        "footer-background": "#202733",
        "footer-key-foreground": "#ff8f6b",
        "footer-description-foreground": "#aab4c5",
        "block-cursor-text-style": "bold",
        "scrollbar": "#39435a",
        "scrollbar-background": "#171c25",
        "scrollbar-corner-color": "#171c25",
        "input-selection-background": "#6ea8fe 35%",
    },
)


def _launch_screen() -> Screen[None]:
    from tui.screens.launch import LaunchScreen

    return LaunchScreen()


def _live_screen() -> Screen[None]:
    from tui.screens.live import LiveScreen

    return LiveScreen()


def _runs_screen() -> Screen[None]:
    from tui.screens.runs import RunsScreen

    return RunsScreen()


def _compare_screen() -> Screen[None]:
    from tui.screens.compare import CompareScreen

    return CompareScreen()


def _queue_screen() -> Screen[None]:
    from tui.screens.queue import QueueScreen

    return QueueScreen()


_STYLES = Path(__file__).with_name("styles")


class KerasTricksApp(App[None]):
    """The terminal UI.

    Args:
        runs_root: The folder of run directories.
        clock: Seconds since 1970, for ages and durations.
        refresh_s: Seconds between two looks at the runs. Defaults to the user's preference, else to one, or two over
            SSH.

    Raises:
        keras_tricks.RecipeError: A recipe of the package cannot be read.
    """

    TITLE = "keras-tricks"
    CSS_PATH = [*sorted(_STYLES.glob("*.tcss"))]
    DEFAULT_MODE = "launch"
    MODES = {
        "launch": _launch_screen,
        "live": _live_screen,
        "runs": _runs_screen,
        "compare": _compare_screen,
        "queue": _queue_screen,
    }

    BINDINGS = [
        Binding("1", "show_mode('launch')", "Launch", show=False, id="app.launch"),
        Binding("2", "show_mode('live')", "Live", show=False, id="app.live"),
        Binding("3", "show_mode('runs')", "Runs", show=False, id="app.runs"),
        Binding("4", "show_mode('compare')", "Compare", show=False, id="app.compare"),
        Binding("5", "show_mode('queue')", "Queue", show=False, id="app.queue"),
        Binding("question_mark,f1", "help", "Help", id="app.help"),
        Binding("q", "quit", "Quit", id="app.quit"),
    ]

    def __init__(self, runs_root: Path, clock: Callable[[], float] = time.time, refresh_s: float | None = None) -> None:
        super().__init__()
        self.runs_root = runs_root
        self.clock = clock
        self.presets = presets()
        self.watched: Path | None = None
        self.selection = Selection()
        self.killed: set[Path] = set()
        self.trainers: set[int] = set()
        self._terminal = Terminal()
        self._trouble = ""
        try:
            self.preferences = Preferences.load()
        except ConfigError as error:
            self.preferences, self._trouble = Preferences(), str(error)
        over_ssh = "SSH_CONNECTION" in os.environ
        self.refresh_s = refresh_s or self.preferences.refresh_s or (2.0 if over_ssh else 1.0)
        if over_ssh and "TEXTUAL_ANIMATIONS" not in os.environ:
            self.animation_level = "none"
        self.register_theme(THEME)
        self.theme = THEME.name
        if self.preferences.theme in self.available_themes:
            self.theme = self.preferences.theme
        self.set_keymap(self.preferences.keys)

    def on_mount(self) -> None:
        """Look now and then after trainers and terminal; remember a theme that is chosen."""
        self.set_interval(2, self._reap)
        self.set_interval(1, self._end_with_terminal)
        if not self.is_headless and not self.is_web:
            # Without a handler SIGTERM would leave the terminal as no shell can use it.
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)
        self.theme_changed_signal.subscribe(self, lambda theme: self.remember(theme=theme.name))
        if self._trouble:
            self.post_message(Notice(self._trouble, "error"))

    def remember(self, **values: object) -> None:
        """Keep preferences (see `Preferences`) for the next time; a notice says so if they cannot be written.

        A file that could not be read is left as it is.
        """
        changed = self.preferences.changed(**values)
        if changed == self.preferences:
            return
        self.preferences = changed
        if self._trouble:
            return
        try:
            changed.save()
        except ConfigError as error:
            self.post_message(Notice(str(error), "error"))

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Give every theme the two greys for what is less important."""
        return {"muted": "#8b96aa", "faint": "#66718a"}

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Add the modes, and what the keys of the active one do, to the command palette."""
        yield SystemCommand("Launch", "Choose a recipe and its tricks, and train it", lambda: self._go("launch"))
        yield SystemCommand("Live", "Watch a run", lambda: self._go("live"))
        yield SystemCommand("Runs", "List all runs", lambda: self._go("runs"))
        yield SystemCommand("Compare", "Compare the marked runs", lambda: self._go("compare"))
        yield SystemCommand("Queue", "What waits to be trained", lambda: self._go("queue"))
        yield SystemCommand("Help", "All keys, those of this mode first", self.action_help)
        here = {active.binding.id: active for active in screen.active_bindings.values() if active.enabled}
        for name, (node, binding, *_) in here.items():
            if name and not name.startswith("app."):
                key = self.get_key_display(binding)
                title = f"{name.partition('.')[0].capitalize()}: {binding.description}"
                yield SystemCommand(title, f"The key {key}", partial(self.run_action, binding.action, node))
        yield from (command for command in super().get_system_commands(screen) if command.title != "Keys")

    def open_run(self, directory: Path) -> None:
        """Watch a run in the live mode."""
        self.watched = directory
        self._go("live")

    def edit_run(self, directory: Path) -> None:
        """Load a run's recipe into the launch mode, to be changed and trained again as that run's child."""
        from tui.screens.launch import LaunchScreen

        self._go("launch")
        screen = self.screen
        if isinstance(screen, LaunchScreen):
            screen.edit_run(directory)

    def action_show_mode(self, mode: str) -> None:
        """Go to a mode."""
        self._go(mode)

    def action_help(self) -> None:
        """Show the keys."""
        from tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen())

    def on_notice(self, message: Notice) -> None:
        """Show a notice for a while; an error stays longer."""
        self.notify(
            message.text,
            severity=message.severity,
            timeout=12 if message.severity == "error" else 5,
            markup=False,
        )

    def on_run_launched(self, message: RunLaunched) -> None:
        """Watch the run that was started."""
        self.open_run(message.directory)

    def on_run_deleted(self, message: RunDeleted) -> None:
        """Let the live mode choose another run if it was this one."""
        if message.directory == self.watched:
            self.watched = None
        self.selection.forget(message.directory)

    def _end_with_terminal(self) -> None:
        if self._terminal.is_closed():
            end_as_hung_up()

    def _reap(self) -> None:
        """Take note of the end of trainers that were started here, which would stay zombies else."""
        for child in tuple(self.trainers):
            try:
                ended = os.waitpid(child, os.WNOHANG)[0] == child
            except ChildProcessError:
                ended = True
            if ended:
                self.trainers.discard(child)

    def _go(self, mode: str) -> None:
        if not self.screen.is_modal:
            self.switch_mode(mode)
