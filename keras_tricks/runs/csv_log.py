"""CsvLog: the file that Keras's CSVLogger writes."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from keras_tricks.runs.growing_file import GrowingFile

_HEADER = re.compile(r"epoch([,;\t])\S")


class CsvEpoch(NamedTuple):
    """A line: the finished epochs, and the values."""

    epoch: int
    values: dict[str, float]


def is_csv_log(path: Path) -> bool:
    """Whether a file begins as CSVLogger's do: with a line of names, of which `epoch` is the first."""
    try:
        with path.open("rb") as file:
            return _HEADER.match(file.read(64).decode(errors="replace")) is not None
    except OSError:
        return False


class CsvLog:
    """The epochs in a growing file of CSVLogger.

    A half-written last line waits for its end; a line that does not fit its header is counted in `broken`.

    Args:
        path: The file.
    """

    def __init__(self, path: Path):
        self._file = GrowingFile(path)
        self._separator = ","
        self._names: list[str] = []
        self.broken = 0

    @property
    def restarted(self) -> bool:
        """Whether the last reading began anew, with another file."""
        return self._file.restarted

    def read(self) -> Iterator[CsvEpoch]:
        """Read what is new.

        Raises:
            OSError: The file cannot be read.
        """
        with self._file.open() as file:
            data = file.read()
            end = data.rfind(b"\n") + 1
            self._file.offset += end
        if self.restarted:
            self._names, self.broken = [], 0
        for line in data[:end].decode(errors="replace").splitlines():
            header = _HEADER.match(line)
            if header:
                self._separator = header[1]
            cells = next(csv.reader([line], delimiter=self._separator), [])
            if header:
                self._names = cells
            elif cells:
                yield from self._epoch(cells)

    def _epoch(self, cells: list[str]) -> Iterator[CsvEpoch]:
        values = dict(zip(self._names[1:], map(_number, cells[1:]), strict=False))
        if len(cells) == len(self._names) and cells[0].isascii() and cells[0].isdigit():
            yield CsvEpoch(int(cells[0]) + 1, {name: value for name, value in values.items() if value is not None})
        else:
            self.broken += 1


def _number(cell: str) -> float | None:
    """The value of a cell; None for `NA`, and for the lists that CSVLogger writes of arrays."""
    try:
        return float(cell)
    except ValueError:
        return None
