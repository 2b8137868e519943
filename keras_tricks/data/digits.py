"""The 1,797 handwritten digits that scikit-learn carries: real images without a download."""

import numpy as np

from keras_tricks.data.image_data_set import ArraySplit, ImageDataSet
from keras_tricks.data_facts import data_facts

VALIDATION_EVERY = 5


def load_digits() -> ImageDataSet:
    """Load the digits with their fixed split: 1,437 images to train on, 360 to validate on.

    Sorted by class, every fifth image is for validation; the split has no seed. The grey levels
    0..16 become 0..255, in three equal channels.

    Source: Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI repository,
    the test part.
    """
    from sklearn import datasets

    digits = datasets.load_digits()
    order = np.argsort(digits.target, kind="stable")
    pixels = np.round(digits.images[order] * (255 / 16)).astype(np.uint8)
    images, labels = np.repeat(pixels[..., None], 3, axis=-1), digits.target[order]
    held_out = np.arange(len(order)) % VALIDATION_EVERY == 0
    return ImageDataSet(
        name="digits",
        class_names=tuple(str(name) for name in digits.target_names),
        train=ArraySplit(images[~held_out], labels[~held_out]),
        validation=ArraySplit(images[held_out], labels[held_out]),
        facts=data_facts("digits"),
    )
