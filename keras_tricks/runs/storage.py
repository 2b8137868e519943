"""Write files so that a full disk, a kill or a removed directory leaves no half of one under its name."""

from __future__ import annotations

import errno
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_TEMPORARY_NAME = re.compile(r"\.(\d+)(?:-\d+)?\..+")
_WAYS_OUT = {
    errno.ENOSPC: "Make room there",
    errno.EDQUOT: "Make room in your quota there",
    errno.EFBIG: "Raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "Make the file system writable again",
}


class StorageError(OSError):
    """A file of a training cannot be written; the message names it, says why, and names the way out."""


@contextmanager
def storing(path: Path, then: str = ", then go on from the last checkpoint") -> Iterator[Path]:
    """Turn what goes wrong while `path` is written into a `StorageError` that names it.

    Args:
        path: The file.
        then: What to do after the way out. Defaults to what goes for a file of a training.
    """
    try:
        yield path
    except StorageError:
        raise
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        way_out = _WAYS_OUT.get(error.errno or 0, "Make it writable again")
        raise StorageError(f"{reason}, so {path} cannot be written. {way_out}{then}.") from error


def temporary_path(path: Path) -> Path:
    """Return the hidden name, with the same ending, under which this thread writes `path` before it replaces it."""
    return path.with_name(f".{os.getpid()}-{threading.get_ident()}.{path.name}")


def write_atomically(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Write `content` so that a reader sees either the old file or the new one.

    Args:
        path: The file.
        content: What to write.
        durable: Wait until it is on the disk, so that a crash of the machine keeps it too. Defaults to True.
    """
    temporary = temporary_path(path)
    data = content.encode() if isinstance(content, str) else content
    try:
        with temporary.open("wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_with_folder(path: Path, content: str | bytes) -> Path:
    """Write a file that a user asked for, and the folder that it stands in.

    Args:
        path: The file.
        content: What to write.

    Returns:
        The file.

    Raises:
        StorageError: It cannot be written.
    """
    with storing(path, then=""):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    return path


def append(path: Path, data: bytes) -> None:
    """Append `data` to a file, whole or not at all; in one write, unless the disk is full."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    written = 0
    try:
        while written < len(data):
            written += os.write(descriptor, data[written:])
    except OSError:
        end = os.lseek(descriptor, 0, os.SEEK_CUR)
        if written and os.fstat(descriptor).st_size == end:
            os.ftruncate(descriptor, end - written)
        raise
    finally:
        os.close(descriptor)


def require_room(path: Path, size: int) -> None:
    """Raise `OSError` now if a file of `size` bytes does not fit at `path`.

    HDF5 does not survive a disk that fills up while it writes: it may crash the process.
    """
    if not hasattr(os, "posix_fallocate"):
        if shutil.disk_usage(path.parent).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return
    temporary = temporary_path(path)
    try:
        with temporary.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files in `directory` whose process was killed while it wrote them."""
    if not directory.is_dir():
        return
    for path in directory.iterdir():
        name = _TEMPORARY_NAME.fullmatch(path.name)
        if name and (int(name[1]) == os.getpid() or not psutil.pid_exists(int(name[1]))):
            path.unlink(missing_ok=True)


def cannot_write(path: str | Path, error: OSError) -> str:
    """Return what to say where a run's directory cannot be made or opened for writing."""
    return f"Cannot write to {path}: {error.strerror or error}. Name another place for runs, or make room there."
