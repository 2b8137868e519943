"""ChartControls: the keys and the mouse of a chart, which ask for another part of x or another place of the cursor."""

from __future__ import annotations

from textual.binding import Binding
from textual.containers import Vertical
from textual.events import (
    Leave,
    MouseDown,
    MouseMove,
    MouseScrollDown,
    MouseScrollLeft,
    MouseScrollRight,
    MouseScrollUp,
    MouseUp,
)
from textual.message import Message

from tui.widgets.plot import Plot

ZOOM_STEP = 1.5
"""By how much one turn of the wheel, or one key, enlarges."""
_WHEEL_PAN = 0.1


class ChartControls(Vertical, can_focus=True):
    """A widget with a plot that keys and mouse zoom and pan, by messages to whoever holds it."""

    ALLOW_MAXIMIZE = True
    ALLOW_SELECT = False

    BINDINGS = [
        Binding("left", "pan(-0.25)", "Earlier", show=False, id="chart.earlier"),
        Binding("right", "pan(0.25)", "Later", show=False, id="chart.later"),
        Binding("up", "zoom(1)", "Enlarge", show=False, id="chart.enlarge"),
        Binding("down", "zoom(-1)", "Reduce", show=False, id="chart.reduce"),
    ]

    class Zoomed(Message):
        """The user wants `factor` times less of x, and `x` to stay where it is; None for the middle."""

        def __init__(self, x: float | None, factor: float) -> None:
            super().__init__()
            self.x, self.factor = x, factor

    class Panned(Message):
        """The user wants to see what lies `share` of the width to the right."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    class Pointed(Message):
        """The mouse points at `x`, or at none any more."""

        def __init__(self, x: float | None) -> None:
            super().__init__()
            self.x = x

    cursor: float | None = None
    """The x of the cursor."""

    _dragged_from: int | None = None

    def action_pan(self, share: float) -> None:
        """Ask for earlier or later points."""
        self.post_message(self.Panned(share))

    def action_zoom(self, steps: int) -> None:
        """Ask for more or fewer points, around the cursor if there is one."""
        self.post_message(self.Zoomed(self.cursor, ZOOM_STEP**steps))

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Enlarge; with Shift or Ctrl, go back."""
        self._turn_wheel(event, 1)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Reduce; with Shift or Ctrl, go on."""
        self._turn_wheel(event, -1)

    def on_mouse_scroll_left(self, event: MouseScrollLeft) -> None:
        """Go back."""
        event.stop().prevent_default()
        self.post_message(self.Panned(-_WHEEL_PAN))

    def on_mouse_scroll_right(self, event: MouseScrollRight) -> None:
        """Go on."""
        event.stop().prevent_default()
        self.post_message(self.Panned(_WHEEL_PAN))

    def on_mouse_down(self, event: MouseDown) -> None:
        """Begin to drag."""
        if event.button == 1 and self.query_one(Plot).x_at(event) is not None:
            self._dragged_from = event.screen_x
            self.capture_mouse()

    def on_mouse_up(self, _event: MouseUp) -> None:
        """End to drag."""
        self._dragged_from = None
        self.release_mouse()

    def on_mouse_move(self, event: MouseMove) -> None:
        """Drag, or move the cursor."""
        plot = self.query_one(Plot)
        if self._dragged_from is None:
            self.post_message(self.Pointed(plot.x_at(event)))
        elif event.screen_x != self._dragged_from:
            self.post_message(self.Panned((self._dragged_from - event.screen_x) / plot.inside[0]))
            self._dragged_from = event.screen_x

    def on_leave(self, event: Leave) -> None:
        """Take the cursor away with the mouse."""
        if not self.is_mouse_over:
            self.post_message(self.Pointed(None))

    def _turn_wheel(self, event: MouseScrollUp | MouseScrollDown, steps: int) -> None:
        event.stop().prevent_default()
        if event.shift or event.ctrl or event.meta:
            self.post_message(self.Panned(-steps * _WHEEL_PAN))
        else:
            self.post_message(self.Zoomed(self.query_one(Plot).x_at(event), ZOOM_STEP**steps))
