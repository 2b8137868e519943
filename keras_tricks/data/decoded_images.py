"""DecodedImages: the pixels of a split's images in a file, so that a training need not decode them in every epoch."""

import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import tensorflow as tf

from keras_tricks.data.image_data_set import IndexedSplit, Split
from keras_tricks.data.preprocessing import decode

logger = logging.getLogger(__name__)

_FORMAT = 1
_AT_ONCE = 256
_SAMPLE = 256
_GIB = 1 << 30


class DecodedImages:
    """The pixels of all images of a split, in a file that is mapped into memory.

    Each image is decoded once, as a whole and in its full size, as in evaluation. Training sees the same pixels as
    without it, but for random parts of JPEG files, which are else decoded by themselves: 224 px of photographs differ
    by 0.0002 of 255 levels on average, by 7 at most at the border of a part. The file can be used by several trainings
    at once, whose memory it shares: the system keeps of it what there is room for. An image that could not be decoded
    has no pixels.

    Args:
        split: The images; labels are kept with them.
        sources: The files that they come from; one that is changed, added or removed makes another cache.
        directory: Where the cache lies, or is made.

    Raises:
        ValueError: It does not fit on the disk, or the directory cannot be used.
    """

    def __init__(self, split: Split, sources: Iterable[str | os.PathLike], directory: str | Path):
        folder = Path(directory).expanduser()
        key = _key(sources)
        self.path = folder / f"{key}.pixels"
        index = folder / f"{key}.npz"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _held(folder / f"{key}.lock", self.path):
                if not index.is_file() or not self.path.is_file():
                    _make(split, self.path, index)
            with np.load(index) as stored:
                shapes, labels = stored["shapes"], stored["labels"]
            self.bytes = self.path.stat().st_size
        except OSError as error:
            raise ValueError(f"The decoded images cannot be kept in {folder}: {error.strerror or error}.") from error
        sizes = 3 * shapes.prod(axis=1)
        if self.bytes != sizes.sum() or len(shapes) != split.size:
            raise ValueError(f"{self.path} is damaged. Remove it and {index.name}, and they are made again.")
        with tf.device("CPU:0"):
            self.labels = tf.constant(labels)
            self._shapes = tf.constant(np.pad(shapes, [(0, 0), (0, 1)], constant_values=3))
            self._offsets = tf.constant(np.cumsum(sizes) - sizes)
            self._pixels = tf.raw_ops.ImmutableConst(
                dtype=tf.uint8, shape=(self.bytes,), memory_region_name=str(self.path.resolve())
            )

    def has(self, place: tf.Tensor) -> tf.Tensor:
        """Return whether the image at a place of the split has pixels."""
        return tf.gather(self._shapes, place)[0] > 0

    def pixels(self, place: tf.Tensor) -> tf.Tensor:
        """Return the uint8 pixels (height, width, 3) of the image at a place of the split."""
        shape = tf.gather(self._shapes, place)
        flat = tf.slice(self._pixels, [tf.gather(self._offsets, place)], [tf.reduce_prod(shape)])
        return tf.ensure_shape(tf.reshape(flat, shape), (None, None, 3))

    def warnings(self) -> tuple[str, ...]:
        """Return a sentence to be shown to the user where the memory has no room for the file."""
        free = psutil.virtual_memory().available
        if self.bytes <= free:
            return ()
        return (
            f"The decoded images take {self.bytes / _GIB:.1f} GiB, and {free / _GIB:.1f} GiB of memory are free: those "
            "that do not fit are read from the disk in every epoch, which may be slower than decoding their files.",
        )


class DecodedSplit(IndexedSplit):
    """A split, or a part of one, whose images have been decoded.

    Args:
        decoded: The images.
        members: The places of those that belong to the split; None takes all.
    """

    def __init__(self, decoded: DecodedImages, members: np.ndarray | None = None):
        places = np.arange(len(decoded.labels)) if members is None else np.asarray(members)
        super().__init__(len(places))
        self.decoded = decoded
        with tf.device("CPU:0"):
            self.places = tf.constant(places, tf.int64)

    def read(self, item):
        """Return the pixels and the label of the image at an index."""
        place = tf.gather(self.places, item)
        return self.decoded.pixels(place), tf.gather(self.decoded.labels, place)


def _key(sources: Iterable[str | os.PathLike]) -> str:
    digest = hashlib.sha256(str(_FORMAT).encode())
    for source in sources:
        path = Path(source).resolve()
        try:
            found = path.stat()
            state = f"{found.st_size} {found.st_mtime_ns}"
        except OSError:
            state = "missing"
        digest.update(b"\0".join((os.fsencode(path), state.encode(), b"")))
    return f"decoded-{digest.hexdigest()[:16]}"


@contextmanager
def _held(lock: Path, what: Path) -> Iterator[None]:
    """Be the only one who makes a cache, for a `with` block."""
    with lock.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning("Waiting for another process, which makes %s.", what)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(split: Split, path: Path, index: Path) -> None:
    """Write the pixels, and then the index, which says that they are whole."""
    index.unlink(missing_ok=True)
    size = _expected_bytes(split)
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise ValueError(
            f"The {split.size} decoded images take about {size / _GIB:.1f} GiB, and {path.parent} has "
            f"{free / _GIB:.1f} GiB free. Choose a directory on another disk, or train without decoded_cache."
        )
    logger.warning("Decoding %d images into %s, once: about %.1f GiB.", split.size, path, size / _GIB)
    shapes, labels = [], []
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            for pixels, label in _decoded(split, split.ordered()):
                shapes.append(pixels.shape[:2])
                labels.append(label)
                file.write(pixels)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        np.savez(part, shapes=np.array(shapes, np.int64), labels=np.array(labels, np.int64))
        part.with_name(f"{part.name}.npz").replace(index)
    finally:
        part.unlink(missing_ok=True)


def _expected_bytes(split: Split) -> int:
    """Return about how large all pixels are, from images all over the split where it is found by an index."""
    items = split.ordered()
    if isinstance(split, IndexedSplit):
        items = items.shard(max(1, split.size // _SAMPLE), 0)
    sizes = [pixels.nbytes for pixels, _ in _decoded(split, items.take(_SAMPLE))]
    return round(split.size * sum(sizes) / max(1, len(sizes)))


def _decoded(split: Split, items: tf.data.Dataset) -> Iterator[tuple[np.ndarray, int]]:
    """Yield pixels and label of each item in order; no pixels where a file cannot be decoded."""

    def decode_one(item):
        with tf.device("CPU:0"):
            try:
                image, label = split.read(tf.constant(item))
                return decode(image).numpy(), int(label)
            except tf.errors.OpError:
                if isinstance(split, IndexedSplit):
                    return np.empty((0, 0, 3), np.uint8), -1
                raise

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for some in items.batch(_AT_ONCE).as_numpy_iterator():
            yield from pool.map(decode_one, some)
