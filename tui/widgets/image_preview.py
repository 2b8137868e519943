"""ImagePreview: a small image, two pixels a cell."""

from __future__ import annotations

import numpy as np
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from keras_tricks.predictions import thumbnail

_SHADES = " .:-=+*#%@"
_BLOCK = "▀"
_COLORFUL = ("256", "truecolor", "windows")


class ImagePreview(Widget):
    """An image as large as fits: upper half blocks with two colours a cell.

    Where colours are not wanted or the terminal has too few, characters of more or less ink stand for shades of grey.
    """

    DEFAULT_CSS = "ImagePreview { width: 1fr; height: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self._image: np.ndarray | None = None
        self._scaled: np.ndarray | None = None

    @property
    def in_color(self) -> bool:
        """Whether it is drawn in colour."""
        return not self.app.no_color and self.app.console.color_system in _COLORFUL

    def show(self, image: np.ndarray | None) -> None:
        """Show a uint8 image (height, width, 3), or none."""
        self._image, self._scaled = image, None
        self.refresh()

    def on_resize(self) -> None:
        """Scale it anew."""
        self._scaled = None

    def render_line(self, y: int) -> Strip:
        """Draw two rows of pixels."""
        width, height = self.size
        if self._image is None or not width or not height:
            return Strip.blank(width, self.rich_style)
        if self._scaled is None:
            self._scaled = fitted(self._image, width, 2 * height)
        rows = self._scaled[2 * y : 2 * y + 2]
        if not len(rows):
            return Strip.blank(width, self.rich_style)
        segments = self._in_colors(rows) if self.in_color else [Segment(_shaded(rows), self.rich_style)]
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _in_colors(self, rows: np.ndarray) -> list[Segment]:
        below = rows[1].tolist() if len(rows) > 1 else [None] * rows.shape[1]
        return [
            Segment(_BLOCK, self.rich_style + Style(color=Color.from_rgb(*upper), bgcolor=lower and _rgb(lower)))
            for upper, lower in zip(rows[0].tolist(), below, strict=True)
        ]


def fitted(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return the image as large as fits into so many pixels, with its aspect; enlarged by whole factors only."""
    scale = min(width / image.shape[1], height / image.shape[0])
    if scale >= 1:
        return image.repeat(int(scale), axis=0).repeat(int(scale), axis=1)
    smaller = thumbnail(image, max(1, int(scale * max(image.shape[:2]))))
    return smaller[:height, :width]


def _rgb(pixel: list[int]) -> Color:
    return Color.from_rgb(*pixel)


def _shaded(rows: np.ndarray) -> str:
    brightness = rows.mean(axis=(0, 2)) / 256
    return "".join(_SHADES[int(value * len(_SHADES))] for value in brightness)
