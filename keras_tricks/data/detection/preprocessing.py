"""From an image and its boxes to what a detector sees, for training and for evaluation."""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from keras_tricks.data.color import ColorTransform
from keras_tricks.data.placed_preprocessing import PlacedPreprocessing
from keras_tricks.data.placement import Placement, random_placement
from keras_tricks.data.preprocessing import decode

PADDING = -1
"""Coordinates and label of the boxes that fill up the places of an image, as keras-hub has them."""

Targets = dict[str, tf.Tensor]


@dataclass(frozen=True, kw_only=True)
class DetectionPreprocessing(PlacedPreprocessing):
    """Scale, crop and mirror an image with its boxes for training; fit whole images for evaluation.

    Evaluation: the image is resized, with its aspect kept, to fit into a square of `image_size`, in whose left top
    corner it lies. Training: that size is multiplied by a random scale; a random part of what is larger than the square
    is cut out, what is smaller gets a random place in it. A box stays if its centre does, if only on the border of the
    square, at which it is cut off; it goes if less than a pixel of its width or height is left. Added pixels have the
    mean colour.

    Args:
        image_size: Side of the square images, in pixels.
        scales: Least and largest scale of a training image, each as likely.
        flip: Mirror a training image left to right with probability one half.
        mean: Mean of the red, green and blue channels on the scale 0..255.
        std: Standard deviation of the channels on the same scale.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> DetectionPreprocessing(image_size=512, scales=(0.8, 1.25))

    Source: Liu et al. 2016, arXiv 1512.02325, section 2.2, for boxes that stay where their centre does; Ghiasi et al.
    2021, arXiv 2012.07177, section 3, for scaling and cropping.
    """

    def augment(
        self, image: tf.Tensor, targets: Targets, uniforms: tf.Tensor, colors: tuple[ColorTransform, ...] = ()
    ) -> tuple[tf.Tensor, Targets]:
        """Return a training image (image_size, image_size, 3) and the objects that are left on it.

        Args:
            image: uint8 pixels (height, width, 3), or a string scalar with the encoded file.
            targets: `boxes` (n, 4), the left, top, right and bottom in pixels, and other tensors (n, ...).
            uniforms: `random_numbers` random numbers in [0, 1), and those of `colors`.
            colors: What happens to the colours of the image.
        """
        pixels = decode(image)
        size, shape = (self.image_size, self.image_size), tf.shape(pixels)
        placement = random_placement(shape, size, uniforms, self.scales, self._fit(shape), self.flip)
        boxes = placement.boxes(targets["boxes"])
        side = float(self.image_size)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        clipped = tf.clip_by_value(boxes, 0.0, side)
        stays = tf.reduce_all((centres >= 0) & (centres <= side) & (clipped[:, 2:] - clipped[:, :2] >= 1), axis=1)
        kept = {name: tf.boolean_mask(value, stays) for name, value in (targets | {"boxes": clipped}).items()}
        return self._square(pixels, placement, colors, uniforms[self.random_numbers :]), kept

    def prepare(self, image: tf.Tensor, targets: Targets) -> tuple[tf.Tensor, Targets]:
        """Return an evaluation image (image_size, image_size, 3) and all its objects, in the pixels of that image."""
        pixels = decode(image)
        size = tf.fill([2], self.image_size)
        placement = Placement(self._fit(tf.shape(pixels)), tf.zeros(2), size, tf.constant(False))
        return self._square(pixels, placement), targets | {"boxes": placement.boxes(targets["boxes"])}

    def _fit(self, shape: tf.Tensor) -> tf.Tensor:
        return self.image_size / tf.cast(tf.reduce_max(shape[:2]), tf.float32)

    def _square(self, pixels: tf.Tensor, *placed: Any) -> tf.Tensor:
        return tf.ensure_shape(self.placed(pixels, *placed), (self.image_size, self.image_size, 3))


def pad_targets(targets: Targets, count: int) -> Targets:
    """Fill up the objects of an image to a fixed number.

    Args:
        targets: `boxes` (n, 4) in float32, `labels` (n,) in int32, `weights` (n,) in float32 and `difficult` (n,).
        count: The number, at least n.

    Returns:
        The same with `count` for n: boxes and labels of -1, weights of 0.
    """
    fills = {"boxes": PADDING, "labels": PADDING, "weights": 0, "difficult": False}
    padded = {}
    for name, value in targets.items():
        free = [[0, count - tf.shape(value)[0]]] + [[0, 0]] * (value.shape.rank - 1)
        filled = tf.pad(value, free, constant_values=tf.cast(fills[name], value.dtype))
        padded[name] = tf.ensure_shape(filled, (count, *value.shape[1:]))
    return padded
