"""RandAugment: a few operations for each image, drawn from sixteen, all of one magnitude."""

from dataclasses import dataclass
from functools import partial

import tensorflow as tf

from keras_tricks.data import image_operations

LARGEST_LEVEL = 10
"""The magnitude at which the operations have the strength that they are defined by."""

OPERATIONS = (
    "AutoContrast",
    "Equalize",
    "Invert",
    "Rotate",
    "Posterize",
    "Solarize",
    "Color",
    "Contrast",
    "Brightness",
    "Sharpness",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Cutout",
    "SolarizeAdd",
)
"""The sixteen, in the published order."""

_PLAIN = {
    "AutoContrast": image_operations.autocontrast,
    "Equalize": image_operations.equalize,
    "Invert": image_operations.invert,
}
_ENHANCING = {
    "Color": image_operations.color,
    "Contrast": image_operations.contrast,
    "Brightness": image_operations.brightness,
    "Sharpness": image_operations.sharpness,
}

_NUMBERS_OF_LAYER = 3


@dataclass(frozen=True)
class RandAugment:
    """Apply so many operations to an image, each drawn by itself from the sixteen published ones.

    With m = magnitude / 10 the operations are: AutoContrast; Equalize; Invert; Rotate by 30 m degrees; Posterize to
    4 m bits (from 1 to 8); Solarize from 256 m; SolarizeAdd 110 m; Color, Contrast, Brightness and Sharpness by the
    factor 1.8 m + 0.1; ShearX and ShearY by 0.3 m; TranslateX and TranslateY by 100 m pixels; Cutout of a square of
    80 m pixels. Rotate, Shear and Translate take either direction. Places without a pixel become grey. It is called as
    `(image, uniforms) -> image` with one uint8 image (height, width, 3) and `random_numbers` numbers in [0, 1).

    Args:
        layers: Number of operations for an image; 0 changes nothing.
        magnitude: Their strength, from 0 to 30.
        translate_pixels: Length of a translation at magnitude 10, in pixels; 100 as published for large images.
        cutout_pixels: Half of the side of the square at magnitude 10, in pixels; 40 as published.

    Example:
        >>> augmented = RandAugment(4, 5)(image, tf.random.uniform([12]))

    Source: Cubuk et al. 2019, arXiv 1909.13719; operations and magnitudes as in the code of Brock et al. 2021,
    arXiv 2102.06171, with Pillow's Contrast and Color where that code's grey levels are other ones.
    """

    layers: int = 2
    magnitude: float = 10
    translate_pixels: float = 100
    cutout_pixels: float = 40

    def __post_init__(self):
        if self.layers < 0:
            raise ValueError(f"Expected at least 0 operations. Received: layers={self.layers}")
        if not 0 <= self.magnitude <= 30:
            raise ValueError(f"Expected a number from 0 to 30. Received: magnitude={self.magnitude}")
        for name in ("translate_pixels", "cutout_pixels"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"Expected at least 0 pixels. Received: {name}={getattr(self, name)}")

    @property
    def random_numbers(self) -> int:
        """Three for each operation: which one, and two of its own."""
        return _NUMBERS_OF_LAYER * self.layers

    def __call__(self, image: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        """Return the image after all its operations."""
        numbers = tf.unstack(tf.reshape(uniforms, [self.layers, _NUMBERS_OF_LAYER]))
        for which, first, second in map(tf.unstack, numbers):
            operation = tf.cast(which * len(OPERATIONS), tf.int32)
            branches = [partial(self.operation, name, image, first, second) for name in OPERATIONS]
            image = tf.ensure_shape(tf.switch_case(operation, branches), image.shape)
        return image

    def operation(self, name: str, image: tf.Tensor, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """Return what one operation makes of an image.

        Args:
            name: One of `OPERATIONS`.
            image: The image.
            first: Random number in [0, 1): the direction, or the row of the cutout.
            second: Random number in [0, 1): the column of the cutout.
        """
        level = self.magnitude / LARGEST_LEVEL
        if name in _PLAIN:
            return _PLAIN[name](image)
        if name in _ENHANCING:
            return _ENHANCING[name](image, level * 1.8 + 0.1)
        if name == "Posterize":
            return image_operations.posterize(image, min(max(int(level * 4), 1), 8))
        if name == "Solarize":
            return image_operations.solarize(image, int(level * 256))
        if name == "SolarizeAdd":
            return image_operations.solarize_add(image, int(level * 110))
        height, width = tf.shape(image)[0], tf.shape(image)[1]
        if name == "Cutout":
            row, column = (
                tf.cast(number * tf.cast(size, tf.float32), tf.int32)
                for number, size in ((first, height), (second, width))
            )
            return image_operations.cutout(image, int(self.cutout_pixels * level), row, column)
        strength = tf.where(first < 0.5, level, -level)
        if name == "Rotate":
            return image_operations.affine(image, image_operations.rotation(30 * strength, height, width))
        if name == "TranslateX":
            return image_operations.translate(image, 0.0, self.translate_pixels * strength)
        if name == "TranslateY":
            return image_operations.translate(image, self.translate_pixels * strength, 0.0)
        across, along = (0.3 * strength, 0.0) if name == "ShearX" else (0.0, 0.3 * strength)
        return image_operations.affine(image, tf.stack([1.0, across, 0.0, along, 1.0, 0.0]))
