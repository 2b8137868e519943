"""Draw a run's curves as PNG files."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_tricks.runs import MetricsHistory
from keras_tricks.runs.storage import storing, write_atomically

_PANELS = (
    ("Loss", ("loss", "val_loss")),
    ("Accuracy", ("accuracy", "val_accuracy")),
    ("Mean IoU", ("mean_iou", "val_mean_iou")),
    ("Mean average precision (overlap of 0.5)", ("coco_map50", "val_coco_map50")),
    ("Learning rate", ("learning_rate",)),
)
_COLORS = {"training": "#4477aa", "validation": "#cc6677"}


def plot_learning_curves(history: MetricsHistory, directory: str | Path, title: str = "") -> Path | None:
    """Draw loss, learning rate and the metrics of the task over the epochs into `learning_curves.png`.

    Args:
        history: The run's metrics.
        directory: Folder for the file; made if absent.
        title: Heading. Defaults to none.

    Returns:
        The file, or None where no epoch has been finished.
    """
    epochs, _ = history.series("loss")
    if not epochs:
        return None
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    steps_per_epoch = _steps_per_epoch(history)
    logged = set(history.names())
    panels = [panel for panel in _PANELS if logged.intersection(panel[1])]
    figure = Figure(figsize=(max(12, 4 * len(panels)), 3.8), layout="constrained")
    for axes, (heading, names) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_panel(axes, history, heading, names, steps_per_epoch)
    if title:
        figure.suptitle(title)
    path = directory / "learning_curves.png"
    image = BytesIO()
    figure.savefig(image, dpi=120)
    with storing(path):
        write_atomically(path, image.getvalue())
    return path


def _draw_panel(
    axes: Axes,
    history: MetricsHistory,
    heading: str,
    names: tuple[str, ...],
    steps_per_epoch: float,
) -> None:
    for name in names:
        kind = "step" if name == "learning_rate" else "epoch"
        steps, values = history.series(name, kind)
        if not steps:
            continue
        label = None if len(names) == 1 else "validation" if name.startswith("val_") else "training"
        x = [step / steps_per_epoch for step in steps]
        marker = "o" if len(x) < 20 else None
        color = _COLORS.get(label or "training")
        if label == "validation":
            label = f"validation ({values[-1]:.4g} at the end)"
        axes.plot(x, values, label=label, marker=marker, markersize=3, color=color)
    axes.set_title(heading)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    if len(names) > 1:
        axes.legend(frameon=False)


def _steps_per_epoch(history: MetricsHistory) -> float:
    row = next(row for row in history.rows if row.kind == "epoch")
    return row.step / row.epoch
