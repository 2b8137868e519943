"""News: what is new in a run, as lines."""

from __future__ import annotations

from keras_tricks.runs import JsonLines, MetricRow, Run, schema


class News:
    """A line for each epoch and each event of a run, once.

    Args:
        run: The run.
        from_now: Leave out what is there already. Defaults to False.
    """

    def __init__(self, run: Run, from_now: bool = False):
        self._run = run
        self._history = run.metrics()
        self._rows = list(self._history.rows)
        self._printed: dict[tuple[int, int], MetricRow] = {}
        self._events = JsonLines(run.directory / schema.EVENTS_FILE)
        if from_now:
            self._rows = []
            list(self._events)

    def lines(self) -> list[str]:
        """Return what has come since the last time."""
        epochs = self._run.status().epochs
        lines = []
        for row in [*self._rows, *self._history.update()]:
            if row.kind == "epoch" and self._printed.get((row.attempt, row.epoch)) != row:
                self._printed[row.attempt, row.epoch] = row
                shown = "  ".join(f"{name} {value:.4g}" for name, value in row.values.items())
                lines.append(f"epoch {row.epoch}{f'/{epochs}' if epochs else ''}  {shown}")
        self._rows = []
        lines += [f"{event.get('kind')}: {event.get('message')}" for event in self._events]
        return lines

    def print(self) -> None:
        """Print what has come since the last time."""
        for line in self.lines():
            print(line, flush=True)
