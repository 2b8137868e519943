"""Overlay: the curves of several runs over each other."""

from __future__ import annotations

from collections.abc import Sequence

from keras_tricks.runs.comparison import ComparedRun
from tui.widgets.chart import Chart, Line

_COLORS = ("primary", "accent", "success", "warning", "error", "foreground")


class Overlay(Chart):
    """A metric of each run over the epochs; letters stand for the points where colours do not tell runs apart."""

    def __init__(self, id: str) -> None:
        super().__init__("", (), id=id, may_log=True, may_smooth=False)
        self._seen: tuple[str, list[object]] = ("", [])

    def show_runs(self, runs: Sequence[ComparedRun], metric: str) -> None:
        """Draw a metric of these runs, unless nothing has changed."""
        own = [run.curves for run in runs]
        if metric == self._seen[0] and [id(curves) for curves in own] == [id(curves) for curves in self._seen[1]]:
            return
        self._seen = (metric, list(own))
        letters = self.app.no_color or len(runs) > len(_COLORS)
        lines = []
        for place, run in enumerate(runs):
            color = _COLORS[place % len(_COLORS)]
            lines.append(Line(run.letter, "" if letters else run.letter, color, run.letter if letters else ""))
        self.title, self.lines = metric, tuple(lines)
        self.show({run.letter: run.curves.get(metric, ((), ())) for run in runs}, "epoch")
