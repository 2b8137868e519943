"""Draw a comparison of runs as a PNG file."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_tricks.ablation.effects import Effect, Group
from keras_tricks.runs.columns import column, sorts_descending
from keras_tricks.runs.comparison import ComparedRun
from keras_tricks.runs.storage import write_with_folder

_COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")
_STYLES = ("-", "--", "-.", ":")
_MOST_IN_LEGEND = 14
_LEAST_BARS = 3


def plot_comparison(
    runs: Sequence[ComparedRun],
    effects: Sequence[Effect],
    metric: str,
    path: str | Path,
    against: str | None = None,
) -> Path:
    """Draw a metric of all runs over their epochs and, where there are variants, their differences.

    Args:
        runs: The runs.
        effects: The variants, the one that others are compared with first.
        metric: The metric.
        path: The PNG file.
        against: What the variants are compared with, in words. Defaults to None, the name of the first one.

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
    _draw_curves(panels[0], runs, [effect.group for effect in effects], metric)
    if shown:
        _draw_effects(panels[1], shown, against or effects[0].group.name, metric)
    image = BytesIO()
    figure.savefig(image, dpi=120, format="png")
    return write_with_folder(path, image.getvalue())


def _draw_curves(axes: Axes, runs: Sequence[ComparedRun], groups: Sequence[Group], metric: str) -> None:
    """Draw a line for each run; those of one of several variants share their colour and their place in the legend."""
    if 1 < len(groups) < len(runs):
        looks = [(group.name, group.runs) for group in groups]
    else:
        looks = [(f"{run.letter}  {_name(run)}", (run,)) for run in runs]
    for place, (label, members) in enumerate(looks):
        color = _COLORS[place % len(_COLORS)]
        style = _STYLES[place // len(_COLORS) % len(_STYLES)]
        for run in members:
            epochs, values = run.curves.get(metric, ((), ()))
            marker = "o" if len(epochs) < 20 else None
            axes.plot(epochs, values, style, color=color, marker=marker, markersize=3, linewidth=1.2, label=label)
            label = ""
    axes.set_title(metric)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    if len(looks) <= _MOST_IN_LEGEND:
        axes.legend(frameon=False, fontsize="small")


def _draw_effects(axes: Axes, shown: Sequence[Effect], base: str, metric: str) -> None:
    larger_is_better = sorts_descending(column(metric))
    places = range(len(shown))
    for place, effect in zip(places, shown, strict=True):
        difference = effect.difference
        assert difference is not None
        is_better = (difference.mean >= 0) == larger_is_better
        axes.barh(place, difference.mean, height=0.6, color=_COLORS[0 if is_better else 1], alpha=0.75)
        if difference.low is not None and difference.high is not None:
            arms = [[difference.mean - difference.low], [difference.high - difference.mean]]
            axes.errorbar(difference.mean, place, xerr=arms, color="black", capsize=4, linewidth=1.2)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(list(places), [f"{effect.group.name}  (n={effect.difference.n})" for effect in shown])
    axes.set_ylim(max(len(shown), _LEAST_BARS) - 0.5, -0.5)
    axes.set_title(f"{metric}: difference to {base}, paired by seed, 95 % intervals", fontsize="medium")
    axes.grid(axis="x", alpha=0.3)


def _name(run: ComparedRun) -> str:
    seed = run.summary.facts.recipe.get("seed")
    return run.summary.name if seed is None else f"{run.summary.name}, seed {seed}"
