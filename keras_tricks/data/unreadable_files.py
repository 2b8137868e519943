"""UnreadableFiles: which files of a split could not be read."""

import logging
import os
import threading

logger = logging.getLogger(__name__)


class UnreadableFiles:
    """The files that could not be read when their turn came, each once, in the order in which they were met.

    The input pipeline adds to it from its own threads while a training looks at it.
    """

    def __init__(self):
        self._paths: dict[str, None] = {}
        self._guard = threading.Lock()

    def add(self, path: bytes) -> None:
        """Take up a file, and log it the first time."""
        name = os.fsdecode(path)
        with self._guard:
            is_new = name not in self._paths
            self._paths[name] = None
        if is_new:
            logger.warning("%s could not be read; a blank image stands in for it.", name)

    def __len__(self) -> int:
        return len(self._paths)

    def paths(self, first: int = 0) -> list[str]:
        """Return the files from number `first` on."""
        with self._guard:
            return list(self._paths)[first:]
