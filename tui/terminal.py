"""Notice when the terminal is closed, also where that sends no signal."""

from __future__ import annotations

import os
import select
import signal
import sys


class Terminal:
    """The terminal on standard input, if there is one.

    A terminal that is closed sends SIGHUP, which ends the program. Where SIGHUP is ignored, as under `nohup`, reading
    from the terminal fails again and again instead, which would keep a processor busy for nobody.
    """

    def __init__(self) -> None:
        self._descriptor: int | None = None
        try:
            descriptor = sys.__stdin__.fileno() if sys.__stdin__ is not None else -1
            if os.isatty(descriptor):
                self._descriptor = descriptor
        except (OSError, ValueError):
            return

    def is_closed(self) -> bool:
        """Whether there was a terminal, and it is gone."""
        if self._descriptor is None:
            return False
        poll = select.poll()
        poll.register(self._descriptor, 0)
        return any(event & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))


def end_as_hung_up() -> None:
    """End this process as SIGHUP does; the terminal needs no restoring any more."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGHUP)
