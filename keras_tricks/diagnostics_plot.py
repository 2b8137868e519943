"""Draw what a run's diagnostics say as a PNG file."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_tricks.calibration import Calibration
from keras_tricks.predictions import Predictions
from keras_tricks.runs import MetricsHistory
from keras_tricks.runs.storage import storing, write_atomically

_COLORS = ("#4477aa", "#cc6677", "#228833")
_MOST_NAMED_LAYERS = 30
_CURVES: dict[str, tuple[tuple[str, ...], str]] = {
    "Norms": (("gradient_norm", "weight_norm"), "log"),
    "Loss scale": (("loss_scale",), "log"),
    "Shares": (("clipped_share", "input_wait"), "linear"),
}


def plot_diagnostics(
    history: MetricsHistory, clipping: MetricsHistory, predictions: Predictions, directory: str | Path, title: str = ""
) -> Path | None:
    """Draw norms, loss scale, clipping, input wait and calibration into `diagnostics.png`, as far as there are any.

    Args:
        history: The run's metrics.
        clipping: The clipped share of each variable, as in `clipping.jsonl`.
        predictions: What the trained model says of the validation images.
        directory: Folder for the file; made if absent.
        title: Heading. Defaults to none.

    Returns:
        The file, or None where there is nothing to draw.
    """
    clipping.update()
    panels: list[Callable[[Axes], None]] = []
    for heading, (names, scale) in _CURVES.items():
        found = {name: history.series(name, "step") for name in names}
        if any(steps for steps, _ in found.values()):
            panels.append(_curves_panel(heading, found, scale))
    if clipping.rows:
        panels.append(lambda axes: _draw_layers(axes, clipping))
    calibration = predictions.calibration
    if calibration is not None and calibration.error is not None:
        panels.append(lambda axes: _draw_calibration(axes, calibration, predictions.accuracy))
    if not panels:
        return None
    figure = Figure(figsize=(4 * len(panels), 3.8), layout="constrained")
    for axes, draw in zip(np.ravel(figure.subplots(1, len(panels), squeeze=False)), panels, strict=True):
        draw(axes)
    if title:
        figure.suptitle(title)
    path = Path(directory) / "diagnostics.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    image = BytesIO()
    figure.savefig(image, dpi=120)
    with storing(path):
        write_atomically(path, image.getvalue())
    return path


def _curves_panel(heading: str, found: dict[str, tuple[list[int], list[float]]], scale: str) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        for (name, (steps, values)), color in zip(found.items(), _COLORS, strict=False):
            if steps:
                marker = "o" if len(steps) < 20 else None
                axes.plot(steps, values, label=name, color=color, marker=marker, markersize=3)
        axes.set_title(heading)
        axes.set_xlabel("step")
        axes.set_yscale(scale)
        if scale == "linear":
            axes.set_ylim(0, 1)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize="small")

    return draw


def _draw_layers(axes: Axes, clipping: MetricsHistory) -> None:
    names = clipping.names()
    shares = np.array([[row.values.get(name, np.nan) for row in clipping.rows] for name in names])
    image = axes.imshow(shares, aspect="auto", vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, shrink=0.8)
    axes.set_title("Clipped share of units")
    axes.set_xlabel("epoch")
    epochs = [row.epoch for row in clipping.rows]
    places = sorted({0, len(epochs) // 2, len(epochs) - 1})
    axes.set_xticks(places, [str(epochs[place]) for place in places])
    if len(names) <= _MOST_NAMED_LAYERS:
        axes.set_yticks(range(len(names)), [name.partition("/")[2] for name in names], fontsize=6)
    else:
        axes.set_ylabel("variable, the first one on top")
        axes.set_yticks([])


def _draw_calibration(axes: Axes, calibration: Calibration, accuracy: float) -> None:
    bins = len(calibration.counts)
    seen = calibration.counts > 0
    edges = np.arange(bins)[seen] / bins
    rates = calibration.correct[seen] / calibration.counts[seen]
    axes.bar(edges, rates, 1 / bins, align="edge", color=_COLORS[0], edgecolor="white", linewidth=0.5)
    axes.plot([0, 1], [0, 1], "--", color="black", linewidth=0.8)
    axes.set_title(f"Calibration: error {calibration.error:.4f}")
    axes.set_xlabel(f"confidence (mean {calibration.confidence:.3f})")
    axes.set_ylabel(f"accuracy (mean {accuracy:.3f})")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
