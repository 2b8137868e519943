"""What happens to each training image, in its order: crop and mirror, colours, [mixing of the batch,] RandAugment.

The normalisation comes last; where nothing needs whole pixel values after the colours, it is part of their product.
Each transform has random numbers of its own, so that another one more or less leaves its draws as they were.
"""

import zlib
from dataclasses import dataclass

import tensorflow as tf

from keras_tricks.data.color import ColorTransform, color_map, map_colors
from keras_tricks.data.preprocessing import Preprocessing, SmallImagePreprocessing
from keras_tricks.data.rand_augment import RandAugment


@dataclass(frozen=True)
class Augmentation:
    """What happens to each training image before and after the mixing.

    Args:
        preprocessing: How an image is cropped, mirrored and normalised.
        image_transforms: What else happens to it: a `ColorTransform` before the mixing, a `RandAugment` after it.
    """

    preprocessing: Preprocessing
    image_transforms: tuple[ColorTransform | RandAugment, ...] = ()

    @property
    def colors(self) -> tuple[ColorTransform, ...]:
        """The transforms of the colours."""
        return tuple(transform for transform in self.image_transforms if isinstance(transform, ColorTransform))

    @property
    def operations(self) -> tuple[RandAugment, ...]:
        """The transforms that take whole pixel values, after the mixing."""
        return tuple(transform for transform in self.image_transforms if not isinstance(transform, ColorTransform))

    def numbers_before_mixing(self, seed: tf.Tensor, count: int) -> tf.Tensor:
        """Return what `before_mixing` needs for `count` images: random numbers (count, n) in [0, 1)."""
        shape = (count, self.preprocessing.random_numbers)
        crop = tf.random.stateless_uniform(shape, seed, alg="philox")
        return tf.concat([crop, *own_numbers(self.colors, seed, count)], axis=-1)

    def numbers_after_mixing(self, seed: tf.Tensor, count: int) -> tf.Tensor:
        """Return what `after_mixing` needs for `count` images: random numbers (count, n) in [0, 1)."""
        return tf.concat(own_numbers(self.operations, seed, count), axis=-1)

    def before_mixing(self, image: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        """Return an image for the mixing: normalised, or on the scale 0..255 where `after_mixing` does that.

        Args:
            image: uint8 pixels (height, width, 3), or a string scalar with the encoded file.
            uniforms: Its row of `numbers_before_mixing`.
        """
        numbers = self.preprocessing.random_numbers
        pixels = self.preprocessing.augment_pixels(image, uniforms[:numbers])
        return self._recolored(pixels, uniforms[numbers:])

    def batch_before_mixing(self, images: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        """Return images for the mixing, as `before_mixing` does, from small images (batch, height, width, 3)."""
        assert isinstance(self.preprocessing, SmallImagePreprocessing)
        numbers = self.preprocessing.random_numbers
        pixels = self.preprocessing.augment_batch_pixels(images, uniforms[:, :numbers])
        return self._recolored(pixels, uniforms[:, numbers:])

    def whole_pixels(self, images: tf.Tensor) -> tf.Tensor:
        """Return images on the scale 0..255 as uint8, rounded."""
        if images.dtype == tf.uint8:
            return images
        return tf.cast(tf.clip_by_value(tf.round(images), 0.0, 255.0), tf.uint8)

    def after_mixing(self, image: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        """Return a normalised image.

        Args:
            image: uint8 pixels (image_size, image_size, 3).
            uniforms: Its row of `numbers_after_mixing`.
        """
        counts = [transform.random_numbers for transform in self.operations]
        for transform, numbers in zip(self.operations, tf.split(uniforms, counts, axis=-1), strict=True):
            image = transform(image, numbers)
        return self.preprocessing.normalise(image)

    def without_mixing(self, image: tf.Tensor, uniforms: tf.Tensor, after: tf.Tensor) -> tf.Tensor:
        """Return a normalised image after all transforms.

        Args:
            image: As of `before_mixing`.
            uniforms: Its row of `numbers_before_mixing`.
            after: Its row of `numbers_after_mixing`.
        """
        return self.after_mixing(self.whole_pixels(self.before_mixing(image, uniforms)), after)

    def blank(self) -> tf.Tensor:
        """Return what stands for an image that cannot be read, as `before_mixing` returns one: the mean colour."""
        shape = (self.preprocessing.image_size, self.preprocessing.image_size, 3)
        return tf.broadcast_to(tf.constant(self.preprocessing.mean), shape) if self.operations else tf.zeros(shape)

    def _recolored(self, images: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        if not self.colors:
            return images if self.operations else self.preprocessing.normalise(images)
        matrix, offset = color_map(self.colors, uniforms)
        if not self.operations:
            mean, std = (tf.constant(value) for value in (self.preprocessing.mean, self.preprocessing.std))
            matrix, offset = matrix / std, (offset - mean) / std
        return map_colors(images, matrix, offset)


def own_numbers(transforms: tuple[ColorTransform | RandAugment, ...], seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """Return the random numbers of each transform, from a seed of its kind's own.

    Args:
        transforms: The transforms.
        seed: Stateless seed of the batch.
        count: How many images it has.

    Returns:
        Numbers in [0, 1) of the shape (count, n) for each transform.
    """
    drawn = []
    for transform in transforms:
        kind = zlib.crc32(type(transform).__name__.encode())
        own = tf.random.experimental.stateless_fold_in(seed, kind, alg="philox")
        drawn.append(tf.random.stateless_uniform((count, transform.random_numbers), own, alg="philox"))
    return drawn
