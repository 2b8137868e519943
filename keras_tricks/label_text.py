"""Say in words what an image is labelled as."""

from __future__ import annotations

import numpy as np

SHOWN_SHARE = 0.005
"""Share of a label from which on it is named."""

_MOST_NAMES = 3


def label_text(shares: np.ndarray, class_names: tuple[str, ...]) -> str:
    """Return a label distribution in words: `cat`, or `cat .7 + dog .3` for a mixed one.

    Args:
        shares: Share of each class.
        class_names: Their names.
    """
    named = [index for index in np.argsort(-shares, kind="stable")[:_MOST_NAMES] if shares[index] >= SHOWN_SHARE]
    if len(named) == 1:
        return class_names[named[0]]
    return " + ".join(f"{class_names[index]} {f'{shares[index]:.2g}'.lstrip('0')}" for index in named)
