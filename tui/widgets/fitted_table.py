"""FittedTable: a table whose columns have the width of what is in them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.widgets import DataTable


class FittedTable(DataTable[Text]):
    """A table whose columns have the width of what is in them, also when it is drawn at once.

    A DataTable measures new rows only when it is idle, and lines that it drew before that stay as narrow as they were.
    """

    def fill(self, headings: Sequence[Text], rows: Sequence[tuple[str | None, Sequence[Text]]]) -> None:
        """Replace everything by these headings and rows, each a key, unique or None, and a cell per heading."""
        self.clear(columns=True)
        for column in zip(headings, *(cells for _, cells in rows), strict=True):
            self.add_column(column[0], width=max(cell.cell_len for cell in column))
        for key, cells in rows:
            self.add_row(*cells, key=key)
