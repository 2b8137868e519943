"""Statistics of ablations: means, and differences of runs that share their seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Spread:
    """Mean and spread of values.

    Args:
        mean: Their mean.
        deviation: Their standard deviation, with n - 1; None for a single value.
        n: How many there are.
    """

    mean: float
    deviation: float | None
    n: int


@dataclass(frozen=True)
class PairedDifference:
    """How much better or worse one variant is than another, over the seeds that both were trained with.

    Args:
        mean: Mean of the differences, other minus base.
        low: Lower end of the 95 % interval of that mean; None for a single seed.
        high: Its upper end.
        seeds: The seeds that both have.
        left_out: The seeds that only one of them has, or that gave no finite value.
    """

    mean: float
    low: float | None
    high: float | None
    seeds: tuple[int, ...]
    left_out: tuple[int, ...] = ()

    @property
    def n(self) -> int:
        """How many pairs there are."""
        return len(self.seeds)

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def spread(values: Sequence[float]) -> Spread:
    """Return mean and standard deviation of values.

    Raises:
        ValueError: There is none.
    """
    if not values:
        raise ValueError("Expected at least one value. Received: none")
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), deviation, len(values))


def paired_difference(base: Mapping[int, float], other: Mapping[int, float]) -> PairedDifference:
    """Return the mean difference of two variants over their common seeds, with its 95 % interval.

    Runs with the same seed share what the seed decides, so each seed gives one difference, and the interval is that of
    Student's t for the mean of these. With one seed there is no interval.

    Args:
        base: The value of each seed for the variant that others are compared with.
        other: The same for another variant.

    Raises:
        ValueError: They have no seed in common with a finite value for both.
    """
    seeds = sorted(base.keys() & other.keys())
    paired = tuple(seed for seed in seeds if math.isfinite(base[seed]) and math.isfinite(other[seed]))
    left_out = tuple(sorted((base.keys() | other.keys()) - set(paired)))
    if not paired:
        raise ValueError(f"Expected a seed that both were trained with. Received: {sorted(base)} and {sorted(other)}")
    found = spread([other[seed] - base[seed] for seed in paired])
    if found.deviation is None:
        return PairedDifference(found.mean, None, None, paired, left_out)
    # scipy.stats takes a second and 40 MB to import; its quantile of Student's t is this function.
    from scipy.special import stdtrit

    quantile = float(stdtrit(found.n - 1, (1 + CONFIDENCE) / 2))
    half = quantile * found.deviation / math.sqrt(found.n)
    return PairedDifference(found.mean, found.mean - half, found.mean + half, paired, left_out)
