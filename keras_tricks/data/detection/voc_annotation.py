"""Read the boxes of one image from an XML file of Pascal VOC."""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class Annotation:
    """The objects of one image.

    Args:
        names: Class of each object.
        boxes: Left, top, right and bottom of each in pixels, with 0 at the border of the image.
        difficult: Whether each is marked as difficult.
        skipped: A sentence about each object that was left out because of its box.
        clipped: How many boxes reached beyond the image and were cut off there.
    """

    names: tuple[str, ...]
    boxes: tuple[tuple[float, float, float, float], ...]
    difficult: tuple[bool, ...]
    skipped: tuple[str, ...]
    clipped: int


def read_annotation(path: Path, size: tuple[int, int]) -> Annotation:
    """Read an annotation.

    The corners of a file are the first and the last pixel in the box, counted from 1; the box here begins at the left
    of the first and ends at the right of the last. A box is left out if it has no width or height, its corners are
    exchanged, or it lies outside of the image; one that reaches beyond the image is cut off.

    Args:
        path: The file.
        size: Height and width of the image in pixels.

    Raises:
        ValueError: If the file cannot be read, is of an image of another size, or lacks a field; the message names the
            field, without the path.
    """
    try:
        # Python's expat refuses entities that grow beyond measure, and knows no external ones.
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise ValueError(f"is not readable XML: {error}") from error
    _check_size(root, size)
    names, boxes, difficult, skipped, clipped = [], [], [], [], 0
    for number, element in enumerate(root.iterfind("object"), 1):
        where = f"object {number}"
        name = _text(element, "name", where)
        corners = [_number(element, f"bndbox/{corner}", where) for corner in CORNERS]
        mark = element.findtext("difficult", "0").strip() or "0"
        if mark not in ("0", "1"):
            raise ValueError(f"has another difficult than 0 or 1 in {where}: {mark!r}")
        problem = _problem(corners, size)
        if problem:
            numbers = ", ".join(f"{corner:g}" for corner in corners)
            skipped.append(f"{name} [{numbers}] {problem}")
            continue
        left, top, right, bottom = corners[0] - 1, corners[1] - 1, corners[2], corners[3]
        box = (max(left, 0.0), max(top, 0.0), min(right, float(size[1])), min(bottom, float(size[0])))
        # Files that count from 0 are one pixel off, which is no fault worth a word.
        clipped += left < -1 or top < -1 or right > size[1] or bottom > size[0]
        names.append(name)
        boxes.append(box)
        difficult.append(mark == "1")
    return Annotation(tuple(names), tuple(boxes), tuple(difficult), tuple(skipped), clipped)


def _problem(corners: list[float], size: tuple[int, int]) -> str | None:
    left, top, right, bottom = corners
    if left > right or top > bottom:
        return "has its corners exchanged"
    if left == right or top == bottom:
        return "is empty"
    if right <= 0 or bottom <= 0 or left > size[1] or top > size[0]:
        return f"lies outside of the {size[1]} x {size[0]} pixels"
    return None


def _check_size(root: ElementTree.Element, size: tuple[int, int]) -> None:
    if root.find("size") is None:
        return
    width, height = (_number(root, f"size/{side}", "the annotation") for side in ("width", "height"))
    # Some tools write zeros where they do not know the size.
    if (width, height) not in ((0, 0), size[::-1]):
        raise ValueError(f"is of {width:g} x {height:g} pixels, but its image of {size[1]} x {size[0]}")


def _text(element: ElementTree.Element, field: str, where: str) -> str:
    text = (element.findtext(field) or "").strip()
    if not text:
        raise ValueError(f"lacks the field {field} in {where}")
    return text


def _number(element: ElementTree.Element, field: str, where: str) -> float:
    text = _text(element, field, where)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise ValueError(f"has no number in the field {field} in {where}: {text!r}")
    return value
