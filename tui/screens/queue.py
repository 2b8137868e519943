"""QueueScreen: the lanes, what they train, and what waits there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from keras_tricks.queue import Direction, ListedLane, Listing, QueuedRun, QueueLister, RunQueue, lane_name
from keras_tricks.runs import RunError
from tui.messages import Notice, RunDeleted
from tui.screens.confirm import ConfirmScreen
from tui.screens.mode_screen import ModeScreen
from tui.widgets.queue_detail import QueueDetail
from tui.widgets.queue_table import QueueTable

if TYPE_CHECKING:
    from tui.app import KerasTricksApp

_EMPTY = (
    "[b]Nothing is queued.[/b]\n\nPress [b $accent]1[/], choose a recipe, and add it to the queue there.\n"
    "In a shell: [b]keras-tricks queue add quickstart[/b]"
)


class QueueScreen(ModeScreen):
    """The lanes with their runs in order, looked at again and again.

    The work is done in thread workers; a notice says how it went.
    """

    app: KerasTricksApp
    MODE = "queue"
    AUTO_FOCUS = "QueueTable"

    KEYS_HELP = (
        ("Enter", "watch the run"),
        ("e l", "train the run earlier, later: a place up, down"),
        ("f", "train the run first, after the one in progress"),
        ("d", "choose other devices for the run: another lane"),
        ("D", "remove the run from the queue, after a question"),
        ("g", "start the lane's runner; it outlives this program"),
        ("s", "stop the lane after the run in progress; g undoes it"),
        ("S", "stop the lane and its run now, after a question"),
    )

    BINDINGS = [
        Binding("enter", "open_run", "Watch", show=False, id="queue.open_run"),
        Binding("e,ctrl+up", "move('up')", "Earlier", key_display="e", id="queue.earlier"),
        Binding("l,ctrl+down", "move('down')", "Later", key_display="l", id="queue.later"),
        Binding("f", "move('first')", "First", id="queue.first"),
        Binding("d", "change_lane", "Devices", id="queue.devices"),
        Binding("D", "remove", "Remove", key_display="D", id="queue.remove"),
        Binding("g", "start", "Go", id="queue.start"),
        Binding("s", "stop", "Stop", id="queue.stop"),
        Binding("S", "stop_now", "Now", key_display="S", id="queue.stop_now"),
    ]

    class Read(Message):
        """The queue was looked at."""

        def __init__(self, listing: Listing) -> None:
            super().__init__()
            self.listing = listing

    class Unreadable(Message):
        """The queue cannot be read."""

        def __init__(self, reason: str) -> None:
            super().__init__()
            self.reason = reason

    def __init__(self) -> None:
        super().__init__()
        self._queue = RunQueue(self.app.runs_root)
        self._lister = QueueLister(self.app.runs_root)
        self._looking = False

    def compose_content(self) -> ComposeResult:
        """Yield the table, what stands in its place while nothing is queued, and two lines on what is chosen."""
        yield QueueTable()
        yield Static(Content.from_markup(_EMPTY), id="nothing-queued")
        yield QueueDetail()

    def on_mount(self) -> None:
        """Look again and again."""
        self.set_interval(self.app.refresh_s, self._look)

    def on_screen_resume(self) -> None:
        """Look at once."""
        self._look()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what the chosen run, or its lane, does not allow."""
        run, lane = self._chosen_run(), self._chosen_lane()
        is_waiting = run is not None and run.place is not None
        allowed = {
            "open_run": run is not None and run.summary.state != "broken",
            "move": is_waiting,
            "change_lane": is_waiting,
            "remove": is_waiting,
            "start": lane is not None and lane.state != "running",
            "stop": lane is not None and lane.state == "running",
            "stop_now": lane is not None and (lane.pid is not None or any(run.summary.is_live for run in lane.runs)),
        }
        return True if allowed.get(action, True) else None

    def on_queue_screen_read(self, message: Read) -> None:
        """Show the queue."""
        self._looking = False
        table = self.query_one(QueueTable)
        table.show(message.listing)
        self.set_class(not table.lines, "-nothing")
        runs = [run for lane in message.listing.lanes for run in lane.runs]
        live = sum(run.summary.is_live for run in runs)
        waiting = f"{sum(run.place is not None for run in runs)} waiting"
        self.set_subject(waiting + (f" · ● {live} running" if live else "") if runs else "")
        self._show_detail()

    def on_queue_screen_unreadable(self, message: Unreadable) -> None:
        """Say why there is nothing new."""
        self._looking = False
        self.query_one(QueueDetail).show_trouble(message.reason)

    @on(QueueTable.Highlighted)
    def _cursor_moved(self, event: QueueTable.Highlighted) -> None:
        event.stop()
        self._show_detail()

    @on(QueueTable.Opened)
    def _line_chosen(self, event: QueueTable.Opened) -> None:
        event.stop()
        self.action_open_run()

    def action_open_run(self) -> None:
        """Watch the run under the cursor."""
        run = self._chosen_run()
        if run is not None and run.summary.state == "broken":
            self.post_message(Notice(f"{run.summary.id} cannot be opened. {run.summary.error}", "error"))
        elif run is not None:
            self.app.open_run(run.summary.directory)

    def action_move(self, where: Direction) -> None:
        """Move the run to another place of its lane."""
        run = self._chosen_run()
        if run is not None:
            self._work(lambda: self._queue.move(run.summary.id, where))

    def action_change_lane(self) -> None:
        """Move the run to the end of another lane, which the user names."""
        from tui.screens.name_screen import NameScreen

        run = self._chosen_run()
        if run is None:
            return

        def answered(lane: str | None) -> None:
            if lane is not None and lane_name(lane) != run.lane:
                done = f"{run.summary.name} waits in the lane {lane_name(lane)}."
                self._work(lambda: self._queue.move(run.summary.id, "last", lane), done)

        question = f"Devices of {run.summary.name}: all, cpu, gpu0, gpu0,1 ..."
        self.app.push_screen(NameScreen(question, run.lane, _lane_problem), answered)

    def action_remove(self) -> None:
        """Remove the run after a question."""
        run = self._chosen_run()
        if run is None:
            return

        def remove() -> None:
            self._queue.remove(run.summary.id)
            self.post_message(RunDeleted(run.summary.directory))

        self._confirm(
            f"Remove {run.summary.name} from the queue?",
            f"It has not been trained. Its directory {run.summary.id} is removed too.",
            "Remove",
            lambda: self._work(remove, f"Removed {run.summary.name}."),
        )

    def action_start(self) -> None:
        """Start the runner of the lane, or let it go on."""
        lane = self._chosen_lane()
        if lane is None:
            return

        def start() -> None:
            pid = self._queue.start(lane.name)
            if pid is not None:
                self.app.trainers.add(pid)

        goes_on = lane.state == "stopping"
        done = "goes on" if goes_on else "has a runner. It goes on when you quit"
        self._work(start, f"The lane {lane.name} {done}.")

    def action_stop(self) -> None:
        """Stop the lane after the run in progress."""
        lane = self._chosen_lane()
        if lane is not None:
            done = f"The lane {lane.name} stops after the run in progress."
            self._work(lambda: self._queue.stop(lane.name), done)

    def action_stop_now(self) -> None:
        """Stop the lane and the run in progress after a question."""
        lane = self._chosen_lane()
        if lane is not None:
            self._confirm(
                f"Stop the lane {lane.name} now?",
                "The run in progress ends its step and keeps its checkpoint; what waits goes on waiting.",
                "Stop",
                lambda: self._work(lambda: self._queue.stop(lane.name, now=True), f"Stopping the lane {lane.name}."),
            )

    def _chosen_run(self) -> QueuedRun | None:
        tables = self.query(QueueTable)
        line = tables.first().chosen() if tables else None
        return None if line is None else line.run

    def _chosen_lane(self) -> ListedLane | None:
        tables = self.query(QueueTable)
        return tables.first().chosen_lane() if tables else None

    def _show_detail(self) -> None:
        self.refresh_bindings()
        run, lane = self._chosen_run(), self._chosen_lane()
        detail = self.query_one(QueueDetail)
        if run is not None:
            detail.show_run(run)
        elif lane is not None:
            detail.show_lane(lane, self._queue.log(lane.name))
        else:
            detail.update("")

    def _confirm(self, question: str, detail: str, verb: str, then: Callable[[], None]) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                then()

        self.app.push_screen(ConfirmScreen(question, detail, verb), answered)

    def _work(self, what: Callable[[], object], done: str = "") -> None:
        """Do something, say so, and look again."""

        def work() -> None:
            try:
                what()
            except (RunError, OSError) as error:
                self.post_message(Notice(str(error), "error"))
            else:
                if done:
                    self.post_message(Notice(done))
            self._read()

        self.run_worker(work, thread=True, group="actions")

    def _look(self) -> None:
        if self._looking or not self.is_current:
            return
        self._looking = True
        self.run_worker(self._read, thread=True, group="look")

    def _read(self) -> None:
        try:
            self.post_message(self.Read(self._lister.look()))
        except (RunError, OSError) as error:
            self.post_message(self.Unreadable(str(error)))


def _lane_problem(text: str) -> str | None:
    try:
        lane_name(text)
    except RunError as error:
        return str(error)
    return None
