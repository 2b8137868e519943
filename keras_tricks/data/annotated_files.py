"""Images with files that say more about them: name those that cannot be used, and hold out a share."""

from collections.abc import Sequence
from pathlib import Path

from keras_tricks.data.stratified_split import stratified_split

NAMED_FILES = 5


def raise_for(root: Path, problems: dict[Path, str]) -> None:
    """Raise a ValueError that names the first files that cannot be used, and counts the others.

    Args:
        root: The directory of the data set.
        problems: The reason for each file, as the rest of a sentence that begins with its path.
    """
    if problems:
        named = [f"{path} {why}" for path, why in problems.items()]
        raise ValueError(f"{root} cannot be used. {first_of(named, 'files')}.")


def first_of(sentences: Sequence[str], what: str) -> str:
    """Return the first sentences, and how many more there are of what they are about."""
    rest = len(sentences) - NAMED_FILES
    more = [f"and {rest} more {what}"] if rest > 0 else []
    return "; ".join([*sentences[:NAMED_FILES], *more])


def hold_out(
    root: Path, pairs: Sequence[tuple[Path, Path]], seed: int, fraction: float
) -> list[list[tuple[Path, Path]]]:
    """Return the pairs of files to train on and those to validate on.

    Args:
        root: The directory of the data set.
        pairs: Each image with its file.
        seed: Another seed gives another split.
        fraction: Share of the images to validate on.

    Raises:
        ValueError: If there is a single image.
    """
    if len(pairs) < 2:
        raise ValueError(f"{root} has a single image: nothing is left to validate on.")
    names = [image.relative_to(root).as_posix() for image, _ in pairs]
    return [[pairs[place] for place in places] for places in stratified_split([0] * len(pairs), names, fraction, seed)]
