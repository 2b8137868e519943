"""Random changes of an image's colours that are linear in its pixels: colour jitter and PCA noise.

Each gives a 3x3 matrix and an offset for every image, so any number of them, and the normalisation after them, is one
product for each pixel. Nothing is clipped in between, as in the original, which works on floating point pixels.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

LUMA = np.array([0.299, 0.587, 0.114])
"""Shares of red, green and blue in the grey level of a pixel."""

_YIQ = np.array([LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_EIGENVALUES = np.array([55.46, 4.794, 1.148])
_EIGENVECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


@dataclass(frozen=True)
class ColorTransform(ABC):
    """Base of the transforms `pixel @ matrix + offset` on the scale 0..255, with a draw for each image."""

    @property
    @abstractmethod
    def random_numbers(self) -> int:
        """How many uniform numbers in [0, 1) one image needs."""

    @abstractmethod
    def matrix_and_offset(self, uniforms: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the matrices (..., 3, 3) and offsets (..., 3) for random numbers (..., random_numbers)."""


@dataclass(frozen=True)
class ColorJitter(ColorTransform):
    """Rotate the hue and scale saturation and brightness, each by a random coefficient.

    Saturation and brightness are scaled by a number in [1 - s, 1 + s]; the hue is turned in the YIQ plane by an angle
    in [-h, h] * 180 degrees. Grey stays grey, and hue and saturation leave the grey level as it is, so the order of
    the three does not matter.

    Args:
        hue: Largest turn, as a share of half a turn, from 0 to 1.
        saturation: Largest change of the factor of the saturation, from 0 to 1.
        brightness: Largest change of the factor of the brightness, from 0 to 1.

    Source: He et al. 2018, "Bag of Tricks for Image Classification with CNNs", section 2.1; the linear hue as in
    MXNet's `image.HueJitterAug`.
    """

    hue: float = 0.4
    saturation: float = 0.4
    brightness: float = 0.4

    def __post_init__(self):
        for name in ("hue", "saturation", "brightness"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"Expected a number from 0 to 1. Received: {name}={getattr(self, name)}")

    @property
    def random_numbers(self) -> int:
        """Three: of the hue, the saturation and the brightness."""
        return 3

    def matrix_and_offset(self, uniforms):
        """Return matrices and offsets; see `ColorTransform.matrix_and_offset`."""
        strengths = tf.constant([self.hue, self.saturation, self.brightness], tf.float32)
        changes = strengths * (2.0 * uniforms - 1.0)
        angle = math.pi * changes[..., 0, None, None]
        saturation, brightness = (1.0 + changes[..., index, None, None] for index in (1, 2))
        # turn = kept + cos * even + sin * odd, with the plane of the colours turned and the grey axis kept.
        to_yiq, from_yiq = _YIQ.T, np.linalg.inv(_YIQ).T
        planes = (
            np.diag([1.0, 0.0, 0.0]),
            np.diag([0.0, 1.0, 1.0]),
            np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
        )
        kept, even, odd = (tf.constant(to_yiq @ plane @ from_yiq, tf.float32) for plane in planes)
        matrix = brightness * (kept + saturation * (tf.cos(angle) * even + tf.sin(angle) * odd))
        return matrix, tf.zeros_like(matrix[..., 0])


@dataclass(frozen=True)
class PcaNoise(ColorTransform):
    """Add to all pixels of an image one random colour along the principal components of ImageNet's colours.

    The colour is the sum of the components, each times its eigenvalue and a number from N(0, std).

    Args:
        std: Standard deviation of the numbers; 0 changes nothing.

    Source: Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural Networks", section 4.1.
    """

    std: float = 0.1

    def __post_init__(self):
        if not 0 <= self.std < float("inf"):
            raise ValueError(f"Expected a number of at least 0. Received: std={self.std}")

    @property
    def random_numbers(self) -> int:
        """Three, one for each component."""
        return 3

    def matrix_and_offset(self, uniforms):
        """Return matrices and offsets; see `ColorTransform.matrix_and_offset`."""
        # The uniform numbers are multiples of 2 ** -23; the middle between two of them is never 0 or 1.
        normal = tf.math.ndtri(uniforms + 2.0**-24)
        components = tf.constant(self.std * _EIGENVALUES[:, None] * _EIGENVECTORS.T, tf.float32)
        offset = tf.reduce_sum(normal[..., None] * components, axis=-2)
        return tf.broadcast_to(tf.eye(3), tf.concat([tf.shape(offset), [3]], 0)), offset


def color_map(transforms: tuple[ColorTransform, ...], uniforms: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return matrices (..., 3, 3) and offsets (..., 3) of several transforms in turn.

    Args:
        transforms: The transforms, at least one.
        uniforms: Random numbers (..., n) in [0, 1), for the transforms in their order.
    """
    counts = [transform.random_numbers for transform in transforms]
    parts = tf.split(uniforms, counts, axis=-1)
    matrix, offset = transforms[0].matrix_and_offset(parts[0])
    for transform, part in zip(transforms[1:], parts[1:], strict=True):
        next_matrix, next_offset = transform.matrix_and_offset(part)
        matrix = matrix @ next_matrix
        offset = tf.linalg.matvec(next_matrix, offset, transpose_a=True) + next_offset
    return matrix, offset


def map_colors(images: tf.Tensor, matrix: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Return `pixel @ matrix + offset` for every pixel.

    Args:
        images: Pixels (..., height, width, 3).
        matrix: Matrices (..., 3, 3), one for each image.
        offset: Offsets (..., 3).

    Returns:
        float32 pixels of the same shape.
    """
    shape = tf.shape(images)
    leading, width = shape[:-3], shape[-2]
    pixels = tf.reshape(tf.cast(images, tf.float32), tf.concat([leading, [-1, 3]], 0))
    # A broadcast along the rows is several times as fast as one along the three channels.
    row = tf.repeat(offset[..., None, :], width, axis=-2)
    rows = tf.reshape(pixels @ matrix, tf.concat([leading, [-1, 3 * width]], 0))
    rows += tf.reshape(row, tf.concat([leading, [1, 3 * width]], 0))
    return tf.ensure_shape(tf.reshape(rows, shape), images.shape)
