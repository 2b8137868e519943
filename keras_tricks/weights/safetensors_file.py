"""Read a .safetensors file without its package: names, shapes and types in JSON, then the numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

_TYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
_LARGEST_HEADER = 100_000_000
"""Bytes, as in the format's own reader."""


class SafetensorsFile(Mapping[str, np.ndarray]):
    """The tensors of a .safetensors file by their names, each read from the disk when it is looked at.

    It holds nothing but numbers, so no file can do harm.

    Args:
        path: The file.

    Raises:
        ValueError: If it is no such file, or is cut off.

    Example:

        kernel = SafetensorsFile("resnet18.safetensors")["conv1.weight"]

    Source: https://huggingface.co/docs/safetensors, section "Format".
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, _LARGEST_HEADER):
                raise self._error("its first eight bytes are not the length of a header")
            try:
                header = json.loads(file.read(length))
                header.pop("__metadata__", None)
                self._places = {name: _place(entry) for name, entry in header.items()}
            except (ValueError, AttributeError, KeyError, TypeError) as error:
                raise self._error(f"its header cannot be read, {type(error).__name__}: {error}") from error
        missing = max((end for *_, end in self._places.values()), default=0) - (size - 8 - length)
        if missing > 0:
            raise self._error(f"{missing} bytes are missing at its end")
        self._bytes = np.memmap(self.path, np.uint8, "r", offset=8 + length) if size > 8 + length else np.empty(0, "u1")

    def _error(self, what: str) -> ValueError:
        return ValueError(f"Expected a whole .safetensors file. Received: source={str(self.path)!r}, where {what}")

    def __getitem__(self, name: str) -> np.ndarray:
        dtype, shape, start, end = self._places[name]
        return self._bytes[start:end].view(dtype).reshape(shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _place(entry: dict[str, Any]) -> tuple[np.dtype, tuple[int, ...], int, int]:
    """Return type, shape, start and end of a tensor, checked against each other."""
    dtype, shape = np.dtype(_TYPES[entry["dtype"]]).newbyteorder("<"), tuple(entry["shape"])
    start, end = entry["data_offsets"]
    if start < 0 or end - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{entry} does not add up")
    return dtype, shape, start, end
