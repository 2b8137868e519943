"""AblationBars: what each variant changes, as bars with their 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from keras_tricks.ablation import PairedDifference
from keras_tricks.ablation.effects import Effect
from keras_tricks.runs.columns import column, sorts_descending
from tui.column_text import difference, middle_shortened
from tui.formats import fitted, number, share, shortened

_VERDICTS = {1: ("▲", "success"), -1: ("▼", "error"), 0: ("≈", "muted")}
_NUMBERS_WIDTH = 33
_LEAST_BAR = 15
_LONGEST_NOTE = 400


class AblationBars(VerticalScroll):
    """The variants, one a line: bar, mean difference, interval, number of pairs, and below it what does not count."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._effects: Sequence[Effect] = ()
        self._metric = ""

    def compose(self) -> ComposeResult:
        """Yield the text."""
        yield Static(id="bars")

    def on_resize(self) -> None:
        """Draw for the new width."""
        self._draw()

    def show(self, effects: Sequence[Effect], metric: str) -> None:
        """Draw these variants, the first of which is what others are compared with."""
        self._effects, self._metric = effects, metric
        self._draw()

    def _draw(self) -> None:
        width = max(40, self.size.width - 2)
        self.query_one("#bars", Static).update(bars(self._effects, self._metric, width))


def bars(effects: Sequence[Effect], metric: str, width: int) -> Content:
    """Return the lines of all variants in `width` cells."""
    if not effects:
        return Content("")
    is_share = column(metric).kind == "share"
    base = effects[0]
    label_width = min(max(cell_len(effect.group.name) for effect in effects), max(12, width // 3))
    bar_width = max(_LEAST_BAR, width - label_width - _NUMBERS_WIDTH - 2)
    low, high = limits([effect.difference for effect in effects if effect.difference])
    lines: list[Content | str] = [
        Content.assemble((middle_shortened(base.group.name, label_width), "bold"), f"  {_values(base, is_share)}"),
        "",
    ]
    for effect in effects[1:]:
        name = fitted(middle_shortened(effect.group.name, label_width), label_width)
        if effect.difference is None:
            lines.append(Content.assemble(name, " ", ("no difference: see below".ljust(bar_width), "$muted")))
            continue
        sign, color = _VERDICTS[verdict(effect.difference, metric)]
        bar = bar_line(effect.difference, low, high, bar_width)
        words = _difference_words(effect.difference, is_share)
        lines.append(Content.assemble(name, " ", (bar, f"${color}"), " ", (sign, f"bold ${color}"), f" {words}"))
    if any(effect.difference for effect in effects):
        left, right = (difference(end, is_share) for end in (low, high))
        scale = left + right.rjust(max(len(right) + 1, bar_width - len(left)))
        lines.append(Content.assemble(" " * (label_width + 1), (scale, "$muted")))
    notes = [(effect.group.name, shortened(effect.note, _LONGEST_NOTE)) for effect in effects if effect.note]
    lines += ["", *(Content.assemble((f"{name}: ", "bold $muted"), (note, "$muted")) for name, note in notes)]
    lines += [
        Content.styled(
            f"Last {metric} of finished runs; differences to {base.group.name}, paired by seed; ├●┤ 95 % interval. "
            "▲ better  ▼ worse  ≈ not clear",
            "$muted",
        )
    ]
    return Content("\n").join([Content(line) if isinstance(line, str) else line for line in lines])


def verdict(found: PairedDifference, metric: str) -> int:
    """Return 1 where the interval says better, -1 where it says worse, 0 where it says neither."""
    if not found.is_clear:
        return 0
    return 1 if (found.mean > 0) == sorts_descending(column(metric)) else -1


def limits(differences: Sequence[PairedDifference]) -> tuple[float, float]:
    """Return the ends of a scale on which 0, all means and all intervals have room."""
    ends = [0.0]
    for one in differences:
        ends += [end for end in (one.mean, one.low, one.high) if end is not None]
    low, high = min(ends), max(ends)
    return (low, high) if high > low else (low - 1.0, high + 1.0)


def bar_line(found: PairedDifference, low: float, high: float, width: int) -> str:
    """Return a bar from 0 to the mean, and its interval, on a scale from `low` to `high`."""

    def place(value: float) -> int:
        return round((value - low) / (high - low) * (width - 1))

    zero, mean = place(0.0), place(found.mean)
    cells = [" "] * width
    for index in range(min(zero, mean), max(zero, mean) + 1):
        cells[index] = "▒"
    if found.low is not None and found.high is not None:
        left, right = place(found.low), place(found.high)
        for index in range(left, right + 1):
            cells[index] = "─"
        cells[left], cells[right] = "├", "┤"
    cells[zero] = "│" if cells[zero] in " ▒" else ("┼" if cells[zero] == "─" else cells[zero])
    cells[mean] = "●"
    return "".join(cells)


def _values(effect: Effect, is_share: bool) -> str:
    values = effect.values
    if values is None:
        return "no values"
    text = share if is_share else number
    deviation = "" if values.deviation is None else f" ± {text(values.deviation)}"
    return f"{text(values.mean)}{deviation}  n={values.n}"


def _difference_words(found: PairedDifference, is_share: bool) -> str:
    words = difference(found.mean, is_share)
    if found.low is not None and found.high is not None:
        words += f" [{difference(found.low, is_share)}, {difference(found.high, is_share)}]"
    return f"{words} n={found.n}"
