"""From a stored image to what a model sees, for training and for evaluation.

A preprocessing is a pure function of the image and of uniform random numbers: the pipeline draws
`random_numbers` of them for every image. Further transforms of single images come between
`augment_pixels` and `normalise` (see `keras_tricks.data.augmentation`).
"""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from keras_tricks.data.random_area import AREA_TRIES, random_area_box
from keras_tricks.data_facts import IMAGENET_MEAN, IMAGENET_STD, DataFacts


def decode_rgb(encoded: tf.Tensor) -> tf.Tensor:
    """Return the uint8 pixels (height, width, 3) of an encoded image, of a GIF the first frame."""
    pixels = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    return tf.ensure_shape(pixels, (None, None, 3))


def decode(image: tf.Tensor) -> tf.Tensor:
    """Return the uint8 pixels of an image that may be a string scalar with the encoded file."""
    return decode_rgb(image) if image.dtype == tf.string else image


def check_normalisation(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    """Raise a ValueError unless there are a mean and a positive standard deviation for each of three channels."""
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise ValueError(
            "Expected a mean and a positive standard deviation for each of three channels. "
            f"Received: mean={mean}, std={std}"
        )


@dataclass(frozen=True, kw_only=True)
class Preprocessing(ABC):
    """Base of the preprocessings.

    Args:
        image_size: Side of the square images that come out, in pixels.
        flip: Mirror a training image left to right with probability one half.
        mean: Mean of the red, green and blue channels on the scale 0..255.
        std: Standard deviation of the channels on the same scale.
    """

    image_size: int
    flip: bool = True
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self):
        if self.image_size < 1:
            raise ValueError(f"Expected a side of at least 1 pixel. Received: image_size={self.image_size}")
        check_normalisation(self.mean, self.std)

    @property
    @abstractmethod
    def random_numbers(self) -> int:
        """How many uniform numbers in [0, 1) `augment` needs for one image."""

    @abstractmethod
    def augment_pixels(self, image: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        """Return a training image (image_size, image_size, 3), uint8 or float32, on the scale 0..255.

        Args:
            image: uint8 pixels (height, width, 3), or a string scalar with the encoded file.
            uniforms: `random_numbers` random numbers in [0, 1).
        """

    def augment(self, image: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        """Return a training image, float32 and normalised; see `augment_pixels`."""
        return self.normalise(self.augment_pixels(image, uniforms))

    @abstractmethod
    def prepare(self, image: tf.Tensor) -> tf.Tensor:
        """Return an evaluation image (image_size, image_size, 3), float32 and normalised.

        Args:
            image: uint8 pixels (height, width, 3), or a string scalar with the encoded file.
        """

    def normalise(self, image: tf.Tensor) -> tf.Tensor:
        """Subtract the mean of each channel and divide by its standard deviation."""
        # A broadcast along the rows is several times as fast as one along the three channels.
        row = (self.image_size, 3)
        mean, std = (tf.constant(np.broadcast_to(value, row), tf.float32) for value in (self.mean, self.std))
        return (tf.cast(image, tf.float32) - mean) / std


@dataclass(frozen=True, kw_only=True)
class SmallImagePreprocessing(Preprocessing):
    """Pad, crop and mirror, as for CIFAR.

    The image is resized to `image_size` if it has another size (bilinear, with antialiasing),
    padded with black on all sides, and a random square of `image_size` is cut out and mirrored.
    Evaluation only resizes. Whole batches of one size can be treated at once.

    Args:
        image_size: Side of the square images that come out, in pixels.
        pad: Width of the black border in pixels; None takes an eighth of `image_size`, which is
            the published 4 pixels at 32.
        flip: Mirror a training image left to right with probability one half.
        mean: Mean of the red, green and blue channels on the scale 0..255.
        std: Standard deviation of the channels on the same scale.

    Source: He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2.
    """

    pad: int | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.pad is not None and self.pad < 0:
            raise ValueError(f"Expected a border of at least 0 pixels. Received: pad={self.pad}")

    @property
    def border(self) -> int:
        """Width of the black border in pixels."""
        return self.image_size // 8 if self.pad is None else self.pad

    @property
    def random_numbers(self) -> int:
        """Three: the row and the column of the crop, and whether to mirror."""
        return 3

    def augment_pixels(self, image, uniforms):
        """Return one training image; see `Preprocessing.augment_pixels`."""
        return self.augment_batch_pixels(decode(image)[None], uniforms[None])[0]

    def prepare(self, image):
        """Return one evaluation image; see `Preprocessing.prepare`."""
        return self.prepare_batch(decode(image)[None])[0]

    def augment_batch_pixels(self, images: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        """Return training images, uint8 or float32, on the scale 0..255.

        Args:
            images: uint8 pixels (batch, height, width, 3).
            uniforms: Random numbers in [0, 1), of shape (batch, 3).
        """
        border, pixels = self.border, tf.range(self.image_size)
        padded = tf.pad(self._resize(images), [[0, 0], [border, border], [border, border], [0, 0]])
        offsets = tf.cast(uniforms[:, :2] * (2 * border + 1), tf.int32)
        columns = tf.repeat(pixels[None], tf.shape(uniforms)[0], axis=0)
        if self.flip:
            columns = tf.where(uniforms[:, 2:] < 0.5, columns[:, ::-1], columns)
        rows = offsets[:, :1] + pixels
        cropped = tf.gather(padded, rows, axis=1, batch_dims=1)
        return tf.gather(cropped, offsets[:, 1:] + columns, axis=2, batch_dims=1)

    def prepare_batch(self, images: tf.Tensor) -> tf.Tensor:
        """Return evaluation images, normalised, from uint8 pixels (batch, height, width, 3)."""
        return self.normalise(self._resize(images))

    def _resize(self, images: tf.Tensor) -> tf.Tensor:
        size = (self.image_size, self.image_size)
        if images.shape[1:3] == size:
            return images
        return tf.image.resize(images, size, antialias=True)


@dataclass(frozen=True, kw_only=True)
class ImageNetPreprocessing(Preprocessing):
    """Take a random area and aspect for training, the centre for evaluation.

    Training: a random part of the image (for a JPEG only that part is decoded, with the fast
    integer transform), resized to `image_size` and mirrored. Evaluation: the short side is resized
    to `resize_short` with the aspect kept, then the central square is cut out. Resizing is
    bilinear, without antialiasing, as published; that of training can be bicubic. With `squash`
    both sides become `resize_short`, with bicubic interpolation, as published for NFNets.

    Args:
        image_size: Side of the square images that come out, in pixels.
        area: Least and largest share of the image's area to train on.
        aspect: Least and largest ratio of width to height of that part.
        interpolation: How that part is resized: `bilinear`, or `bicubic`, whose results may lie outside of 0..255.
        resize_short: Length of the short side in evaluation, in pixels; None takes
            256 / 224 of `image_size`, rounded.
        squash: Whether evaluation resizes both sides to `resize_short`, so that the aspect is lost.
        flip: Mirror a training image left to right with probability one half.
        mean: Mean of the red, green and blue channels on the scale 0..255.
        std: Standard deviation of the channels on the same scale.

    Source: He et al. 2018, "Bag of Tricks for Image Classification with CNNs", section 2.1; `squash` as in the code of
    Brock et al. 2021, arXiv 2102.06171.
    """

    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    resize_short: int | None = None
    squash: bool = False

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise ValueError(f"Expected shares of the area with 0 < low <= high <= 1. Received: area={self.area}")
        if not 0 < self.aspect[0] <= self.aspect[1]:
            raise ValueError(f"Expected ratios of width to height with 0 < low <= high. Received: aspect={self.aspect}")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(f"Expected bilinear or bicubic. Received: interpolation={self.interpolation!r}")
        if self.short_side < self.image_size:
            raise ValueError(
                f"Expected a short side of at least image_size={self.image_size} pixels. "
                f"Received: resize_short={self.resize_short}"
            )

    @property
    def short_side(self) -> int:
        """Length of the short side in evaluation, in pixels."""
        return round(self.image_size * 256 / 224) if self.resize_short is None else self.resize_short

    @property
    def random_numbers(self) -> int:
        """Area and aspect of ten tries, the place of the part, and whether to mirror."""
        return 2 * AREA_TRIES + 3

    def augment_pixels(self, image, uniforms):
        """Return one training image; see `Preprocessing.augment_pixels`."""
        if image.dtype == tf.string:
            part = tf.cond(
                tf.io.is_jpeg(image),
                lambda: self._random_part_of_jpeg(image, uniforms),
                lambda: self._random_part(decode_rgb(image), uniforms),
            )
        else:
            part = self._random_part(image, uniforms)
        part = tf.image.resize(part, (self.image_size, self.image_size), method=self.interpolation)
        if self.flip:
            part = tf.cond(uniforms[-1] < 0.5, lambda: tf.reverse(part, [1]), lambda: part)
        return part

    def prepare(self, image):
        """Return one evaluation image; see `Preprocessing.prepare`."""
        pixels = decode(image)
        if self.squash:
            resized = tf.constant([self.short_side, self.short_side])
            pixels = tf.image.resize(pixels, resized, method="bicubic")
        else:
            size = tf.cast(tf.shape(pixels)[:2], tf.float32)
            resized = tf.cast(tf.round(size * (self.short_side / tf.reduce_min(size))), tf.int32)
            pixels = tf.image.resize(pixels, resized)
        top, left = tf.unstack((resized - self.image_size) // 2)
        centre = pixels[top : top + self.image_size, left : left + self.image_size]
        return self.normalise(tf.ensure_shape(centre, (self.image_size, self.image_size, 3)))

    def _box(self, shape: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        return random_area_box(shape[0], shape[1], uniforms[:-1], self.area, self.aspect)

    def _random_part(self, pixels: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        top, left, height, width = tf.unstack(self._box(tf.shape(pixels), uniforms))
        return pixels[top : top + height, left : left + width]

    def _random_part_of_jpeg(self, encoded: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        box = self._box(tf.image.extract_jpeg_shape(encoded), uniforms)
        return tf.image.decode_and_crop_jpeg(encoded, box, channels=3, dct_method="INTEGER_FAST")


def preprocessing_for(facts: DataFacts, image_size: int | None = None) -> Preprocessing:
    """Return the published preprocessing for a data set.

    Args:
        facts: Facts of the data set.
        image_size: Side of the images in pixels; None takes the default of the data set.
    """
    kind = SmallImagePreprocessing if facts.style == "small" else ImageNetPreprocessing
    return kind(
        image_size=facts.image_size if image_size is None else image_size,
        flip=facts.flip,
        mean=facts.mean,
        std=facts.std,
    )


def pixels_of(images: np.ndarray, preprocessing: Any) -> np.ndarray:
    """Return normalised images as uint8 pixels.

    Args:
        images: Float32 images (batch, height, width, 3).
        preprocessing: What normalised them.
    """
    pixels = images * np.array(preprocessing.std, np.float32) + np.array(preprocessing.mean, np.float32)
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)


def preprocessing_config(preprocessing: Any) -> dict[str, Any]:
    """Return a preprocessing, of whatever task, as a value that JSON can hold; `preprocessing_from_config` reads it."""
    return {"kind": type(preprocessing).__name__, **asdict(preprocessing)}


def preprocessing_from_config(config: dict[str, Any]) -> Any:
    """Return the preprocessing that `preprocessing_config` has described.

    Raises:
        ValueError: If the kind or an argument is unknown.
    """
    # They are made of what stands here.
    from keras_tricks.data.detection import DetectionPreprocessing
    from keras_tricks.data.segmentation import SegmentationPreprocessing

    arguments = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
    every = (SmallImagePreprocessing, ImageNetPreprocessing, DetectionPreprocessing, SegmentationPreprocessing)
    kinds: dict[str, Any] = {kind.__name__: kind for kind in every}
    try:
        return kinds[arguments.pop("kind")](**arguments)
    except (KeyError, TypeError) as error:
        raise ValueError(f"Expected the configuration of {' or '.join(kinds)}. Received: config={config}") from error
