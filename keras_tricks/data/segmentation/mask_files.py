"""Read masks, and tell those that cannot be used from the others."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from keras_tricks.data.segmentation.classes import CODED_BY_COLOR, MaskClasses

_INDEX_MODES = ("1", "L", "P", "I", "I;16", "I;16B")


@dataclass(frozen=True)
class MaskFile:
    """What one mask holds.

    Args:
        values: The values of its pixels; none where it is coded by colour.
        problem: Why it cannot be used, or None if it can.
    """

    values: frozenset[int] = frozenset()
    problem: str | None = None


def read_mask(path: Path) -> np.ndarray:
    """Return the values (height, width) of a mask, or its colours (height, width, 3).

    The values of a PNG with a palette are the indices, not the colours.

    Args:
        path: A file that Pillow can read.

    Raises:
        ValueError: If it cannot be read; the message says why, without the path.
    """
    try:
        with Image.open(path) as image:
            if image.mode in _INDEX_MODES:
                return np.asarray(image).astype(np.int64 if image.mode.startswith("I") else np.uint8)
            return np.asarray(image.convert("RGB"))
    except UnidentifiedImageError as error:
        raise ValueError("is not a readable image") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def check_mask_files(
    pairs: Sequence[tuple[Path, Path]], classes: MaskClasses | None
) -> tuple[dict[Path, str], frozenset[int]]:
    """Read all masks in parallel.

    Args:
        pairs: Each image with its mask.
        classes: What the masks are to hold; None where that is to be found out.

    Returns:
        The reason for each file that cannot be used, and the values found: class indices, or where `classes` is None
        those of the files.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        checked = list(pool.map(lambda pair: _check(*pair, classes), pairs))
    problems = {mask: file.problem for (_, mask), file in zip(pairs, checked, strict=True) if file.problem}
    return problems, frozenset().union(*(file.values for file in checked))


def _check(image: Path, mask: Path, classes: MaskClasses | None) -> MaskFile:
    try:
        values = read_mask(mask)
        size = _size_of_image(image)
        if size != values.shape[:2]:
            return MaskFile(
                problem=f"is of {_times(values.shape[:2])} pixels, but its image {image} of {_times(size)}",
            )
        if values.ndim == 3 and not (classes and classes.colors):
            raise ValueError(CODED_BY_COLOR)
        found = values if classes is None else classes.indices(values)
    except ValueError as error:
        return MaskFile(problem=str(error))
    return MaskFile(frozenset(np.unique(found).tolist()))


def _size_of_image(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"has an image that is not readable, {path}") from error


def _times(size: tuple[int, ...]) -> str:
    return f"{size[1]} x {size[0]}"
