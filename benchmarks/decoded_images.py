"""Measure what it would save to keep decoded photographs smaller, or in tf.data's own cache, as images per core.

    python benchmarks/decoded_images.py FOLDER --rounds 5 --images 1200

Each source of pixels feeds the same training pipeline, a random area of 224 px and its mirror, in alternating rounds.
Times are those of the processor, so that other programs on the machine count little.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_tricks import data
from keras_tricks.data.decoded_images import DecodedImages, DecodedSplit
from keras_tricks.data.image_data_set import Split
from keras_tricks.data.image_folder import FileSplit
from keras_tricks.data.preprocessing import decode

BATCH, WARMUP_BATCHES = 40, 10
PREPROCESSING = data.ImageNetPreprocessing(image_size=224)


class SmallerSplit(FileSplit):
    """Image files that are shrunk once they are decoded.

    Args:
        paths: The files.
        short_side: The shorter of height and width that an image has then, in pixels, if it had more.
    """

    def __init__(self, paths: list[Path], short_side: int):
        super().__init__(paths, np.zeros(len(paths), np.int64))
        self.short_side = short_side

    def read(self, item):
        """Return the pixels of the file at an index, and its label."""
        encoded, label = super().read(item)
        pixels = decode(encoded)
        shape = tf.cast(tf.shape(pixels)[:2], tf.float32)
        scale = tf.minimum(1.0, self.short_side / tf.reduce_min(shape))
        size = tf.cast(tf.round(scale * shape), tf.int32)
        shrunk = tf.image.resize(pixels, size, method="area")
        return tf.cast(tf.round(shrunk), tf.uint8), label


def images_of(split: Split, cached: bool = False) -> tf.data.Dataset:
    """Return the images of a split over and over, as they are read, or decoded and cached in memory."""
    images = tf.data.Dataset.range(split.size)
    if not cached:
        return images.repeat().map(lambda item: split.read(item)[0], num_parallel_calls=2)
    return images.map(lambda item: decode(split.read(item)[0]), num_parallel_calls=2).cache().repeat()


def batches_of(images: tf.data.Dataset) -> tf.data.Dataset:
    """Return the training batches that a source of images gives."""

    def augment(image):
        return PREPROCESSING.augment(image, tf.random.uniform([PREPROCESSING.random_numbers]))

    return images.map(augment, num_parallel_calls=2).batch(BATCH).prefetch(2)


def images_per_core(batches: tf.data.Dataset, images: int, decoded: int) -> float:
    """Return images a second of processor time, of so many after those that may fill a cache."""
    iterator = iter(batches)
    for _ in range(max(WARMUP_BATCHES, -(-decoded // BATCH))):
        next(iterator)
    start = time.process_time()
    for _ in range(images // BATCH):
        next(iterator)
    return images // BATCH * BATCH / (time.process_time() - start)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder of JPEG files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=1200)
    arguments = parser.parse_args()
    paths = sorted(arguments.folder.iterdir())
    files = FileSplit(paths, np.zeros(len(paths), np.int64))
    with tempfile.TemporaryDirectory() as folder:
        mapped = {
            name: DecodedSplit(DecodedImages(split, paths, Path(folder) / name))
            for name, split in (
                ("full size (`decoded_cache`)", files),
                ("short side 320", SmallerSplit(paths, 320)),
                ("short side 256", SmallerSplit(paths, 256)),
            )
        }
        sources = {
            "the JPEG file, of which only the part is decoded": images_of(files),
            **{f"a mapped file, {name}": images_of(split) for name, split in mapped.items()},
            "`tf.data`'s `cache()` in memory, full size": images_of(files, cached=True),
        }
        batches = {name: batches_of(images) for name, images in sources.items()}
        found: dict[str, list[float]] = {name: [] for name in batches}
        for _ in range(arguments.rounds):
            for name, each in batches.items():
                found[name].append(images_per_core(each, arguments.images, len(paths)))
        print(f"| where the pixels come from | images per core, median of n={arguments.rounds} | lowest to highest |")
        print("|---|---:|---:|")
        for name, rates in found.items():
            print(f"| {name} | {np.median(rates):.0f} | {min(rates):.0f} to {max(rates):.0f} |")
        for name, split in mapped.items():
            print(f"{name}: {split.decoded.bytes / len(paths) / 1000:.0f} KB an image")


if __name__ == "__main__":
    main()
