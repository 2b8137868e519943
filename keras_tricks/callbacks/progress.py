"""Progress: what a person sees in the terminal while a run trains."""

from __future__ import annotations

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from keras_tricks.runs import RunWriter


class Progress(keras.callbacks.Callback):
    """Show a run's progress: a live bar in a terminal, a line an epoch elsewhere.

    It stands after the `RunLogger` of the same run, whose numbers it shows.

    Args:
        run: The run's writer.
        console: Where to show it. Defaults to a console on standard output.
    """

    def __init__(self, run: RunWriter, console: Console | None = None):
        super().__init__()
        self.run = run
        self.console = console or Console()
        self._bar: RichProgress | None = None

    def on_epoch_begin(self, epoch, logs=None):
        """Open the bar with the first epoch."""
        if self._bar is None and self.console.is_terminal:
            self._bar = RichProgress(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.fields[speed]}"),
                TextColumn("{task.fields[eta]}"),
                TimeElapsedColumn(),
                console=self.console,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=self.run.status.steps or None, epoch="", speed="starting", eta="")
        self._epoch = epoch + 1
        self._show()

    def on_train_batch_end(self, batch, logs=None):
        """Move the bar."""
        self._show()

    def on_epoch_end(self, epoch, logs=None):
        """Print the epoch's line."""
        logs = logs or {}
        shown = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
        line = f"epoch {epoch + 1}/{self.run.status.epochs}  {shown}  {self._speed()}"
        (self._bar.console if self._bar else self.console).print(line.rstrip(), highlight=False)

    def on_train_end(self, logs=None):
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Close the bar, also where `fit` ended with an error."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self) -> None:
        if self._bar is None:
            return
        status = self.run.status
        self._bar.update(
            self._task,
            completed=status.step,
            epoch=f"{self._epoch}/{status.epochs}",
            speed=self._speed(),
            eta="" if status.eta_s is None else f"ETA {_duration(status.eta_s)}",
        )

    def _speed(self) -> str:
        speed = self.run.status.images_per_second
        return "" if speed is None else f"{speed:.0f} images/s"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
