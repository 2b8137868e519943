"""Answer: what a model says of one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model says of one image.

    Args:
        findings: Each finding as a value of JSON, the surest first.
        rows: Each finding as the cells of a table.
        picture: The image with the findings drawn into it, uint8 (height, width, 3); None for a class of the whole.
    """

    findings: tuple[dict[str, Any], ...]
    rows: tuple[tuple[str, ...], ...]
    picture: np.ndarray | None = None
