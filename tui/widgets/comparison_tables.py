"""The tables of a comparison: the values of the runs, and where their recipes differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from keras_tricks.runs.columns import Value, column
from keras_tricks.runs.comparison import ComparedRun, no_differences, recipe_differences
from tui.column_text import change_color, difference, middle_shortened
from tui.formats import NOTHING, number, share, shortened
from tui.states import STATE_LOOKS
from tui.widgets.fitted_table import FittedTable

_NAME_WIDTH = 24


class _Table(FittedTable):
    """A table that is drawn anew only if something in it changed; the cursor stays on its row."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id, cursor_type="row", zebra_stripes=True, fixed_columns=1)
        self._shown: object = None

    def chosen(self) -> str | None:
        """The key of the row under the cursor."""
        if not self.is_valid_row_index(self.cursor_row):
            return None
        return self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value

    def _show_rows(self, headings: Sequence[Text], rows: Sequence[tuple[str, Sequence[Text]]]) -> None:
        if (headings, rows) == self._shown:
            return
        self._shown = (headings, rows)
        chosen, x = self.chosen(), self.scroll_x
        self.fill(headings, rows)
        if chosen in [key for key, _ in rows]:
            self.move_cursor(row=self.get_row_index(chosen or ""), animate=False)
        self.scroll_to(x=x, animate=False)


class ValueTable(_Table):
    """Last and best values of the runs, one a row, with the differences to the baseline's."""

    def show(self, runs: Sequence[ComparedRun], metrics: Sequence[str], baseline: Path | None) -> None:
        """Show these metrics of the runs."""
        base = next((run for run in runs if run.summary.directory == baseline), None)
        headings = [Text("Run"), Text("State"), _right("Epoch")]
        for metric in metrics:
            headings += [_right(column(metric).title), _right("Δ"), _right("best"), _right("at")]
        width = max((len(run.letter) for run in runs), default=0) + 1
        self._show_rows(headings, [(run.summary.id, self._cells(run, metrics, base, width)) for run in runs])

    def _cells(self, run: ComparedRun, metrics: Sequence[str], base: ComparedRun | None, width: int) -> list[Text]:
        theme = self.app.theme_variables
        look = STATE_LOOKS[run.summary.state]
        letter = run.letter + "★" * (run is base)
        name = middle_shortened(run.summary.name, _NAME_WIDTH)
        status = run.summary.status
        cells = [
            Text(f"{letter:{width}} {name}"),
            Text(look.text, f"bold {theme[look.color]}"),
            _right(f"{status.epoch}/{status.epochs}" if status.epochs else str(status.epoch or NOTHING)),
        ]
        for metric in metrics:
            is_share = column(metric).kind == "share"
            text = share if is_share else number
            last, best = run.last(metric), run.best(metric)
            base_last = base.last(metric) if base is not None and run is not base else None
            cells.append(_right(text(last)))
            if last is None or base_last is None:
                cells.append(_right(NOTHING))
            else:
                change = last - base_last
                color = change_color(column(metric), change)
                cells.append(_right(difference(change, is_share), theme[color] if color else ""))
            cells.append(_right(text(best.value) if best else NOTHING))
            cells.append(_right(f"{best.epoch:g}" if best else NOTHING))
        return cells


class DifferenceTable(_Table):
    """The fields, tricks and parameters in which the recipes differ, one a row, and a column for each run."""

    def show(self, runs: Sequence[ComparedRun]) -> None:
        """Show where these runs' recipes differ."""
        found = recipe_differences([run.summary.facts for run in runs])
        headings = [Text("Field"), *(Text(f"{run.letter} {middle_shortened(run.summary.name, 16)}") for run in runs)]
        rows = [(one.key, [Text(one.key), *(Text(_value(value)) for value in one.values)]) for one in found]
        if not rows:
            facts = [run.summary.facts for run in runs]
            words = no_differences(facts) if len(runs) > 1 else "Mark another run to see what differs."
            rows = [("", [Text(words), *(Text("") for _ in runs)])]
        self._show_rows(headings, rows)


def _right(text: str, style: str = "") -> Text:
    return Text(text, style, justify="right")


def _value(value: Value) -> str:
    if value is None:
        return NOTHING
    return f"{value:g}" if isinstance(value, float) else shortened(str(value), _NAME_WIDTH)
