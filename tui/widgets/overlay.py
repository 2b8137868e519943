"""Overlay: the curves of several runs over each other."""

from __future__ import annotations

from collections.abc import Sequence

from keras_tricks.ablation.effects import Group
from keras_tricks.runs.comparison import ComparedRun
from tui.widgets.chart import Chart, Line

_COLORS = ("primary", "accent", "success", "warning", "error", "foreground")
_LEAST_WINDOW = 1.0


class Overlay(Chart):
    """A metric of each run over the epochs, which wheel and keys enlarge and the mouse reads.

    Each run has a colour or, where there are several variants, each of these. Letters stand for the points where there
    are no colours, or too few of them.
    """

    def __init__(self, id: str) -> None:
        super().__init__("", (), id=id, may_log=True, may_smooth=False)
        self._seen: list[object] = []
        self._ends = (0.0, 1.0)

    def show_runs(self, groups: Sequence[Group], runs: Sequence[ComparedRun], metric: str) -> None:
        """Draw a metric of these runs, which belong to these variants, unless nothing has changed."""
        seen: list[object] = [metric, *(run.curves for run in runs)]
        if len(seen) == len(self._seen) and all(new is old for new, old in zip(seen, self._seen, strict=True)):
            return
        self._seen = seen
        parts = [group.runs for group in groups] if len(groups) > 1 else [(run,) for run in runs]
        looks = {run.letter: place for place, part in enumerate(parts) for run in part}
        letters = self.app.no_color or len(parts) > len(_COLORS)
        lines = []
        for run in runs:
            color = _COLORS[looks[run.letter] % len(_COLORS)]
            lines.append(Line(run.letter, "" if letters else run.letter, color, run.letter[-1] if letters else ""))
        self.title, self.lines = metric, tuple(lines)
        curves = {run.letter: run.curves.get(metric, ((), ())) for run in runs}
        ends = [epochs for epochs, _ in curves.values() if epochs]
        self._ends = min((x[0] for x in ends), default=0.0), max((x[-1] for x in ends), default=1.0)
        self.show(curves, "epoch", x_limits=self.x_limits)

    def on_chart_controls_zoomed(self, message: Chart.Zoomed) -> None:
        """Show fewer or more epochs around a place."""
        message.stop()
        low, high = self.x_limits or self._ends
        place = (low + high) / 2 if message.x is None else message.x
        self._show_part(place - (place - low) / message.factor, place + (high - place) / message.factor)

    def on_chart_controls_panned(self, message: Chart.Panned) -> None:
        """Show earlier or later epochs."""
        message.stop()
        if self.x_limits is not None:
            low, high = self.x_limits
            by = message.share * (high - low)
            self._show_part(low + by, high + by)

    def on_chart_controls_pointed(self, message: Chart.Pointed) -> None:
        """Read the values where the mouse points."""
        message.stop()
        self.point_at(message.x)

    def _show_part(self, low: float, high: float) -> None:
        """Show these epochs, moved where they would reach beyond the first or the last one."""
        first, last = self._ends
        width = max(_LEAST_WINDOW, high - low)
        low = max(first, min(last - width, low))
        whole = width >= last - first
        self.look_at(None if whole else (low, low + width), not whole)
