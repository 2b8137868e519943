"""Operations on one uint8 image (height, width, 3), pixel for pixel those of Pillow."""

import math

import numpy as np
import tensorflow as tf

GREY = 128
"""What fills the places for which the image has no pixel."""

_SMOOTHING = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
_LUMA_16_BIT = (19595, 38470, 7471)


def invert(image: tf.Tensor) -> tf.Tensor:
    """Return the negative."""
    return 255 - image


def posterize(image: tf.Tensor, bits: int) -> tf.Tensor:
    """Keep the highest `bits` bits of each value, from 1 to 8."""
    return tf.bitwise.bitwise_and(image, tf.constant(0xFF & (0xFF << (8 - bits)), tf.uint8))


def solarize(image: tf.Tensor, threshold: int) -> tf.Tensor:
    """Invert values of at least `threshold`; above 255 there are none."""
    if threshold > 255:
        return image
    # A where on bytes takes four times as long.
    return tf.bitwise.bitwise_xor(image, 255 * tf.cast(image >= threshold, tf.uint8))


def solarize_add(image: tf.Tensor, addition: int, threshold: int = 128) -> tf.Tensor:
    """Add `addition` to values below `threshold`, up to 255."""
    added = tf.minimum(255 - image, tf.constant(min(addition, 255), tf.uint8))
    return image + added * tf.cast(image < threshold, tf.uint8)


def brightness(image: tf.Tensor, factor: float) -> tf.Tensor:
    """Multiply each value by `factor`, up to 255; 1 is the image itself."""
    return _blend(0.0, image, factor)


