"""GrowingFile: a file that another program writes, read from where the last reading ended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_REMEMBERED_BYTES = 64


class GrowingFile:
    """A file that another program writes.

    Whoever reads it moves `offset` past what was of use. A file that was replaced, shortened or written anew is read
    from its start, with `restarted` set.

    Args:
        path: The file.
    """

    def __init__(self, path: Path):
        self.path = path
        self.offset = 0
        self.restarted = False
        self._inode: int | None = None
        self._last_bytes = b""

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open the file at `offset`.

        Raises:
            OSError: It is gone, or cannot be read.
        """
        with self.path.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            self.restarted = self._inode is not None and not (inode == self._inode and self._goes_on(file))
            self._inode = inode
            if self.restarted:
                self.offset = 0
            file.seek(self.offset)
            yield file
            self._last_bytes = self._bytes_before_offset(file, _REMEMBERED_BYTES)

    def _goes_on(self, file: BinaryIO) -> bool:
        """Whether what was read last still stands there: a file may be written anew under its name and number."""
        return self._bytes_before_offset(file, len(self._last_bytes)) == self._last_bytes

    def _bytes_before_offset(self, file: BinaryIO, count: int) -> bytes:
        file.seek(max(0, self.offset - count))
        return file.read(min(count, self.offset))
