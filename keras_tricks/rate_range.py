"""What a learning-rate range test found: losses at growing rates, and what they suggest. No Keras here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np

from keras_tricks.recipe import Recipe
from keras_tricks.runs.storage import write_with_folder

AVERAGE_KEEPS = 0.9
"""Share of the running average of the losses that a step keeps."""

DIVERGENCE = 4.0
"""The test ends where the running average is so many times its lowest value so far."""

WINDOW_SHARE = 1 / 6
"""Share of the steps over which the loss is smoothed."""

CLEAR_FALL = 4.0
"""The loss has fallen where the mean of a window lies so many standard errors below that of the first one. Noise
alone passes for a fall in at most 1 of 100 tests."""

FEWEST_STEPS = 10

SCHEDULES = ("linear_scaling", "warmup", "cosine_decay", "poly_decay", "step_decay", "progressive_resizing")
"""The tricks that set the learning rate, or change the images while it would grow, which the test leaves out."""


@dataclass(frozen=True, eq=False)
class RateRange:
    """The losses of one training whose learning rate grows by the same factor at each step.

    Args:
        batch_size: Images a step.
        rates: The learning rate of each step, growing.
        losses: The loss of the batch at each step, before the step changed the weights.

    Source: Smith 2015, Cyclical Learning Rates for Training Neural Networks, arXiv 1506.01186, section 3.3; the growth
    by a factor, the steepest descent as a suggestion and the end at four times the lowest loss are those of the fastai
    library.
    """

    batch_size: int
    rates: np.ndarray
    losses: np.ndarray

    @cached_property
    def smoothed(self) -> np.ndarray:
        """The mean loss of a window around each step, smaller at both ends; NaN from where a loss is not finite.

        A running average would show what happened some steps, and so at a much smaller rate, before.
        """
        losses = np.where(np.isfinite(self.losses), self.losses, np.nan)
        return np.array([losses[window].mean() for window in self._windows()])

    @property
    def diverged_at(self) -> float | None:
        """The rate at which the running average of the losses was four times its lowest, or NaN; None if none was."""
        place = divergence(self.losses)
        return None if place is None else float(self.rates[place])

    @property
    def lowest_at(self) -> float | None:
        """The rate at which the smoothed loss is lowest; None where no loss is finite."""
        return None if np.isnan(self.smoothed).all() else float(self.rates[np.nanargmin(self.smoothed)])

    @property
    def suggestion(self) -> float | None:
        """The rate at which the loss falls most steeply over the logarithm of the rate, before its lowest.

        The slope is that of the line through the losses of a window. None where the loss never falls by more than its
        noise, or there are too few steps to tell.
        """
        if self.lowest_at is None or not self.has_fallen:
            return None
        lowest, logs = int(np.nanargmin(self.smoothed)), np.log(self.rates)
        whole = self._half_window()
        slopes = {
            step: float(np.polyfit(logs[window], self.losses[window], 1)[0])
            for step, window in enumerate(self._windows())
            if step < lowest and window.stop - window.start == 2 * whole + 1 and np.isfinite(self.losses[window]).all()
        }
        steepest = min(slopes, key=lambda step: slopes[step], default=None)
        return None if steepest is None or slopes[steepest] >= 0 else float(self.rates[steepest])

    @property
    def has_fallen(self) -> bool:
        """Whether the mean loss of some window is below that of the first by more than the noise of both.

        The noise is the standard deviation of the losses around their trend, from the differences of neighbours up to
        the lowest loss.
        """
        whole = 2 * self._half_window() + 1
        windows = [window for window in self._windows() if window.stop - window.start == whole]
        means = [self.smoothed[window.start + whole // 2] for window in windows]
        if not means or np.isnan(means[0]):
            return False
        lowest = int(np.nanargmin(means))
        steps = np.diff(self.losses[: windows[lowest].stop])
        noise = float(np.std(steps)) / math.sqrt(2)
        return bool(means[0] - means[lowest] > CLEAR_FALL * noise * math.sqrt(2 / whole))

    @property
    def problem(self) -> str | None:
        """Why there is no suggestion, and the way out, in a sentence or two; None where there is one."""
        if self.suggestion is not None:
            return None
        if self.diverged_at is not None:
            return f"The loss diverges at {self.diverged_at:.3g} and did not fall before. Begin with less: --from."
        return (
            f"Up to {self.rates[-1]:.3g} the loss falls by no more than its noise, which suggests nothing. "
            "End with a higher rate: --to; or take more steps: --steps."
        )

    def _half_window(self) -> int:
        return max(2, round(len(self.rates) * WINDOW_SHARE / 2))

    def _windows(self) -> list[slice]:
        count, half = len(self.rates), self._half_window()
        halves = [min(half, step, count - 1 - step) for step in range(count)]
        return [slice(step - half, step + half + 1) for step, half in enumerate(halves)]


def without_schedule(recipe: Recipe) -> Recipe:
    """Return the recipe that a test trains: without the tricks of `SCHEDULES`."""
    for name in SCHEDULES:
        recipe = recipe.without_trick(name)
    return recipe


def divergence(losses: Sequence[float]) -> int | None:
    """Return the first step whose running average of the losses is too large, or no number; None if none is.

    Args:
        losses: The loss of each step.
    """
    average, lowest = 0.0, math.inf
    for step, loss in enumerate(losses):
        average = AVERAGE_KEEPS * average + (1 - AVERAGE_KEEPS) * loss
        present = average / (1 - AVERAGE_KEEPS ** (step + 1))
        if not math.isfinite(present) or present > DIVERGENCE * lowest:
            return step
        lowest = min(lowest, present)
    return None


def plot_rate_ranges(ranges: Sequence[RateRange], path: str | Path, title: str = "") -> Path:
    """Draw the smoothed loss over the rate for each batch size, with the suggestions.

    Args:
        ranges: What to draw.
        path: The PNG file.
        title: Heading. Defaults to none.

    Returns:
        The file.

    Raises:
        StorageError: It cannot be written.
    """
    from matplotlib.figure import Figure

    path = Path(path)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for found in ranges:
        [line] = axes.plot(found.rates, found.smoothed, label=f"batch {found.batch_size}")
        axes.plot(found.rates, found.losses, color=line.get_color(), alpha=0.2, linewidth=0.8)
        if found.suggestion is not None:
            place = int(np.searchsorted(found.rates, found.suggestion))
            axes.plot(found.suggestion, found.smoothed[place], "o", color=line.get_color())
            axes.annotate(
                f"{found.suggestion:.2g}", (found.suggestion, found.smoothed[place]), (6, 6), textcoords="offset points"
            )
        if found.diverged_at is not None:
            axes.axvline(found.diverged_at, color=line.get_color(), linestyle=":", linewidth=1)
    highest = [float(found.smoothed[0]) for found in ranges if math.isfinite(found.smoothed[0])]
    lowest = [float(np.nanmin(found.smoothed)) for found in ranges if found.lowest_at is not None]
    if highest and max(highest) > min(lowest):
        margin = 0.1 * (max(highest) - min(lowest))
        axes.set_ylim(min(lowest) - margin, max(highest) + 3 * margin)
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss, smoothed")
    axes.set_title(
        " · ".join(part for part in (title, "dot: steepest descent, dotted: divergence") if part), fontsize=10
    )
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    image = BytesIO()
    figure.savefig(image, dpi=120, format="png")
    return write_with_folder(path, image.getvalue())
