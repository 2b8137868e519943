"""LogTail: the lines of a growing text file, from near its end on."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO, NamedTuple

MOST_LINES = 10_000
"""So many of the newest lines are there to be read and searched."""
_BLOCK_BYTES = 256 * 1024
_MOST_BYTES = 16 * 1024 * 1024
_TERMINAL_CODES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[^\[]|[\x00-\x08\x0b-\x1f\x7f]")


class LogNews(NamedTuple):
    """What a reading found.

    Args:
        lines: The lines since the last reading, without terminal control codes.
        restarted: Whether the file begins anew with them.
        is_cut: Whether older lines of this file were left out.
    """

    lines: list[str]
    restarted: bool
    is_cut: bool


class LogTail:
    """The lines of a growing text file, from `MOST_LINES` before its end on.

    A line that is not ended yet waits for its end.

    Args:
        path: The file, which need not exist yet.
    """

    def __init__(self, path: Path):
        self._path = path
        self._inode: int | None = None
        self._offset = 0
        self._rest = b""
        self._is_cut = False

    def read(self) -> LogNews:
        """Return what is new.

        Raises:
            OSError: The file cannot be read.
        """
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return LogNews([], False, self._is_cut)
        with file:
            facts = os.fstat(file.fileno())
            restarted = facts.st_ino != self._inode or facts.st_size < self._offset
            if restarted:
                self._inode, self._rest = facts.st_ino, b""
                self._offset = _start_of_last_lines(file, facts.st_size)
                self._is_cut = self._offset > 0
            file.seek(self._offset)
            data = self._rest + file.read()
            self._offset = file.tell()
        whole, _, self._rest = data.rpartition(b"\n")
        lines = whole.decode(errors="replace").split("\n") if whole else []
        return LogNews([_plain(line) for line in lines], restarted, self._is_cut)


def _start_of_last_lines(file: BinaryIO, size: int) -> int:
    """Return where the last lines begin; a file of endless lines is cut within one."""
    start, ends = size, 0
    while start > max(0, size - _MOST_BYTES):
        length = min(_BLOCK_BYTES, start)
        file.seek(start - length)
        block = file.read(length)
        count = block.count(b"\n")
        if ends + count > MOST_LINES:
            return start - len(block.split(b"\n", ends + count - MOST_LINES)[-1])
        start, ends = start - length, ends + count
    return start


def _plain(line: str) -> str:
    """The line as a terminal would leave it: what follows the last carriage return, without control codes."""
    return _TERMINAL_CODES.sub("", line.rstrip("\r").rpartition("\r")[2]).expandtabs()
