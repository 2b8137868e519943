"""QueueDetail: two lines on the run or the lane that is chosen."""

from __future__ import annotations

from pathlib import Path

from textual.content import Content
from textual.widgets import Static

from keras_tricks.queue import ListedLane, QueuedRun
from tui.formats import moment
from tui.states import STATE_LOOKS
from tui.widgets.queue_table import RUNNER_LOOKS


class QueueDetail(Static):
    """Two lines on the run or the lane that is chosen."""

    def show_run(self, run: QueuedRun) -> None:
        """Say which run it is, and what went wrong or what its recipe is."""
        look = STATE_LOOKS[run.summary.state]
        state = (look.text, f"bold ${look.color}")
        first = Content.assemble(state, f"  {run.summary.id}", (f"  lane {run.lane}", "$muted"))
        if run.summary.error:
            second = Content.styled(run.summary.error.replace("\n", " "), "$text-error")
        else:
            second = Content.styled(f"{run.summary.about}  {run.differs or 'as its preset'}", "$muted")
        self.update(Content("\n").join([first, second]))

    def show_lane(self, lane: ListedLane, log: Path) -> None:
        """Say who its runner is, and where that writes or why it ended."""
        symbol, words, color = RUNNER_LOOKS[lane.state]
        process = "" if lane.since is None else f"  process {lane.pid} since {moment(lane.since)}"
        first = Content.assemble((f"{symbol} {words}", f"bold ${color}"), f"  lane {lane.name}{process}")
        second = f"The last runner ended: {lane.reason}." if lane.reason else f"Its log is {log}"
        self.update(Content("\n").join([first, Content.styled(second, "$muted")]))

    def show_trouble(self, reason: str) -> None:
        """Say why there is nothing new."""
        self.update(Content.styled(f"✗ The queue cannot be read: {reason}", "$text-error"))
