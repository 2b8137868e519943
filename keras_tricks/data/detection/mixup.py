"""Mixup of images with boxes."""

from dataclasses import dataclass

import tensorflow as tf

from keras_tricks.data.detection.preprocessing import PADDING, Targets
from keras_tricks.data.mixing import sample_symmetric_beta


@dataclass(frozen=True)
class DetectionMixUp:
    """Lay two images over each other and keep the boxes of both.

    x = lambda * x_i + (1 - lambda) * x_j pixel by pixel, neither image resized, with a lambda ~ Beta(alpha, alpha) for
    each image; the boxes of x_i get the weight lambda, those of x_j 1 - lambda, which multiply their losses. The
    partner of an image is the one at its place in the reversed batch; the middle one of an odd batch stays as it is.

    The original lays the images over each other before they are augmented, and draws the partner from the whole data
    set; here both are augmented images of one batch.

    Args:
        alpha: Both parameters of the Beta distribution; 0 changes nothing.

    Raises:
        ValueError: If alpha is negative or not finite.

    Example:
        >>> images, targets = DetectionMixUp(1.5)(images, targets, seed=(0, step))

    Source: Zhang et al. 2019, "Bag of Freebies for Training Object Detection Neural Networks", arXiv 1902.04103,
    section 3.1; the weights as in GluonCV's `data/mixup/detection.py`.
    """

    alpha: float = 1.5

    def __post_init__(self):
        if not 0 <= self.alpha < float("inf"):
            raise ValueError(f"Expected a number of at least 0. Received: alpha={self.alpha}")

    def __call__(self, images: tf.Tensor, targets: Targets, seed: tf.Tensor) -> tuple[tf.Tensor, Targets]:
        """Return the mixed images, and targets with twice as many places for boxes.

        Args:
            images: Float32 images (batch, height, width, channels).
            targets: `boxes` (batch, n, 4), `labels` (batch, n), `weights` (batch, n) and others (batch, n, ...).
            seed: A stateless seed, an integer tensor of shape (2,).
        """
        if self.alpha == 0:
            return images, targets
        count = tf.shape(images)[0]
        alone = tf.range(count) == tf.range(count)[::-1]
        share = sample_symmetric_beta([count], self.alpha, seed)
        # Of a pair each has a lambda of its own, and one that is its own partner is wholly itself.
        share = tf.where(alone, 1.0, share)
        pixels = share[:, None, None, None]
        mixed = tf.where(alone[:, None, None, None], images, pixels * images + (1 - pixels) * images[::-1])
        both = {name: tf.concat([value, value[::-1]], axis=1) for name, value in targets.items()}
        places = tf.shape(targets["labels"])[1]
        weights = tf.repeat(tf.stack([share, 1 - share], axis=1), places, axis=1)
        absent = (weights == 0) | (both["labels"] == PADDING)
        return mixed, both | {
            "boxes": tf.where(absent[..., None], float(PADDING), both["boxes"]),
            "labels": tf.where(absent, PADDING, both["labels"]),
            "weights": both["weights"] * weights,
        }
