"""Draw a comparison of runs as a PNG file."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_tricks.ablation.effects import Effect
from keras_tricks.runs.comparison import ComparedRun
from keras_tricks.runs.storage import storing, write_atomically

_COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")
_STYLES = ("-", "--", "-.", ":")
_MOST_IN_LEGEND = 12


def plot_comparison(runs: Sequence[ComparedRun], effects: Sequence[Effect], metric: str, path: str | Path) -> Path:
    """Draw a metric of all runs over their epochs and, where there are variants, their differences to the first one.

    Args:
        runs: The runs.
        effects: The variants, the one that others are compared with first.
        metric: The metric.
        path: The PNG file.

    Returns:
        The file.

    Raises:
        StorageError: It cannot be written.
    """
    path = Path(path)
    shown = [effect for effect in effects if effect.difference is not None]
    height = max(4.2, 0.4 * len(shown) + 1.6)
    figure = Figure(figsize=(13 if shown else 8, height), layout="constrained")
    panels = figure.subplots(1, 2 if shown else 1, squeeze=False)[0]
    _draw_curves(panels[0], runs, metric)
    if shown:
        _draw_effects(panels[1], shown, effects[0].group.name, metric)
    image = BytesIO()
    figure.savefig(image, dpi=120, format="png")
    with storing(path):
        write_atomically(path, image.getvalue())
    return path


def _draw_curves(axes: Axes, runs: Sequence[ComparedRun], metric: str) -> None:
    for place, run in enumerate(runs):
        epochs, values = run.curves.get(metric, ((), ()))
        if not epochs:
            continue
        color = _COLORS[place % len(_COLORS)]
        style = _STYLES[place // len(_COLORS) % len(_STYLES)]
        marker = "o" if len(epochs) < 20 else None
        axes.plot(epochs, values, style, color=color, marker=marker, markersize=3, label=f"{run.letter}  {_name(run)}")
        axes.annotate(
            run.letter, (epochs[-1], values[-1]), (4, 0), textcoords="offset points", color=color, va="center"
        )
    axes.set_title(metric)
    axes.set_xlabel("epoch")
    axes.grid(alpha=0.3)
    if axes.lines and len(runs) <= _MOST_IN_LEGEND:
        axes.legend(frameon=False, fontsize="small")


def _draw_effects(axes: Axes, shown: Sequence[Effect], base: str, metric: str) -> None:
    places = range(len(shown))
    for place, effect in zip(places, shown, strict=True):
        difference = effect.difference
        assert difference is not None
        axes.barh(place, difference.mean, height=0.6, color=_COLORS[0 if difference.mean >= 0 else 1], alpha=0.75)
        if difference.low is not None and difference.high is not None:
            arms = [[difference.mean - difference.low], [difference.high - difference.mean]]
            axes.errorbar(difference.mean, place, xerr=arms, color="black", capsize=4, linewidth=1.2)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(list(places), [f"{effect.group.name}  (n={effect.difference.n})" for effect in shown])
    axes.invert_yaxis()
    axes.set_title(f"{metric}: difference to {base}, paired by seed, 95 % intervals", fontsize="medium")
    axes.grid(axis="x", alpha=0.3)


def _name(run: ComparedRun) -> str:
    seed = run.summary.facts.recipe.get("seed")
    return run.summary.name if seed is None else f"{run.summary.name}, seed {seed}"
