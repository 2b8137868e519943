"""Put an image onto a canvas, scaled, moved and mirrored, and what belongs to it - a mask, boxes - with it."""

from typing import NamedTuple

import tensorflow as tf

PLACEMENT_NUMBERS = 4
"""How many random numbers a random placement takes: one for the scale, two for the place, one for the mirror."""


class Placement(NamedTuple):
    """Where the pixels of an image come to lie on a canvas.

    The place `p` in the image, in pixels from its corner, comes to `scale * p + offset`, and is then mirrored within
    the canvas.

    Args:
        scale: Pixels of the canvas for each pixel of the image, float32 scalar.
        offset: Row and column of the image's corner on the canvas, float32 tensor of shape (2,).
        size: Height and width of the canvas in pixels, int32 tensor of shape (2,).
        mirrored: Whether the canvas is mirrored left to right, bool scalar.
    """

    scale: tf.Tensor
    offset: tf.Tensor
    size: tf.Tensor
    mirrored: tf.Tensor

    def image(self, pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the canvas, resized bilinearly with antialiasing, and where on it the image is.

        Args:
            pixels: uint8 or float32 pixels (height, width, channels).

        Returns:
            A float32 tensor (rows, columns, channels), zero outside of the image, and a bool tensor (rows, columns).
        """
        scale = tf.fill([2], self.scale)
        canvas = tf.raw_ops.ScaleAndTranslate(
            images=pixels[None],
            size=self.size,
            scale=scale,
            translation=self.offset,
            kernel_type="triangle",
            antialias=True,
        )[0]
        canvas = tf.cond(self.mirrored, lambda: tf.reverse(canvas, [1]), lambda: canvas)
        _, inside = self._sources(tf.shape(pixels))
        return tf.where(inside[..., None], canvas, 0.0), inside

    def mask(self, mask: tf.Tensor, fill: int) -> tf.Tensor:
        """Return the canvas with the value of the nearest pixel of a mask (height, width), `fill` where there is none.

        The nearest pixel is the one that the middle of the canvas's pixel falls into.
        """
        (rows, columns), inside = self._sources(tf.shape(mask))
        placed = tf.gather(tf.gather(mask, rows), columns, axis=1)
        return tf.where(inside, placed, tf.cast(fill, mask.dtype))

    def boxes(self, boxes: tf.Tensor) -> tf.Tensor:
        """Return where boxes come to lie; they may reach beyond the canvas.

        Args:
            boxes: Left, top, right and bottom in pixels, float32 of shape (..., 4).
        """
        left, top, right, bottom = tf.unstack(boxes * self.scale + tf.tile(self.offset[::-1], [2]), axis=-1)
        width = tf.cast(self.size[1], tf.float32)
        left, right = tf.where(self.mirrored, width - right, left), tf.where(self.mirrored, width - left, right)
        return tf.stack([left, top, right, bottom], axis=-1)

    def _sources(self, shape: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Return the row and the column of the image that each of the canvas's shows, and where there is one."""
        sources, insides = [], []
        for axis in range(2):
            places = tf.range(self.size[axis])
            if axis == 1:
                places = tf.where(self.mirrored, places[::-1], places)
            source = (tf.cast(places, tf.float32) + 0.5 - self.offset[axis]) / self.scale
            source = tf.cast(tf.floor(source), tf.int32)
            insides.append((source >= 0) & (source < shape[axis]))
            sources.append(tf.clip_by_value(source, 0, shape[axis] - 1))
        return sources, insides[0][:, None] & insides[1]


def random_placement(
    shape: tf.Tensor,
    size: tuple[int, int],
    uniforms: tf.Tensor,
    scales: tuple[float, float],
    base: tf.Tensor | float = 1.0,
    flip: bool = True,
) -> Placement:
    """Choose a random scale, a random part of what is larger than the canvas, a random place for what is smaller.

    Args:
        shape: Height and width of the image in pixels, the first two numbers of an int32 tensor.
        size: Height and width of the canvas in pixels.
        uniforms: `PLACEMENT_NUMBERS` random numbers in [0, 1).
        scales: Least and largest scale, of which each is as likely.
        base: What the scale is a multiple of.
        flip: Whether the image is mirrored with probability one half.
    """
    scale = tf.cast(base, tf.float32) * (scales[0] + uniforms[0] * (scales[1] - scales[0]))
    free = tf.constant(size, tf.float32) - tf.cast(shape[:2], tf.float32) * scale
    # Whole pixels, so that an image at its own scale is copied as it is.
    offset = tf.round(uniforms[1:3] * free)
    return Placement(scale, offset, tf.constant(size, tf.int32), (uniforms[3] < 0.5) & flip)