def contrast(image: tf.Tensor, factor: float) -> tf.Tensor:
    """Move each value away from the image's mean grey level (`factor` > 1) or to it; 1 is the image itself."""
    levels = tf.reduce_sum(tf.cast(_grey(image), tf.int64))
    mean = tf.floor(tf.cast(levels, tf.float64) / tf.cast(tf.size(image) // 3, tf.float64) + 0.5)
    return _blend(tf.cast(mean, tf.float32), image, factor)


def autocontrast(image: tf.Tensor) -> tf.Tensor:
    """Stretch each channel so that its least value becomes 0 and its largest 255."""
    pixels = tf.reshape(image, [-1, 3])
    low, high = (tf.cast(reduce(pixels, 0), tf.float64) for reduce in (tf.reduce_min, tf.reduce_max))
    has_range = high > low
    scale = tf.where(has_range, 255.0 / tf.where(has_range, high - low, 1.0), 1.0)
    offset = tf.where(has_range, -low * scale, 0.0)
    # Pillow's order of the operations, in its precision: the results are cut, not rounded.
    width = tf.shape(image)[1]
    stretched = tf.cast(_rows(image), tf.float64) * tf.tile(scale, [width]) + tf.tile(offset, [width])
    return tf.reshape(tf.cast(tf.clip_by_value(stretched, 0.0, 255.0), tf.uint8), tf.shape(image))


def equalize(image: tf.Tensor) -> tf.Tensor:
    """Spread the values of each channel so that all become about equally frequent."""
    offsets = tf.tile(tf.constant([0, 256, 512]), [tf.shape(image)[1]])
    places = tf.cast(_rows(image), tf.int32) + offsets
    counts = tf.math.bincount(tf.reshape(places, [-1]), minlength=768, maxlength=768)
    counts = tf.reshape(counts, [3, 256])
    last = tf.reduce_max(tf.where(counts > 0, tf.range(256), 0), axis=1)
    step = ((tf.reduce_sum(counts, axis=1) - tf.gather(counts, last, batch_dims=1)) // 255)[:, None]
    below = tf.cumsum(counts, axis=1, exclusive=True)
    spread = tf.minimum((below + step // 2) // tf.maximum(step, 1), 255)
    table = tf.cast(tf.where(step > 0, spread, tf.range(256)), tf.uint8)
    return tf.reshape(tf.gather(tf.reshape(table, [-1]), places), tf.shape(image))


def color(image: tf.Tensor, factor: float) -> tf.Tensor:
    """Move each pixel away from its grey level (`factor` > 1) or to it; 1 is the image itself."""
    grey = tf.cast(_grey(image), tf.float32)
    return tf.reshape(_blend(tf.repeat(grey, 3, axis=1), _rows(image), factor), tf.shape(image))


def sharpness(image: tf.Tensor, factor: float) -> tf.Tensor:
    """Move each pixel away from the mean around it (`factor` > 1) or to it; 1 is the image itself."""
    kernel = tf.constant(np.repeat(_SMOOTHING[:, :, None, None], 3, axis=2), tf.float32)
    pixels = tf.cast(image, tf.float32)
    smooth = tf.floor(tf.nn.depthwise_conv2d(pixels[None], kernel, [1, 1, 1, 1], "VALID")[0] + 0.5)
    inside = _blend(smooth, pixels[1:-1, 1:-1], factor)
    # The pixels of the border have no full neighbourhood and stay.
    middle = tf.concat([image[1:-1, :1], inside, image[1:-1, -1:]], axis=1)
    return tf.concat([image[:1], middle, image[-1:]], axis=0)


def affine(image: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Take each pixel from the nearest one at the place that a matrix gives, grey where there is none.

    Args:
        image: The image.
        matrix: Six numbers (a, b, c, d, e, f): the pixel at (x, y) comes from (a x + b y + c, d x + e y + f), where
            the centre of the first pixel is at (0.5, 0.5).
    """
    a, b, c, d, e, f = tf.unstack(matrix)
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    x, y = tf.range(width, dtype=tf.float32) + 0.5, tf.range(height, dtype=tf.float32)[:, None] + 0.5
    columns, rows = (tf.cast(tf.floor(place), tf.int32) for place in (a * x + (b * y + c), d * x + (e * y + f)))
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    # A gather is three times as fast as TensorFlow's projective transform.
    pixels = tf.concat([tf.reshape(image, [-1, 3]), tf.fill([1, 3], tf.constant(GREY, tf.uint8))], axis=0)
    return tf.gather(pixels, tf.where(inside, rows * width + columns, height * width))


def translate(image: tf.Tensor, rows: tf.Tensor | float, columns: tf.Tensor | float) -> tf.Tensor:
    """Take each pixel from so many pixels below and to the right of it, grey where there is none.

    Args:
        image: The image.
        rows: How far below, rounded to whole pixels.
        columns: How far to the right, rounded too.
    """
    shift = tf.cast(tf.floor(tf.stack([rows, columns, 0.0]) + 0.5), tf.int32)
    after, before = tf.maximum(shift, 0), tf.maximum(-shift, 0)
    padded = tf.pad(image, tf.stack([before, after], axis=1), constant_values=tf.constant(GREY, tf.uint8))
    return tf.slice(padded, after, tf.shape(image))


def rotation(degrees: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Return the matrix that turns an image about its centre, against the clock."""
    angle = degrees * (math.pi / 180)
    cos, sin = tf.cos(angle), tf.sin(angle)
    x, y = tf.cast(width, tf.float32) / 2, tf.cast(height, tf.float32) / 2
    # A positive angle goes against the clock as y points down: x' = cos x - sin y, taken from the inverse.
    return tf.stack([cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y])


def cutout(image: tf.Tensor, half_side: int, row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
    """Fill a square with grey, as far as it lies in the image.

    Args:
        image: The image.
        half_side: Half of its side in pixels.
        row: Its centre's row.
        column: Its centre's column.
    """
    shape = tf.shape(image)
    rows, columns = tf.range(shape[0]), tf.range(shape[1])
    in_rows = (rows >= row - half_side) & (rows < row + half_side)
    in_columns = (columns >= column - half_side) & (columns < column + half_side)
    inside = in_rows[:, None] & tf.repeat(in_columns, 3)
    return tf.reshape(tf.where(inside, tf.constant(GREY, tf.uint8), _rows(image)), shape)


def _rows(image: tf.Tensor) -> tf.Tensor:
    """Return the image as (height, width * 3): broadcasts along rows are several times as fast."""
    shape = tf.shape(image)
    return tf.reshape(image, [shape[0], 3 * shape[1]])


def _grey(image: tf.Tensor) -> tf.Tensor:
    """Return Pillow's grey levels (height, width), int32."""
    red, green, blue = (tf.cast(image[..., channel], tf.int32) * _LUMA_16_BIT[channel] for channel in range(3))
    return tf.bitwise.right_shift(red + green + blue + 0x8000, 16)


def _blend(first: tf.Tensor | float, second: tf.Tensor, factor: float) -> tf.Tensor:
    """Return `first + factor * (second - first)`, cut to whole numbers from 0 to 255."""
    blended = first + factor * (tf.cast(second, tf.float32) - first)
    return tf.cast(tf.clip_by_value(blended, 0.0, 255.0), tf.uint8)
