"""LaneScreen: choose the lane of the queue that a run waits in."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from keras_tricks.queue import Lane


class LaneScreen(ModalScreen[str | None]):
    """Ask for a lane; the answer is None if the user goes back.

    Args:
        lanes: The lanes.
    """

    BINDINGS = [Binding("escape", "leave", "Cancel", id="lane.leave")]

    def __init__(self, lanes: Sequence[Lane]) -> None:
        super().__init__()
        self._lanes = lanes

    def compose(self) -> ComposeResult:
        """Yield the list."""
        with Vertical(id="lane-box", classes="launch-box") as box:
            box.border_title = "Which lane?"
            box.border_subtitle = "Enter takes it, Esc goes back"
            yield OptionList(
                *(Option(lane_words(lane), id=lane.name) for lane in self._lanes), id="lanes", compact=True
            )

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Answer."""
        event.stop()
        self.dismiss(event.option.id)

    def action_leave(self) -> None:
        """Go back."""
        self.dismiss(None)


def lane_words(lane: Lane) -> Content:
    """Return a lane's name, how many runs are in it, and whether a runner trains them."""
    count = len(lane.items)
    runner = ("● its runner is alive", "$success") if lane.is_alive else ("○ no runner", "$muted")
    return Content.assemble((f"{lane.name:<10}", "bold"), f"{count} run{'s' * (count != 1)}  ", runner)
