"""Batch transforms that mix each image with a partner: mixup and CutMix.

Each is called as `(images, labels, seed) -> (images, labels)` with float32 images
(batch, height, width, channels), label distributions (batch, classes) and a stateless seed, an
integer tensor of shape (2,). The partner of an image is the one at its place in the reversed batch.
"""

from dataclasses import dataclass
from typing import Literal

import tensorflow as tf


def _log_gamma_sample(shape: list, concentration: float, seed: tf.Tensor) -> tf.Tensor:
    """Sample log(g) for g ~ Gamma(concentration), which never underflows.

    With g' ~ Gamma(concentration + 1) and u uniform, g' * u ** (1 / concentration) is
    Gamma(concentration) (Marsaglia and Tsang 2000, section 6).
    """
    seeds = tf.random.experimental.stateless_split(seed, 2)
    boosted = tf.random.stateless_gamma(shape, seeds[0], alpha=concentration + 1.0)
    uniform = 1.0 - tf.random.stateless_uniform(shape, seeds[1])
    return tf.math.log(boosted) + tf.math.log(uniform) / concentration


def sample_symmetric_beta(shape: list, alpha: float, seed: tf.Tensor) -> tf.Tensor:
    """Sample Beta(alpha, alpha), also for an alpha so small that gamma samples would be 0 / 0.

    Args:
        shape: Shape of the float32 result.
        alpha: Positive.
        seed: Stateless seed of shape (2,).
    """
    seeds = tf.random.experimental.stateless_split(seed, 2)
    first, second = (_log_gamma_sample(shape, alpha, seeds[index]) for index in range(2))
    return tf.sigmoid(first - second)


def _partners(batch: tf.Tensor) -> tf.Tensor:
    # Slicing with [::-1] takes thirteen times as long.
    return tf.reverse(batch, [0])


