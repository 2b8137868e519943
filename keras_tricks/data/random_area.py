"""The random part of an image that ImageNet models are trained on."""

import math

import tensorflow as tf

AREA_TRIES = 10


def random_area_box(
    height: tf.Tensor,
    width: tf.Tensor,
    uniforms: tf.Tensor,
    area: tuple[float, float],
    aspect: tuple[float, float],
) -> tf.Tensor:
    """Choose a random part of an image.

    The share of the area is uniform, the logarithm of the aspect ratio is uniform. The first of
    ten tries that fits into the image is placed at random; if none fits, the largest central part
    with an allowed aspect is taken.

    Args:
        height: Height of the image in pixels, int32 scalar.
        width: Width of the image in pixels, int32 scalar.
        uniforms: 22 random numbers in [0, 1).
        area: Least and largest share of the image's area.
        aspect: Least and largest ratio of width to height.

    Returns:
        An int32 tensor: top, left, height and width of the part.
    """
    full = tf.cast(tf.stack([height, width]), tf.float32)
    areas = full[0] * full[1] * (area[0] + uniforms[:AREA_TRIES] * (area[1] - area[0]))
    low, high = math.log(aspect[0]), math.log(aspect[1])
    ratios = tf.exp(low + uniforms[AREA_TRIES : 2 * AREA_TRIES] * (high - low))
    sizes = tf.round(tf.sqrt(tf.stack([areas / ratios, areas * ratios], axis=1)))
    fits = tf.reduce_all((sizes >= 1) & (sizes <= full), axis=1)
    limits = tf.stack([full[1] / aspect[0], full[0] * aspect[1]])
    central = tf.clip_by_value(tf.round(limits), 1.0, full)
    any_fits = tf.reduce_any(fits)
    size = tf.where(any_fits, sizes[tf.argmax(fits)], central)
    free = full - size
    random_corner = tf.floor(uniforms[2 * AREA_TRIES :] * (free + 1))
    corner = tf.where(any_fits, random_corner, tf.floor(free / 2))
    return tf.cast(tf.concat([corner, size], axis=0), tf.int32)
