"""The classes of masks: their names, their colours, and which values of a mask belong to them."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

IGNORED = 255
"""Class index of the pixels that count neither for a loss nor for a metric."""

CLASS_FILES = ("classes.txt", "class_dict.csv", "label_colors.txt", "objectInfo150.txt")

CODED_BY_COLOR = (
    "is coded by colour: expected a class index for each pixel, or a classes file with a colour for each class "
    f"({' or '.join(CLASS_FILES)})"
)

Color = tuple[int, int, int]


@dataclass(frozen=True)
class MaskClasses:
    """Say which class a pixel of a mask belongs to.

    The values of an index mask count the entries from 0; the class indices count those that are not ignored.

    Args:
        names: Name of each entry.
        colors: Red, green and blue of each entry, from 0 to 255; empty where masks hold indices only.
        ignored: Values of index masks, and places of entries, that are ignored.

    Raises:
        ValueError: If a name or a colour is given twice, all entries are ignored, or there are more than 255 classes.

    Example:
        >>> MaskClasses(("void", "road", "car"), ignored=(0,)).class_names
        ('road', 'car')
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...] = ()
    ignored: tuple[int, ...] = (IGNORED,)

    def __post_init__(self):
        for what, entries in (("name", self.names), ("colour", self.colors)):
            twice = [entry for entry in entries if entries.count(entry) > 1]
            if twice:
                raise ValueError(f"Expected another {what} for each class. Received: {twice[0]!r} twice")
        if self.colors and len(self.colors) != len(self.names):
            raise ValueError(f"Expected a colour for each of {len(self.names)} names. Received: colors={self.colors}")
        if not 1 <= len(self.members) <= IGNORED:
            raise ValueError(f"Expected from 1 to {IGNORED} classes that are not ignored. Received: {self}")

    @property
    def members(self) -> tuple[int, ...]:
        """The places of the entries that are not ignored, in the order of the class indices."""
        return tuple(place for place in range(len(self.names)) if place not in self.ignored)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class index."""
        return tuple(self.names[place] for place in self.members)

    @property
    def palette(self) -> tuple[Color, ...]:
        """Colour of each class index; where none are given, those of Pascal VOC."""
        return tuple(self.colors[place] if self.colors else voc_color(place + 1) for place in self.members)

    def indices(self, mask: np.ndarray) -> np.ndarray:
        """Return the class indices of a mask, `IGNORED` where it is ignored.

        Args:
            mask: Values (height, width), or colours (height, width, 3).

        Returns:
            A uint8 array (height, width).

        Raises:
            ValueError: If a value or a colour belongs to no class; the message names it and the first place.
        """
        table = np.full(len(self.names), IGNORED, np.uint8)
        table[list(self.members)] = np.arange(len(self.members))
        places = self._places_of_colors(mask) if mask.ndim == 3 else mask.astype(np.int64)
        inside = (places >= 0) & (places < len(self.names))
        strange = ~inside & ~np.isin(places, self.ignored)
        if strange.any():
            row, column = np.argwhere(strange)[0]
            value = tuple(mask[row, column].tolist()) if mask.ndim == 3 else int(mask[row, column])
            what = "the colour" if mask.ndim == 3 else "the class"
            expected = "those of the classes file" if mask.ndim == 3 else f"0 to {len(self.names) - 1}"
            ignored = "" if mask.ndim == 3 else f", or one of {sorted(self.ignored)}, which are ignored"
            raise ValueError(
                f"{what} {value} in row {row}, column {column} is out of range: expected {expected}{ignored}"
            )
        return np.where(inside, table[np.where(inside, places, 0)], np.uint8(IGNORED))

    def _places_of_colors(self, mask: np.ndarray) -> np.ndarray:
        if not self.colors:
            raise ValueError(CODED_BY_COLOR)
        known = _code(np.array(self.colors))
        order = np.argsort(known)
        codes = _code(mask)
        found = np.minimum(np.searchsorted(known[order], codes), len(known) - 1)
        return np.where(known[order][found] == codes, order[found], -1)


def voc_color(index: int) -> Color:
    """Return the colour that Pascal VOC gives a class: the bits of the index, spread over the channels."""
    channels = [0, 0, 0]
    for bit in range(24):
        channels[bit % 3] |= (index >> bit & 1) << (7 - bit // 3)
    return channels[0], channels[1], channels[2]


def read_classes(path: Path) -> MaskClasses:
    """Read a classes file.

    Each line is an entry: a name, or a name and a colour (`road 128 64 128`, `road,128,64,128` or
    `128 64 128 road`), and the word `ignore` at its end if its pixels are to be ignored. Empty lines, lines that begin
    with `#` and the header of a `class_dict.csv` are left out. A table of ADE20K (`objectInfo150.txt`: columns between
    tabulators, the names last, with the word `Idx` at its start) names the classes from 1; 0 is ignored.

    Args:
        path: The file.

    Raises:
        ValueError: If the file cannot be read, or a line is not of this form; the message names both.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}.") from error
    names: list[str] = []
    colors: list[Color] = []
    ignored = [IGNORED]
    if lines and lines[0].startswith("Idx\t"):
        synonyms = [line.split("\t")[-1] for line in lines[1:] if line.strip()]
        names = ["other", *(words.split(",")[0].strip() for words in synonyms)]
        ignored, lines = [0, IGNORED], []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        words = [word.strip() for word in next(csv.reader([line]))] if "," in line else line.split()
        if [word.lower() for word in words] == ["name", "r", "g", "b"]:
            continue
        if words[-1] == "ignore" and len(words) > 1:
            ignored.append(len(names))
            words = words[:-1]
        name, color = _name_and_color(words)
        if not name or (names and bool(color) != bool(colors)):
            raise ValueError(
                f"{path}, line {number}: expected a name, or a name and three numbers from 0 to 255, in the same form "
                f"on every line. Received: {line!r}"
            )
        names.append(name)
        colors += [color] if color else []
    try:
        return MaskClasses(tuple(names), tuple(colors), tuple(ignored))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def numbered_classes(largest: int, ignored: Sequence[int]) -> MaskClasses:
    """Return classes whose names are their numbers, for masks of which only the values are known."""
    return MaskClasses(tuple(str(value) for value in range(largest + 1)), (), tuple(ignored))


def _name_and_color(words: list[str]) -> tuple[str, Color | None]:
    for color, name in ((words[-3:], words[:-3]), (words[:3], words[3:])):
        if name and len(color) == 3 and all(word.isdecimal() and int(word) <= 255 for word in color):
            return " ".join(name), (int(color[0]), int(color[1]), int(color[2]))
    return " ".join(words), None


def _code(colors: np.ndarray) -> np.ndarray:
    return colors.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
