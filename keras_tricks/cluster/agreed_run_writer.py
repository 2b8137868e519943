"""AgreedRunWriter: the chief's writer of a run, which stops when all workers have agreed to."""

from __future__ import annotations

from pathlib import Path

from keras_tricks.cluster.link import Link
from keras_tricks.runs import RunWriter


class AgreedRunWriter(RunWriter):
    """Write a run whose request to stop holds only once all workers have agreed on a step.

    Who stopped alone would leave the others waiting for its gradients. If a worker is lost, the run says so at once.

    Args:
        directory: An existing run directory.
        link: The connection with the other workers.

    Raises:
        keras_tricks.runs.RunError: Another trainer is alive in this directory, or it cannot be written.
    """

    def __init__(self, directory: str | Path, link: Link):
        super().__init__(directory)
        self._agreed = False
        self._link = link
        link.on_lost = self._note_loss

    def request_stop(self) -> None:
        """Ask this run to stop, from within its process.

        Raises:
            KeyboardInterrupt: It has been asked before, and somebody is in a hurry.
        """
        if self.wishes_to_stop():
            raise KeyboardInterrupt
        super().request_stop()

    def wishes_to_stop(self) -> bool:
        """Whether somebody asked for this run to stop; the file is looked at once a second."""
        return super().stop_requested()

    def agree(self) -> None:
        """Let the wish of any worker hold."""
        self._agreed = True

    def stop_requested(self) -> bool:
        """Whether all workers have agreed to stop."""
        return self._agreed

    def _note_loss(self, words: str) -> None:
        # Whoever started the workers may end this process, too, before its main thread comes to it.
        stopped = isinstance(self._link.lost, KeyboardInterrupt)
        self.event("stopped" if stopped else "worker_lost", words)
        self.end("stopped" if stopped else "failed", None if stopped else words)
