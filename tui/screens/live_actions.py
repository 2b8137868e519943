"""LiveActions: the keys of the live screen."""

from __future__ import annotations

from textual.binding import Binding
from textual.widgets import Input

from keras_tricks.runs import schema
from tui.messages import Notice
from tui.run_watcher import RunView
from tui.screens.column_chooser import ColumnChooser
from tui.screens.run_actions import RunActions
from tui.widgets.chart_grid import ChartGrid
from tui.widgets.charted_metrics import USUAL, charted
from tui.widgets.follow_log import FollowLog
from tui.widgets.system_panel import SystemPanel


class LiveActions(RunActions):
    """A screen with charts, a log, events and the load of the machine, and the keys for them."""

    KEYS_HELP = (
        ("s", "stop: end the step and keep the checkpoint; again: terminate"),
        ("K", "kill, after a question"),
        ("r", "resume from the last checkpoint"),
        ("w", "what the model gets wrong: confusion matrix and worst images"),
        ("c", "choose what is charted"),
        ("x", "x counts epochs, training time, or steps"),
        ("y", "logarithmic y where it suits, or of the chart with the focus"),
        ("+ -", "smooth the curves more or less"),
        ("↑ ↓ ← →", "in a chart: zoom and pan x, in all charts; the wheel does it too"),
        ("0", "all of x again"),
        (", .", "move the cursor, whose values stand in the titles; or the mouse"),
        ("z", "the panel with the focus fills the screen; Esc goes back"),
        ("l", "log and events, or all charts"),
        ("g", "the load of trainer, machine and GPUs"),
        ("/", "search the log, or the events if they have the focus"),
        ("n N", "the next line found, the one before; Esc ends the search"),
        ("f", "follow the log again after scrolling up"),
    )

    BINDINGS = [
        Binding("c", "choose_charts", "Charts", id="live.charts"),
        Binding("x", "next_axis", "X axis", show=False, id="live.x_axis"),
        Binding("y", "log_y", "Log-y", id="live.log_y"),
        Binding("plus,equals_sign", "smooth(1)", "Smooth", key_display="+ -", id="live.smooth"),
        Binding("minus", "smooth(-1)", "Rougher", show=False, id="live.rougher"),
        Binding("0", "reset_x", "All of x", show=False, id="live.reset_x"),
        Binding("comma", "move_cursor(-1)", "Cursor left", show=False, id="live.cursor_left"),
        Binding("full_stop", "move_cursor(1)", "Cursor right", show=False, id="live.cursor_right"),
        Binding("z", "zoom", "Zoom", id="live.zoom"),
        Binding("l", "log", "Log", id="live.log"),
        Binding("g", "system", "System", show=False, id="live.system"),
        Binding("slash", "search", "Search", id="live.search"),
        Binding("n", "search_on(1)", "Next found", show=False, id="live.next"),
        Binding("N", "search_on(-1)", "Found before", show=False, id="live.previous"),
        Binding("f", "follow", "Follow", show=False, id="live.follow"),
        Binding("escape", "back", "Back", show=False, id="live.back"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._view: RunView | None = None
        self._subject = ""

    def _look(self) -> None:
        """Look at the run and at the machine now."""
        raise NotImplementedError

    def on_chart_grid_changed(self) -> None:
        """Say what all charts share now."""
        self._show_subject()

    def action_choose_charts(self) -> None:
        """Let the user choose what is charted, and remember it."""
        grid = self.query_one(ChartGrid)

        async def chosen(metrics: tuple[str, ...] | None) -> None:
            if metrics is not None:
                self.app.remember(charts=metrics or None)
                await grid.choose(metrics or None)

        known = charted([*USUAL, *grid.logged])
        self.app.push_screen(ColumnChooser(grid.metrics, known, "Charts", "the usual ones"), chosen)

    def action_next_axis(self) -> None:
        """Let x count something else."""
        grid = self.query_one(ChartGrid)
        grid.next_axis()
        self.app.remember(x_axis=grid.x_axis)

    def action_log_y(self) -> None:
        """Turn logarithmic axes on or off."""
        self.query_one(ChartGrid).toggle_log()
        self._show_subject()

    def action_smooth(self, direction: int) -> None:
        """Smooth the curves more, or less."""
        self.query_one(ChartGrid).smooth(direction)
        self._show_subject()

    def action_reset_x(self) -> None:
        """Show all of x."""
        self.query_one(ChartGrid).reset()

    def action_move_cursor(self, columns: int) -> None:
        """Move the cursor through the charts."""
        self.query_one(ChartGrid).move_cursor(columns)

    def action_zoom(self) -> None:
        """Let the panel with the focus fill the screen, or go back."""
        if self.maximized is not None:
            self.minimize()
        else:
            self.maximize(self.focused or self.query_one(ChartGrid).charts[0])

    def action_log(self) -> None:
        """Show log and events, or charts in their place."""
        self.toggle_class("-charts")

    def action_system(self) -> None:
        """Show or hide the load of the machine."""
        panel = self.query_one(SystemPanel)
        is_shown = panel.display and not self.has_class("-charts")
        self.remove_class("-charts")
        self.set_class(is_shown, "-without-system")
        self.set_class(not is_shown, "-with-system")
        self._look()

    def action_follow(self) -> None:
        """Go to the end of log and events and follow them."""
        for log in self.query(FollowLog):
            log.search("")
            log.follow()

    def action_search(self) -> None:
        """Let the user type what to search for."""
        self.remove_class("-charts")
        self.add_class("-searching")
        self.set_class(self.focused is self.query_one("#events"), "-events")
        box = self.query_one("#log-search", Input)
        box.value = ""
        box.focus()

    def action_search_on(self, direction: int) -> None:
        """Go to the next line found, or the one before."""
        for log in self.query(FollowLog):
            log.search_on(direction)

    def action_back(self) -> None:
        """End the search, leave the full screen, or take the cursor away."""
        grid = self.query_one(ChartGrid)
        searched = [log for log in self.query(FollowLog) if log.is_searched]
        if self.has_class("-searching") or searched:
            self._end_typing()
            self.action_follow()
        elif self.maximized is not None:
            self.minimize()
        elif grid.has_cursor:
            grid.take_cursor_away()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search while the user types."""
        self._searched_log().search(event.value)

    def on_input_submitted(self) -> None:
        """Keep the search, and let keys go to the log again."""
        log = self._searched_log()
        if log.is_searched and not log.found and log.is_cut and self._view is not None:
            where = self._view.directory / schema.LOG_FILE
            self.post_message(Notice(f"Not in the last {len(log.lines)} lines. Older ones are in {where}"))
        self._end_typing()

    def _searched_log(self) -> FollowLog:
        """The lines that a search is about: those with the focus the last time, else the log."""
        return self.query_one("#events" if self.has_class("-events") else "#log", FollowLog)

    def _end_typing(self) -> None:
        self.remove_class("-searching")
        self._searched_log().focus()

    def _show_subject(self) -> None:
        words = [*self.query_one(ChartGrid).words, "" if self._view is None else self._view.name]
        subject = " · ".join(word for word in words if word)
        if subject != self._subject:
            self._subject = subject
            self.set_subject(subject)
