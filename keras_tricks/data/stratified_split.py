"""A split that depends on the seed and on each image's own name, and on nothing else."""

import hashlib
from collections.abc import Sequence

import numpy as np


def stratified_split(
    labels: Sequence[int], names: Sequence[str], fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Divide images into training and validation, the same share of every class.

    The images of a class are ranked by a hash of the seed and their name and the first ones go to
    validation, so the split is the same on every machine and in every version of NumPy.

    Args:
        labels: Class index of each image.
        names: A distinct name for each image.
        fraction: Share of each class for validation, between 0 and 1. A class of two images or
            more gives at least one to each side; the only image of a class is trained on.
        seed: Another seed gives another split.

    Returns:
        The indices of the training and of the validation images, both ascending.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"Expected a share between 0 and 1, both excluded. Received: validation_fraction={fraction}")
    labels = np.asarray(labels)
    digests = np.array(
        [hashlib.blake2b(f"{seed}/{name}".encode(errors="surrogateescape")).digest() for name in names],
        dtype="S64",
    )
    validation = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        validation[members[np.argsort(digests[members], kind="stable")[:count]]] = True
    return np.flatnonzero(~validation), np.flatnonzero(validation)
