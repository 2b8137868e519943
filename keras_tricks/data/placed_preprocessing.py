"""What the preprocessings of segmentation and detection share: place an image on a canvas and normalise it."""

from dataclasses import dataclass

import tensorflow as tf

from keras_tricks.data.color import ColorTransform, color_map, map_colors
from keras_tricks.data.placement import PLACEMENT_NUMBERS, Placement
from keras_tricks.data.preprocessing import check_normalisation
from keras_tricks.data_facts import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True, kw_only=True)
class PlacedPreprocessing:
    """Base of the preprocessings that scale, crop and mirror an image with what belongs to it.

    Args:
        image_size: Side of the square images to train on, in pixels.
        scales: Least and largest scale of a training image, each as likely.
        flip: Mirror a training image left to right with probability one half.
        mean: Mean of the red, green and blue channels on the scale 0..255.
        std: Standard deviation of the channels on the same scale.

    Raises:
        ValueError: If an argument is out of range.
    """

    image_size: int
    scales: tuple[float, float] = (0.5, 2.0)
    flip: bool = True
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self):
        if self.image_size < 1:
            raise ValueError(f"Expected a side of at least 1 pixel. Received: image_size={self.image_size}")
        if not 0 < self.scales[0] <= self.scales[1] < float("inf"):
            raise ValueError(f"Expected scales with 0 < low <= high. Received: scales={self.scales}")
        check_normalisation(self.mean, self.std)

    @property
    def random_numbers(self) -> int:
        """How many uniform numbers in [0, 1) `augment` needs for one image."""
        return PLACEMENT_NUMBERS

    def placed(
        self,
        pixels: tf.Tensor,
        placement: Placement,
        colors: tuple[ColorTransform, ...] = (),
        uniforms: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Return the canvas of an image, normalised, of the mean colour where the image is not.

        Args:
            pixels: uint8 pixels (height, width, 3).
            placement: Where they come to lie.
            colors: What happens to their colours.
            uniforms: The random numbers in [0, 1) of these transforms, in turn.
        """
        canvas, inside = placement.image(pixels)
        if colors:
            canvas = map_colors(canvas, *color_map(colors, uniforms))
        mean, std = (tf.constant(value, tf.float32) for value in (self.mean, self.std))
        return tf.where(inside[..., None], (canvas - mean) / std, 0.0)
