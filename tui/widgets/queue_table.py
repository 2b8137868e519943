"""QueueTable: each lane with its runner, below it the runs in their order, at the end those that have ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip

from keras_tricks.queue import ListedLane, Listing, QueuedRun
from tui.formats import duration, fitted, moment
from tui.states import STATE_LOOKS
from tui.widgets.line_table import LineTable

_WIDE = 100
_MOST_ENDED = 20

RUNNER_LOOKS = {
    "running": ("●", "runner at work", "success"),
    "stopping": ("◍", "stops after its run", "warning"),
    "none": ("○", "no runner", "muted"),
    "gone": ("?", "its runner was killed", "error"),
}
"""Symbol, words and theme colour of what a lane's runner does."""


@dataclass(frozen=True)
class QueueLine:
    """A line of the table: a lane, a run, or the heading over those that have ended."""

    key: str
    lane: ListedLane | None = None
    run: QueuedRun | None = None


@dataclass(frozen=True)
class _Cell:
    """What stands in a column: its text, a theme colour, and whether it stands at the right."""

    text: str
    width: int
    color: str = ""
    right: bool = False


class QueueTable(LineTable):
    """The queue, a line for each lane and each run, below a line of headings."""

    COMPONENT_CLASSES = {"queue-table--header", "queue-table--cursor", "queue-table--lane", "queue-table--ended"}

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[QueueLine] = []

    def line_count(self) -> int:
        """How many lines there are."""
        return len(self.lines)

    def line_key(self, index: int) -> str:
        """The name of a line."""
        return self.lines[index].key

    def chosen(self) -> QueueLine | None:
        """The line under the cursor."""
        return self.lines[self._index] if self._index < len(self.lines) else None

    def chosen_lane(self) -> ListedLane | None:
        """The lane that the cursor is on or in."""
        line = self.chosen()
        if line is None or line.run is None:
            return None if line is None else line.lane
        lanes = (other.lane for other in self.lines if other.lane is not None)
        return next((lane for lane in lanes if line.run in lane.runs), None)

    def show(self, listing: Listing) -> None:
        """Show the queue; the cursor stays on its lane or run."""
        self.lines = _lines(listing)
        places = {line.key: place for place, line in enumerate(self.lines)}
        self.virtual_size = Size(max(1, self.size.width), len(self.lines) + 1)
        self._stay(places, self._index if self._cursor else _first_run(self.lines))

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self.virtual_size = Size(max(1, self.size.width), len(self.lines) + 1)
        self._show_cursor()

    def texts(self, line: QueueLine) -> list[str]:
        """Return the texts of the cells of a run's line, or the one text of another line."""
        if line.run is None:
            return [_title(line)[0]]
        return [cell.text for cell in self._cells(line.run)]

    def render_line(self, y: int) -> Strip:
        """Return a line of the screen: the headings, a lane, a run, or nothing."""
        width = self.size.width
        index = y - 1 + self.scroll_offset.y
        if y == 0:
            style = self.rich_style + self.get_component_rich_style("queue-table--header", partial=True)
            segments = self._segments(self._headings(), style)
        elif index < len(self.lines):
            line = self.lines[index]
            style = self._style(line, is_chosen=index == self._index)
            segments = (
                self._title_segments(line, style) if line.run is None else self._segments(self._cells(line.run), style)
            )
        else:
            return Strip.blank(width, self.rich_style)
        return Strip(segments).adjust_cell_length(width, style).simplify()

    def _style(self, line: QueueLine, is_chosen: bool) -> Style:
        style = self.rich_style
        if line.run is None:
            style += self.get_component_rich_style("queue-table--lane", partial=True)
        elif line.run.ended is not None:
            style += self.get_component_rich_style("queue-table--ended", partial=True)
        if is_chosen:
            style += self.get_component_rich_style("queue-table--cursor", partial=True)
        return style

    def _title_segments(self, line: QueueLine, style: Style) -> list[Segment]:
        words, rest, color = _title(line), "", "foreground"
        if line.lane is not None:
            symbol, doing, color = RUNNER_LOOKS[line.lane.state]
            rest = f"  {symbol} {doing}"
        return [
            Segment(f" {words[0]}", style),
            Segment(rest, style + Style(color=self.app.theme_variables[color], bold=True)),
            Segment(words[1], style + Style(bold=False)),
        ]

    def _segments(self, cells: Sequence[_Cell], style: Style) -> list[Segment]:
        theme = self.app.theme_variables
        return [
            Segment(
                f" {fitted(cell.text, cell.width, cell.right)} ",
                style + Style(color=theme[cell.color], bold=True) if cell.color else style,
            )
            for cell in cells
        ]

    def _headings(self) -> list[_Cell]:
        titles = ("#", "State", "Name", "Differs in", "Epoch", "Left", "Added")
        right = (True, False, False, False, True, True, True)
        return [
            _Cell(title, width, right=at_right)
            for title, width, at_right in zip(titles, self._widths(), right, strict=True)
        ]

    def _cells(self, run: QueuedRun) -> list[_Cell]:
        place, state, name, differs, epoch, left, added = self._widths()
        status, look = run.summary.status, STATE_LOOKS[run.summary.state]
        remaining = duration(status.eta_s) if run.summary.is_live else ""
        time = moment(run.added) if added > 5 else datetime.fromtimestamp(run.added).astimezone().strftime("%H:%M")
        return [
            _Cell("" if run.ended else "▸" if run.place is None else str(run.place), place, right=True),
            _Cell(look.text, state, look.color),
            _Cell(run.summary.name, name),
            _Cell(run.differs, differs),
            _Cell(f"{status.epoch}/{status.epochs}" if status.epochs else "", epoch, right=True),
            _Cell(remaining, left, right=True),
            _Cell(time, added, right=True),
        ]

    def _widths(self) -> tuple[int, int, int, int, int, int, int]:
        """The widths of the columns; what differs takes what the others leave."""
        wide = self.size.width >= _WIDE
        name, epoch, added = (22, 9, 11) if wide else (14, 7, 5)
        place, state, left = 3, 10, 7
        differs = max(8, self.size.width - 14 - (place + state + name + epoch + left + added))
        return place, state, name, differs, epoch, left, added


def _lines(listing: Listing) -> list[QueueLine]:
    lines = []
    for lane in listing.lanes:
        if lane.runs or lane.pid is not None:
            lines.append(QueueLine(f"lane {lane.name}", lane=lane))
            lines += [QueueLine(run.summary.id, run=run) for run in lane.runs]
    if listing.ended:
        lines.append(QueueLine("ended"))
        lines += [QueueLine(f"ended {run.summary.id}", run=run) for run in listing.ended[:_MOST_ENDED]]
    return lines


def _first_run(lines: Sequence[QueueLine]) -> int:
    return next((index for index, line in enumerate(lines) if line.run is not None), 0)


def _title(line: QueueLine) -> tuple[str, str]:
    """The name of a line that is no run, and how many wait there and which lane it disturbs."""
    if line.lane is None:
        return "Ended lately", ""
    waiting = sum(run.place is not None for run in line.lane.runs)
    shared = f" · ! shares devices with {', '.join(line.lane.shares_with)}" if line.lane.shares_with else ""
    return f"lane {line.lane.name}", f" · {waiting} waiting{shared}"
