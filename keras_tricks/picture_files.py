"""Write pictures as PNG files."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from keras_tricks.runs.storage import write_with_folder


def write_picture(picture: np.ndarray, path: Path) -> Path:
    """Write a picture as a PNG file, and the folder that it stands in.

    Args:
        picture: uint8 (height, width, 3).
        path: The file.

    Returns:
        The file.

    Raises:
        StorageError: It cannot be written.
    """
    content = BytesIO()
    Image.fromarray(picture).save(content, format="PNG")
    return write_with_folder(path, content.getvalue())
