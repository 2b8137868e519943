"""What is wrong with a recipe."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Problem(NamedTuple):
    """What is wrong with a recipe.

    Args:
        level: `error` stops a launch, `warning` does not.
        where: The field (`batch_size`), trick (`zero_gamma`) or parameter (`mixup.alpha`) it is about.
        message: A sentence that says what to change.
    """

    level: Literal["error", "warning"]
    where: str
    message: str
