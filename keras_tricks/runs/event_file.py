"""EventFile: the scalars in a file that TensorBoard's writers fill, read without TensorFlow."""

from __future__ import annotations

import functools
import importlib.util
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from keras_tricks.runs.growing_file import GrowingFile

EVENT_FILES = "events.out.tfevents.*"
MISSING = "Its TensorBoard files need the package tensorboard to be read: pip install 'keras-tricks[tensorboard]'"

_SMALL_BYTES = 512
"""Room for one scalar: the check sum of a longer record is looked at only if it holds some, for it takes a while."""
_LARGEST_BYTES = 256 * 1024
"""Longer records are graphs, images or profiles, and no scalars."""
_TYPED_VALUES = {1: ("float_val", "<f"), 2: ("double_val", "<d"), 3: ("int_val", "<i"), 9: ("int64_val", "<q")}
"""By the number of a tensor's type in `tensorflow.DataType`: where its value stands, and how it is packed."""


class Scalar(NamedTuple):
    """One logged number."""

    tag: str
    step: int
    t: float
    value: float


def can_read_event_files() -> bool:
    """Whether the package is there that knows the shape of the records."""
    return importlib.util.find_spec("tensorboard") is not None


class EventFile:
    """The scalars in a growing event file.

    A half-written last record waits for its end. One whose check sum is wrong is passed over and counted in `broken`;
    if it is the check sum of its length, nothing after it can be found.

    Args:
        path: The file.
    """

    def __init__(self, path: Path):
        self._file = GrowingFile(path)
        self._broken = 0
        self._is_lost = False

    @property
    def restarted(self) -> bool:
        """Whether the last reading began anew, with another file."""
        return self._file.restarted

    @property
    def broken(self) -> int:
        """How many records could not be read."""
        return self._broken + self._is_lost

    def read(self) -> Iterator[Scalar]:
        """Read what is new.

        Raises:
            OSError: The file cannot be read.
        """
        with self._file.open() as file:
            if self.restarted:
                self._broken = 0
            self._is_lost = False
            size = file.seek(0, 2)
            file.seek(self._file.offset)
            while record := self._next_record(file, size):
                yield from record.scalars

    def _next_record(self, file: BinaryIO, size: int) -> _Record | None:
        head = file.read(12)
        if len(head) < 12:
            return None
        length, check_sum = struct.unpack("<QI", head)
        if _masked_crc32c(head[:8]) != check_sum:
            self._is_lost = True
            return None
        end = self._file.offset + 12 + length + 4
        if end > size:
            return None
        if length > _LARGEST_BYTES:
            file.seek(end)
            record = _Record([], is_whole=True)
        else:
            data = file.read(length)
            record = _parse(data, struct.unpack("<I", file.read(4))[0])
        self._file.offset = end
        self._broken += not record.is_whole
        return record


class _Record(NamedTuple):
    scalars: list[Scalar]
    is_whole: bool


def _parse(data: bytes, check_sum: int) -> _Record:
    event_type, decode_error = _event_type()
    try:
        event = event_type.FromString(data)
    except decode_error:
        return _Record([], is_whole=False)
    scalars = []
    for value in event.summary.value:
        number = value.simple_value if value.WhichOneof("value") == "simple_value" else _number(value.tensor)
        if number is not None:
            scalars.append(Scalar(value.tag, event.step, event.wall_time, number))
    if (scalars or len(data) <= _SMALL_BYTES) and _masked_crc32c(data) != check_sum:
        return _Record([], is_whole=False)
    return _Record(scalars, is_whole=True)


def _number(tensor: Any) -> float | None:
    """The value of a tensor without dimensions; None for another one."""
    if tensor.tensor_shape.dim or tensor.dtype not in _TYPED_VALUES:
        return None
    field, packing = _TYPED_VALUES[tensor.dtype]
    if len(tensor.tensor_content) == struct.calcsize(packing):
        return float(struct.unpack(packing, tensor.tensor_content)[0])
    values = getattr(tensor, field)
    return float(values[0]) if len(values) == 1 else None


@functools.cache
def _event_type() -> tuple[Any, type[Exception]]:
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event

    return Event, DecodeError


def _masked_crc32c(data: bytes) -> int:
    """The check sum of a record: CRC-32C, rotated and shifted so that it may itself stand in a summed record."""
    table = _crc32c_table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _crc32c_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table
