"""Which images of a batch the ascent step of sharpness-aware minimization uses."""

from __future__ import annotations

import math

ROUNDING = 1e-4
"""Images by which a share times their number may miss a whole one."""


def ascent_count(images: int, share: float) -> int:
    """Return how many of a batch's images are at least such a share of them.

    Args:
        images: Images in the batch, or in a part of it.
        share: In (0, 1].
    """
    return max(1, math.ceil(images * share - ROUNDING))


def ascent_places(images: int, share: float) -> list[int]:
    """Return the places in a batch of so many images, spread evenly over it from the first one on.

    With n the `ascent_count`, these are the places p at which ceil((p + 1) n / images) is more than ceil(p n / images).
    """
    count = ascent_count(images, share)
    return [place for place in range(images) if -(-(place + 1) * count // images) > -(-place * count // images)]


def makes_same_parts(images: int, share: float) -> bool:
    """Return whether parts of so many images, each by itself, use what the whole batch would use.

    They do if each uses a whole number of pairs: the places then repeat from part to part, also where a worker's part
    is some images from the front of the batch and their partners from its end (see `data.training_batches`).
    """
    pairs = images * share / 2
    return abs(pairs - round(pairs)) < ROUNDING and round(pairs) > 0


def nearest_share(images: int, share: float) -> float | None:
    """Return the closest share for which `makes_same_parts` holds, or None for a part of one image."""
    pairs = min(max(1, round(images * share / 2)), images // 2)
    return 2 * pairs / images if pairs else None
