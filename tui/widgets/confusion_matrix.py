"""ConfusionMatrix: how many images of each class were taken for which."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from keras_tricks.predictions import Predictions

_CORNER = "true↓ →"
_LABEL_WIDTH = 16
_NAME_WIDTH = 7
_WIDEST_CELL = 8
_LEVELS = 10
_NONE = "confusion-matrix--none"


class ConfusionMatrix(ScrollView, can_focus=True):
    """A row for each class, a column for what its images were taken for.

    Only the cells on the screen are drawn, out of the counts that are not zero: a thousand classes cost no more than
    ten. The stronger the colour, the larger the share of the class.
    """

    COMPONENT_CLASSES = {
        "confusion-matrix--label",
        "confusion-matrix--right",
        "confusion-matrix--wrong",
        "confusion-matrix--cursor",
        _NONE,
    }

    BINDINGS = [
        Binding("up", "go(-1, 0)", "Up", show=False),
        Binding("down", "go(1, 0)", "Down", show=False),
        Binding("left", "go(0, -1)", "Left", show=False),
        Binding("right", "go(0, 1)", "Right", show=False),
        Binding("pageup", "go_page(-1)", "Page up", show=False),
        Binding("pagedown", "go_page(1)", "Page down", show=False),
        Binding("home", "go_to(0)", "First class", show=False),
        Binding("end", "go_to(-1)", "Last class", show=False),
    ]

    class Moved(Message):
        """The cursor is on another cell."""

    def __init__(self) -> None:
        super().__init__()
        self.cursor = (0, 0)
        self._predictions: Predictions | None = None
        self._row_labels: list[str] = []
        self._column_labels: list[str] = []
        self._label_width = self._narrowest_cell = self._cell_width = 1
        self._styles: dict[tuple[str, int], Style] = {}

    def on_mount(self) -> None:
        """Follow changes of the colours."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._forget_styles())

    def show(self, predictions: Predictions) -> None:
        """Show the counts; the cursor goes to the pair that was confused most."""
        self._predictions = predictions
        names = [_printable(name) for name in predictions.class_names]
        count_width = len(str(max(predictions.counts.values(), default=0)))
        if max(map(cell_len, names)) <= _NAME_WIDTH:
            self._row_labels = self._column_labels = names
        else:
            self._column_labels = [str(index) for index in range(len(names))]
            self._row_labels = [f"{index} {name}" for index, name in enumerate(names)]
        self._label_width = min(_LABEL_WIDTH, max(map(cell_len, [_CORNER, *self._row_labels]))) + 1
        self._narrowest_cell = max(count_width, *map(cell_len, self._column_labels)) + 1
        self._measure()
        wrong = [pair for pair in predictions.counts if pair[0] != pair[1]]
        self._move(max(wrong, key=lambda pair: predictions.counts[pair], default=(0, 0)))
        self.refresh()

    def on_resize(self) -> None:
        """Give the cells the room that there is."""
        self._measure()

    def words(self) -> str:
        """What the cell under the cursor says."""
        if self._predictions is None:
            return ""
        true, guess = self.cursor
        count = self._predictions.counts.get(self.cursor, 0)
        score = self._predictions.scores[true]
        share = f" ({count / score.images:.1%})" if score.images else ""
        verb = "found" if true == guess else f"taken for {self._predictions.class_names[guess]}"
        return f"{score.name}: {count} of {score.images}{share} {verb}"

    def action_go(self, rows: int, columns: int) -> None:
        """Move the cursor by some cells."""
        self._move((self.cursor[0] + rows, self.cursor[1] + columns))

    def action_go_page(self, pages: int) -> None:
        """Move the cursor by some screens."""
        self.action_go(pages * max(1, self.size.height - 2), 0)

    def action_go_to(self, index: int) -> None:
        """Go to the diagonal cell of a class, counted from the end if negative."""
        place = index % max(1, len(self._row_labels))
        self._move((place, place))

    def on_click(self, event: Click) -> None:
        """Move the cursor to a cell."""
        offset = event.get_content_offset(self)
        if offset is None or offset.y == 0 or offset.x < self._label_width:
            return
        column = (offset.x - self._label_width + self.scroll_offset.x) // self._cell_width
        self._move((offset.y - 1 + self.scroll_offset.y, column))

    def render_line(self, y: int) -> Strip:
        """Draw the line of column labels, or a class."""
        width = self.size.width
        row = y - 1 + self.scroll_offset.y
        if self._predictions is None or row >= len(self._row_labels):
            return Strip.blank(width, self.rich_style)
        first, hidden = divmod(self.scroll_offset.x, self._cell_width)
        last = min(len(self._column_labels), first + (width - self._label_width) // self._cell_width + 2)
        label = self.get_component_rich_style("confusion-matrix--label")
        if y == 0:
            head = Segment(_CORNER.ljust(self._label_width), label)
            cells = [
                Segment(" " * (self._cell_width - cell_len(name)) + name, label)
                for name in self._column_labels[first:last]
            ]
        else:
            head = Segment(set_cell_size(self._row_labels[row], self._label_width - 1) + " ", label)
            cells = [self._cell(row, place) for place in range(first, last)]
        right = Strip(cells).crop(hidden, hidden + width - self._label_width)
        return Strip([head, *right]).adjust_cell_length(width, self.rich_style)

    def _measure(self) -> None:
        classes = len(self._row_labels)
        room = (self.size.width - self._label_width) // max(1, classes)
        self._cell_width = max(self._narrowest_cell, min(_WIDEST_CELL, room))
        self.virtual_size = Size(self._label_width + self._cell_width * classes, classes + 1)
        self.refresh()

    def _cell(self, row: int, column: int) -> Segment:
        assert self._predictions is not None
        count = self._predictions.counts.get((row, column), 0)
        text = (str(count) if count else "·").rjust(self._cell_width)
        if (row, column) == self.cursor:
            return Segment(text, self.get_component_rich_style("confusion-matrix--cursor"))
        share = count / self._predictions.scores[row].images if count else 0.0
        return Segment(text, self._style("right" if row == column else "wrong", share))

    def _style(self, kind: str, share: float) -> Style:
        # The root tells small shares from none.
        level = round(_LEVELS * share**0.5)
        if (kind, level) not in self._styles:
            strong = self.get_component_styles(f"confusion-matrix--{kind}").color
            background = self.background_colors[1].blend(strong, 0.8 * level / _LEVELS)
            text = background.get_contrast_text(1.0) if level else self.get_component_styles(_NONE).color
            self._styles[kind, level] = Style(color=text.rich_color, bgcolor=background.rich_color)
        return self._styles[kind, level]

    def _move(self, cell: tuple[int, int]) -> None:
        last = len(self._row_labels) - 1
        self.cursor = (max(0, min(last, cell[0])), max(0, min(last, cell[1])))
        left = self.cursor[1] * self._cell_width
        shown = Region(left, self.cursor[0], self._cell_width, 1)
        room = Size(max(1, self.size.width - self._label_width), max(1, self.size.height - 1))
        x, y = self.scroll_offset
        x = min(max(x, shown.right - room.width), shown.x)
        y = min(max(y, shown.bottom - room.height), shown.y)
        self.scroll_to(x, y, animate=False, immediate=True)
        self.refresh()
        self.post_message(self.Moved())

    def _forget_styles(self) -> None:
        self._styles.clear()
        self.refresh()


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else " " for character in name)
