"""StopTogether: workers stop at the same step."""

from __future__ import annotations

from collections.abc import Callable

import keras

from keras_tricks.callbacks.checkpoint import Position
from keras_tricks.callbacks.run_logger import StopRequested
from keras_tricks.cluster.link import Link


class StopTogether(keras.callbacks.Callback):
    """Ask all workers every few steps whether one of them wishes to stop.

    It is the first callback on each worker. Where it finds the wish it calls `agreed` on the chief, whose `RunLogger`
    then ends the training, and raises `StopRequested` on the others, at the same step.

    Args:
        link: The connection of the workers.
        wishes_to_stop: Tells whether this worker wishes to.
        agreed: What to call when all have agreed; None on the workers other than the chief.
        every: Steps between two questions. Defaults to 10; one takes less than a millisecond and no device waits.
        position: Where the training goes on. Defaults to its start.

    Raises:
        ValueError: `every` is below 1.
    """

    def __init__(
        self,
        link: Link,
        wishes_to_stop: Callable[[], bool],
        agreed: Callable[[], None] | None = None,
        every: int = 10,
        position: Position | None = None,
    ):
        super().__init__()
        if every < 1:
            raise ValueError(f"Expected every to be at least 1. Received: every={every}")
        self.link = link
        self.every = every
        self._wishes_to_stop = wishes_to_stop
        self._agreed = agreed
        self._start = position or Position(0)
        self.position = self._start
        self._stops = False

    def on_epoch_begin(self, epoch, logs=None):
        """Ask before each epoch, so that short ones can be stopped too."""
        self.position = self._start if epoch == self._start.epoch else Position(epoch)
        self._first_step = self.position.step
        self._ask()
        self._stop_if_agreed()

    def on_train_batch_end(self, batch, logs=None):
        """Ask after every tenth step or so; after an epoch's last one the epoch is ended first."""
        self.position = Position(self.position.epoch, self.position.step + 1)
        if self.position.step % self.every == 0:
            self._ask()
            if self.position.step - self._first_step != self.params["steps"]:
                self._stop_if_agreed()

    def _ask(self) -> None:
        if self.link.any_of(self._stops or self._wishes_to_stop()):
            self._stops = True
            if self._agreed is not None:
                self._agreed()

    def _stop_if_agreed(self) -> None:
        if self._stops and self._agreed is None:
            raise StopRequested("The workers agreed to stop.")
