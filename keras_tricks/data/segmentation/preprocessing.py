"""From an image and its mask to what a segmenter sees, for training and for evaluation."""

from dataclasses import dataclass

import tensorflow as tf

from keras_tricks.data.color import ColorTransform
from keras_tricks.data.placed_preprocessing import PlacedPreprocessing
from keras_tricks.data.placement import Placement, random_placement
from keras_tricks.data.preprocessing import decode
from keras_tricks.data.segmentation.classes import IGNORED


@dataclass(frozen=True, kw_only=True)
class SegmentationPreprocessing(PlacedPreprocessing):
    """Scale, crop and mirror image and mask together for training; evaluate whole images.

    Training: the image takes a random scale; a random square of `image_size` is cut out, and where the image is smaller
    it gets a random place in it. Evaluation: the whole image, to whose right and bottom as many pixels are added as
    make its sides multiples of `output_stride`. Added pixels have the mean colour, and `IGNORED` in the mask. An image
    is resized bilinearly with antialiasing, a mask to the nearest pixel.

    Args:
        image_size: Side of the square images to train on, in pixels.
        scales: Least and largest scale of a training image, each as likely.
        base_size: Length of the short side at scale 1, in training and evaluation, in pixels; None for that of each
            image. Masks are evaluated at that size, too.
        output_stride: What the sides of evaluation images are multiples of, in pixels.
        flip: Mirror a training image left to right with probability one half.
        mean: Mean of the red, green and blue channels on the scale 0..255.
        std: Standard deviation of the channels on the same scale.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> SegmentationPreprocessing(image_size=480, base_size=520)

    Source: the segmentation of He et al. 2018, arXiv 1812.01187, section 6.2, in GluonCV's
    `gluoncv/data/segbase.py`; scales as in Zhao et al. 2017, arXiv 1612.01105, section 5.1.
    """

    base_size: int | None = None
    output_stride: int = 32

    def __post_init__(self):
        super().__post_init__()
        if self.output_stride < 1:
            raise ValueError(f"Expected at least 1 pixel. Received: output_stride={self.output_stride}")
        if self.base_size is not None and self.base_size < 1:
            raise ValueError(f"Expected None or at least 1 pixel. Received: base_size={self.base_size}")

    def augment(
        self, image: tf.Tensor, mask: tf.Tensor, uniforms: tf.Tensor, colors: tuple[ColorTransform, ...] = ()
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return a training image and its mask.

        Args:
            image: uint8 pixels (height, width, 3), or a string scalar with the encoded file.
            mask: uint8 class indices (height, width).
            uniforms: `random_numbers` random numbers in [0, 1), and those of `colors`.
            colors: What happens to the colours of the image.

        Returns:
            A float32 tensor (image_size, image_size, 3), normalised, and an int32 tensor (image_size, image_size).
        """
        pixels = self._decoded(image, mask)
        size = (self.image_size, self.image_size)
        base = self._base(tf.shape(pixels))
        placement = random_placement(tf.shape(pixels), size, uniforms, self.scales, base, self.flip)
        placed = self.placed(pixels, placement, colors, uniforms[self.random_numbers :])
        return self._pair(placed, mask, placement, size)

    def prepare(self, image: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return an evaluation image (height, width, 3) and its mask (height, width), with sides of whole strides."""
        pixels = self._decoded(image, mask)
        size = -(-self.evaluated_size(tf.shape(pixels)) // self.output_stride) * self.output_stride
        scale = self._base(tf.shape(pixels))
        placement = Placement(scale, tf.zeros(2), size, tf.constant(False))
        return self._pair(self.placed(pixels, placement), mask, placement, (None, None))

    def evaluated_size(self, shape: tf.Tensor) -> tf.Tensor:
        """Return height and width in pixels that an evaluation image has before pixels are added to it.

        Args:
            shape: Shape of the stored image, of which height and width come first.
        """
        return tf.cast(tf.round(tf.cast(shape[:2], tf.float32) * self._base(shape)), tf.int32)

    def blank(self, sides: int | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Return what stands for an image that cannot be read: the mean colour, ignored.

        Args:
            sides: Length of both sides in pixels; None for that of a training image.
        """
        sides = self.image_size if sides is None else sides
        return tf.zeros((sides, sides, 3)), tf.fill((sides, sides), IGNORED)

    def _base(self, shape: tf.Tensor) -> tf.Tensor:
        if self.base_size is None:
            return tf.constant(1.0)
        return self.base_size / tf.cast(tf.reduce_min(shape[:2]), tf.float32)

    def _decoded(self, image: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        pixels = decode(image)
        same = tf.debugging.assert_equal(tf.shape(pixels)[:2], tf.shape(mask), "The sizes of image and mask differ.")
        with tf.control_dependencies([same] if same is not None else []):
            return tf.identity(pixels)

    def _pair(
        self, image: tf.Tensor, mask: tf.Tensor, placement: Placement, size: tuple[int | None, int | None]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        placed = tf.cast(placement.mask(mask, IGNORED), tf.int32)
        return tf.ensure_shape(image, (*size, 3)), tf.ensure_shape(placed, size)