def _blend(first: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    share = tf.reshape(share, [-1] + [1] * (first.shape.rank - 1))
    return share * first + (1.0 - share) * _partners(first)


@dataclass(frozen=True)
class Mixing:
    """Base of the transforms that mix the images of a batch.

    Args:
        alpha: Both parameters of the Beta distribution of the mixing weight; 0 changes nothing.
    """

    alpha: float

    def __post_init__(self):
        if not 0 <= self.alpha < float("inf"):
            raise ValueError(f"Expected a number of at least 0. Received: alpha={self.alpha}")


@dataclass(frozen=True)
class MixUp(Mixing):
    """Replace each image and label by a weighted mean with those of its partner.

    x = lambda * x_i + (1 - lambda) * x_j, the same for the labels, lambda ~ Beta(alpha, alpha).

    Args:
        alpha: Both parameters of the Beta distribution; 0 changes nothing.
        per_image: Draw a weight for each image instead of one for the batch.

    Example:
        >>> images, labels = MixUp(0.2)(images, labels, seed=(0, step))

    Source: Zhang et al. 2017, "mixup: Beyond Empirical Risk Minimization", section 2; one weight a
    batch and the reversed batch as in the script of He et al. 2018, section 5.4.
    """

    alpha: float = 0.2
    per_image: bool = False

    def __call__(self, images, labels, seed):
        """Return the mixed images and labels."""
        if self.alpha == 0:
            return images, labels
        count = tf.shape(images)[0] if self.per_image else 1
        share = sample_symmetric_beta([count], self.alpha, seed)
        return _blend(images, share), _blend(labels, share)


def random_box(height: int, width: int, share: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    """Place a box with a given share of the area at random; what lies outside is cut off.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        share: Shares (...) of the area, before cutting.
        uniforms: Two random numbers (..., 2) in [0, 1) for the centre.

    Returns:
        An int32 tensor (..., 4): top, left, bottom and right, the last two excluded.
    """
    full = tf.stack([height, width])
    size = tf.cast(tf.cast(full, tf.float32) * tf.sqrt(share)[..., None], tf.int32)
    centre = tf.cast(uniforms * tf.cast(full, tf.float32), tf.int32)
    corner, opposite = centre - size // 2, centre + size // 2
    return tf.clip_by_value(tf.concat([corner, opposite], -1), 0, tf.tile(full, [2]))


@dataclass(frozen=True)
class CutMix(Mixing):
    """Replace a box of each image by the same box of its partner; the labels follow the area.

    The box has the share 1 - lambda of the area, lambda ~ Beta(alpha, alpha), and a uniform centre;
    it is cut off at the border and lambda is then recomputed.

    Args:
        alpha: Both parameters of the Beta distribution; 0 changes nothing.
        per_image: Draw a box for each image instead of one for the batch.
        beside_mixup: What a batch gets that is to be mixed up too: `either` the one or the other, by
            a fair draw, or one of them for each of its `halves` (see `Halves`).

    Example:
        >>> images, labels = CutMix(1.0)(images, labels, seed=(0, step))

    Source: Yun et al. 2019, "CutMix: Regularization Strategy to Train Strong Classifiers with
    Localizable Features", section 3.1 and algorithm A1.
    """

    alpha: float = 1.0
    per_image: bool = False
    beside_mixup: Literal["either", "halves"] = "either"

    def __post_init__(self):
        super().__post_init__()
        if self.beside_mixup not in ("either", "halves"):
            raise ValueError(f"Expected either or halves. Received: beside_mixup={self.beside_mixup!r}")

    def __call__(self, images, labels, seed):
        """Return the mixed images and labels."""
        if self.alpha == 0:
            return images, labels
        seeds = tf.random.experimental.stateless_split(seed, 2)
        shape = tf.shape(images)
        height, width = shape[1], shape[2]
        count = [shape[0]] if self.per_image else []
        share = 1.0 - sample_symmetric_beta(count, self.alpha, seeds[0])
        uniforms = tf.random.stateless_uniform([*count, 2], seeds[1])
        top, left, bottom, right = tf.unstack(random_box(height, width, share, uniforms)[..., None], axis=-2)
        rows, columns = tf.range(height), tf.range(width)
        in_rows, in_columns = (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
        inside = in_rows[..., :, None] & in_columns[..., None, :]
        replaced = tf.reduce_mean(tf.cast(inside, labels.dtype), axis=[-2, -1])
        # One broadcast over the batch is three times as fast as one over the channels too.
        mask = tf.reshape(tf.repeat(inside[..., None], 3, axis=-1), [-1, height * width * 3])
        flat = tf.reshape(images, [shape[0], -1])
        mixed = tf.reshape(tf.where(mask, _partners(flat), flat), shape)
        return tf.ensure_shape(mixed, images.shape), _blend(labels, 1.0 - replaced)


@dataclass(frozen=True)
class OneOf:
    """Apply exactly one of several batch transforms, each with the same probability.

    Args:
        transforms: The transforms, at least one.

    Example:
        >>> images, labels = OneOf((MixUp(0.2), CutMix(1.0)))(images, labels, seed=(0, step))
    """

    transforms: tuple

    def __post_init__(self):
        if not self.transforms:
            raise ValueError(f"Expected at least one transform. Received: transforms={self.transforms}")

    def __call__(self, images, labels, seed):
        """Return what the chosen transform makes of the batch."""
        seeds = tf.random.experimental.stateless_split(seed, 2)
        count = len(self.transforms)
        choice = tf.random.stateless_uniform([], seeds[0], maxval=count, dtype=tf.int32)
        return tf.switch_case(
            choice,
            [lambda transform=transform: transform(images, labels, seeds[1]) for transform in self.transforms],
        )


@dataclass(frozen=True)
class Halves:
    """Apply one batch transform to the first half of a batch and another one to the rest.

    Partners are of the same half. With an odd number of images the second half has one more.

    Args:
        first: The transform of the first half.
        second: The transform of the second half.

    Example:
        >>> nfnet_mix = Halves(MixUp(0.2, per_image=True), CutMix(1.0, per_image=True))

    Source: the code of Brock et al. 2021, arXiv 2102.06171, which draws twice as many images, so that none is used
    twice.
    """

    first: Mixing
    second: Mixing

    def __call__(self, images, labels, seed):
        """Return the images and labels of both halves."""
        seeds = tf.random.experimental.stateless_split(seed, 2)
        half = tf.shape(images)[0] // 2
        first_images, first_labels = self.first(images[:half], labels[:half], seeds[0])
        second_images, second_labels = self.second(images[half:], labels[half:], seeds[1])
        mixed = tf.concat([first_images, second_images], 0), tf.concat([first_labels, second_labels], 0)
        return tf.ensure_shape(mixed[0], images.shape), tf.ensure_shape(mixed[1], labels.shape)


def mixes_pairs_alike(transforms: tuple) -> bool:
    """Return whether the transforms do to each pair of partners what they do to all pairs of the batch.

    Then a part of the batch that holds both partners of its pairs is transformed as within the whole batch.
    """
    return all(isinstance(transform, CutMix | MixUp) and not transform.per_image for transform in transforms) and (
        len(transforms) < 2 or not any(_wants_halves(transform) for transform in transforms)
    )


def one_mixing_an_image(transforms: tuple) -> tuple:
    """Return batch transforms of which at most one mixes an image.

    Several `Mixing` become one `OneOf`; mixup and a CutMix that is to have a half become `Halves`.
    """
    mixings = tuple(transform for transform in transforms if isinstance(transform, Mixing))
    if len(mixings) < 2:
        return transforms
    others = tuple(transform for transform in transforms if transform not in mixings)
    if len(mixings) == 2 and isinstance(mixings[0], MixUp) and _wants_halves(mixings[1]):
        return (*others, Halves(*mixings))
    return (*others, OneOf(mixings))


def _wants_halves(transform: object) -> bool:
    return isinstance(transform, CutMix) and transform.beside_mixup == "halves"
