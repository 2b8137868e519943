"""Read the growing files of a run: metrics and events, one JSON object a line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import from_json

from keras_tricks.runs import schema
from keras_tricks.runs.schema import MetricRow, RunError

_BLOCK_BYTES = 1 << 20
_REMEMBERED_BYTES = 4096


class JsonLines:
    """The records of a growing file of JSON lines, from where the last reading ended.

    A half-written last line waits for its end; a line that is no JSON object is passed over and counted in
    `broken_lines`; a file that was replaced, shortened or written anew is read from its start, with `restarted` set.
    """

    def __init__(self, path: Path):
        self.path = path
        self.broken_lines = 0
        self.restarted = False
        self._inode: int | None = None
        self._offset = 0
        self._last_bytes = b""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.restarted = False
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return iter(())
        if not self._goes_on(file):
            self.restarted = self._inode is not None
            self._inode, self._offset = os.fstat(file.fileno()).st_ino, 0
            self._last_bytes, self.broken_lines = b"", 0
        return self._records(file)

    def _goes_on(self, file: BinaryIO) -> bool:
        """Whether this is the file that was read, and ends where it did, or later."""
        facts = os.fstat(file.fileno())
        if facts.st_ino != self._inode or facts.st_size < self._offset:
            return False
        # A new file may have the number of the old one: what was read last must still stand there.
        file.seek(self._offset - len(self._last_bytes))
        return file.read(len(self._last_bytes)) == self._last_bytes

    def _records(self, file: BinaryIO) -> Iterator[dict[str, Any]]:
        with file:
            file.seek(self._offset)
            rest = b""
            while block := file.read(_BLOCK_BYTES):
                whole, newline, rest = (rest + block).rpartition(b"\n")
                if not newline:
                    continue
                self._offset += len(whole) + 1
                self._last_bytes = (self._last_bytes + whole[-_REMEMBERED_BYTES:] + newline)[-_REMEMBERED_BYTES:]
                for line in whole.splitlines():
                    record = _record(line)
                    if record is not None:
                        yield record
                    elif line.strip():
                        self.broken_lines += 1


def _record(line: bytes) -> dict[str, Any] | None:
    """The JSON object that a line holds, or None."""
    # NaN and infinity are words, which a backslash may hide.
    may_be_not_finite = b'NaN"' in line or b'Infinity"' in line or b"\\" in line
    try:
        record = schema.decode(line) if may_be_not_finite else from_json(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


@dataclass
class MetricsHistory:
    """The rows of a run that count, over all its attempts.

    Args:
        path: The file `metrics.jsonl`, which need not exist yet.
    """

    path: Path
    rows: list[MetricRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lines = JsonLines(self.path)

    def read(self) -> Iterator[MetricRow]:
        """Return what is new, also the rows of kind `attempt`, and keep nothing: for readers with a store of their own.

        Where `restarted` is set after this call, the rows are all there are, and those before do not count any more.
        """
        return self._valid_rows(iter(self._lines))

    def update(self) -> list[MetricRow]:
        """Read what is new and return it; rows that an attempt made obsolete leave `rows`."""
        unread = self.read()
        if self.restarted:
            self.rows.clear()
        new = list(unread)
        for row in new:
            if row.kind == "attempt":
                self.rows = [old for old in self.rows if old.step <= row.step]
            else:
                self.rows.append(row)
        return new

    @property
    def restarted(self) -> bool:
        """Whether the last reading began anew, as the file is another one."""
        return self._lines.restarted

    @property
    def broken_lines(self) -> int:
        """How many lines were no valid rows."""
        return self._lines.broken_lines

    def names(self, kind: str | None = None) -> list[str]:
        """The names of all logged metrics, in the order of their first row."""
        names: dict[str, None] = {}
        for row in self.rows:
            if kind is None or row.kind == kind:
                names.update(dict.fromkeys(row.values))
        return list(names)

    def series(self, name: str, kind: str = "epoch") -> tuple[list[int], list[float]]:
        """The steps and values of one metric."""
        points = [(row.step, row.values[name]) for row in self.rows if row.kind == kind and name in row.values]
        return [step for step, _ in points], [value for _, value in points]

    def _valid_rows(self, records: Iterator[dict[str, Any]]) -> Iterator[MetricRow]:
        for record in records:
            try:
                yield MetricRow.of(record)
            except (RunError, ValueError):
                self._lines.broken_lines += 1
