"""Pictures of images with what was found in them: boxes with names, and masks in colours with a legend."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]

SHORTEST_LONG_SIDE = 640
"""Smaller images are enlarged by a whole factor until their longer side has at least so many pixels."""

TEXT_SIZE = 14
_LINE = 20
_MARGIN = 4
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


def distinct_colors(count: int) -> list[Color]:
    """Return strong colours that can be told apart, the same ones for the same places.

    Args:
        count: How many.

    Example:
        >>> distinct_colors(2)
        [(255, 51, 51), (25, 85, 230)]
    """
    golden = (5**0.5 - 1) / 2
    tones = [(0.8, 1.0), (0.89, 0.9), (0.6, 1.0), (1.0, 0.65)]
    hues = [(place * golden) % 1 for place in range(count)]
    colors = [colorsys.hsv_to_rgb(hue, *tones[place % len(tones)]) for place, hue in enumerate(hues)]
    return [(round(255 * red), round(255 * green), round(255 * blue)) for red, green, blue in colors]


def draw_boxes(
    image: np.ndarray,
    boxes: Any,
    labels: Any,
    scores: Any | None,
    class_names: Sequence[str],
    palette: Sequence[Color] | None = None,
) -> np.ndarray:
    """Return an image with boxes in the colours of their classes, and beside each box its class and its score.

    Small images are enlarged, so that names can be read. The boxes of the highest scores lie on top.

    Args:
        image: uint8 pixels (height, width, 3).
        boxes: The left, top, right and bottom of each box in pixels of the image (n, 4).
        labels: The class of each box (n,); those below 0 are left out.
        scores: The score of each box (n,); None for true boxes, which have none.
        class_names: Name of each class.
        palette: Colour of each class. Defaults to None, `distinct_colors`.

    Returns:
        uint8 pixels, of the height and width of the image times a whole factor.

    Raises:
        ValueError: If a shape or type is wrong, a coordinate is not finite, or a label is no class.
    """
    labels = np.asarray(labels)
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    values = np.zeros(len(labels)) if scores is None else np.asarray(scores)
    if not len(boxes) == len(labels) == len(values):
        raise ValueError(
            "Expected as many boxes as labels and scores. "
            f"Received: {len(boxes)} boxes, {len(labels)} labels, {len(values)} scores"
        )
    if not np.isfinite(boxes[labels >= 0]).all():
        raise ValueError(f"Expected finite boxes. Received: boxes={boxes.tolist()}")
    _check_labels(labels[labels >= 0], class_names)
    colors = _colors(palette, class_names)
    picture, factor = _enlarged(image)
    draw, width = ImageDraw.Draw(picture), picture.width
    order = [place for place in np.argsort(values, kind="stable") if labels[place] >= 0]
    corners = {place: np.clip(boxes[place] * factor, 0, [width - 1, picture.height - 1] * 2) for place in order}
    for place in order:
        draw.rectangle(_rectangle(corners[place]), outline=colors[labels[place]], width=2)
    taken: list[tuple[float, ...]] = []
    # The highest score takes the best place for its text.
    for place in reversed(order):
        name = str(class_names[labels[place]])
        text = name if scores is None else f"{name} {values[place]:.2f}"
        where = _free_place(corners[place], _width(text) + 2 * _MARGIN, picture.size, taken)
        taken.append(where)
        _draw_text(draw, where, text, colors[labels[place]])
    return np.asarray(picture)


def overlay_mask(
    image: np.ndarray,
    mask: np.ndarray,
    palette: Sequence[Color] | None,
    class_names: Sequence[str],
    ignored: int = 255,
) -> np.ndarray:
    """Return an image under half-transparent colours of the classes, over a legend of those that occur.

    Pixels that are ignored stay as they are. Small images are enlarged, so that names can be read.

    Args:
        image: uint8 pixels (height, width, 3).
        mask: The class of each pixel (height, width).
        palette: Colour of each class; None for `distinct_colors`.
        class_names: Name of each class.
        ignored: The class index of pixels that have no class. Defaults to 255.

    Returns:
        uint8 pixels; the legend lies below the enlarged image.

    Raises:
        ValueError: If a shape or type is wrong, or the mask holds an index that is no class.
    """
    mask = np.asarray(mask)
    if mask.shape != image.shape[:2]:
        raise ValueError(f"Expected a mask of the size of its image, {image.shape[:2]}. Received: {mask.shape}")
    present = [int(label) for label in np.unique(mask) if label != ignored]
    _check_labels(np.array(present, int), class_names)
    colors = _colors(palette, class_names)
    picture, factor = _enlarged(image)
    tinted = np.asarray(picture).astype(np.float64)
    large = mask.repeat(factor, axis=0).repeat(factor, axis=1)
    for label in present:
        of_class = large == label
        tinted[of_class] = (tinted[of_class] + colors[label]) / 2
    return np.concatenate([tinted.round().astype(np.uint8), _legend(present, colors, class_names, picture.width)])


def side_by_side(pictures: Sequence[np.ndarray], titles: Sequence[str]) -> np.ndarray:
    """Return pictures in a row, each below its title.

    Args:
        pictures: uint8 pixels (height, width, 3) of each, which may differ in size.
        titles: Title of each.

    Raises:
        ValueError: If there is no picture, or not one title for each.
    """
    if not pictures or len(pictures) != len(titles):
        raise ValueError(
            f"Expected a title for each of at least one picture. Received: {len(pictures)} pictures, {titles}"
        )
    height = max(len(picture) for picture in pictures)
    columns = []
    for picture, title in zip(pictures, titles, strict=True):
        column = Image.new("RGB", (picture.shape[1], _LINE + height), _WHITE)
        column.paste(Image.fromarray(picture), (0, _LINE))
        ImageDraw.Draw(column).text((_MARGIN, _LINE / 2), title, _BLACK, _font(), anchor="lm")
        columns += [np.full((_LINE + height, 2 * _MARGIN, 3), 255, np.uint8), np.asarray(column)]
    return np.concatenate(columns[1:], axis=1)


def _check_labels(labels: np.ndarray, class_names: Sequence[str]) -> None:
    wrong = labels[(labels < 0) | (labels >= len(class_names))]
    if len(wrong):
        raise ValueError(f"Expected labels of the {len(class_names)} classes. Received: {wrong[0]}")


def _colors(palette: Sequence[Color] | None, class_names: Sequence[str]) -> list[Color]:
    if palette is None:
        return distinct_colors(len(class_names))
    if len(palette) != len(class_names):
        raise ValueError(f"Expected a colour for each of {len(class_names)} classes. Received: palette={palette}")
    return [(int(red), int(green), int(blue)) for red, green, blue in palette]


def _enlarged(image: np.ndarray) -> tuple[Image.Image, int]:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(
            f"Expected uint8 pixels (height, width, 3). Received: {image.dtype} pixels of the shape {image.shape}"
        )
    factor = max(1, -(-SHORTEST_LONG_SIDE // max(image.shape[:2])))
    height, width = image.shape[:2]
    return Image.fromarray(image).resize((width * factor, height * factor), Image.Resampling.BICUBIC), factor


def _font() -> Any:
    return ImageFont.load_default(TEXT_SIZE)


def _width(text: str) -> int:
    return int(-(-_font().getlength(text) // 1))


def _rectangle(corners: np.ndarray) -> list[float]:
    left, top, right, bottom = corners
    return [left, top, max(left, right), max(top, bottom)]


def _free_place(
    box: np.ndarray, width: int, size: tuple[int, int], taken: Sequence[tuple[float, ...]]
) -> tuple[float, ...]:
    """Return where the text of a box goes: above it, in it, below it, the first of these that is free and inside."""
    left = max(0.0, min(box[0], size[0] - width))
    above = [box[1] - _LINE, box[1], box[3], box[3] - _LINE]
    tops = [top for top in above if 0 <= top <= size[1] - _LINE] or [0.0]
    places = [(left, top, left + width, top + _LINE) for top in tops]
    return next((place for place in places if not any(_overlap(place, other) for other in taken)), places[0])


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _draw_text(draw: ImageDraw.ImageDraw, where: Sequence[float], text: str, color: Color) -> None:
    """Write on a colour, in black or white, whichever can be read."""
    left, top, right, bottom = where
    draw.rectangle([left, top, right - 1, bottom - 1], fill=color)
    lightness = np.dot(color, (0.299, 0.587, 0.114))
    ink = _BLACK if lightness > 128 else _WHITE
    draw.text((left + _MARGIN, (top + bottom) / 2), text, ink, _font(), anchor="lm")


def _legend(labels: Sequence[int], colors: Sequence[Color], names: Sequence[str], width: int) -> np.ndarray:
    """Return the names of classes on their colours, in as many lines as they need; no line without a class."""
    places: list[tuple[float, float, float, float]] = []
    left, top = _MARGIN, _MARGIN
    for label in labels:
        length = _width(str(names[label])) + 2 * _MARGIN
        if left > _MARGIN and left + length > width:
            left, top = _MARGIN, top + _LINE + _MARGIN
        places.append((left, top, left + length, top + _LINE))
        left += length + _MARGIN
    legend = Image.new("RGB", (width, top + _LINE + _MARGIN if labels else 0), _WHITE)
    draw = ImageDraw.Draw(legend)
    for label, place in zip(labels, places, strict=True):
        _draw_text(draw, place, str(names[label]), colors[label])
    return np.asarray(legend).reshape(-1, width, 3)
