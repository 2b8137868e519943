"""Images, masks and boxes that are placed together stay together."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_tricks.data.placement import random_placement

placements = st.fixed_dictionaries(
    {
        "shape": st.tuples(st.integers(20, 50), st.integers(20, 50)),
        "size": st.tuples(st.integers(16, 60), st.integers(16, 60)),
        "uniforms": st.tuples(*[st.floats(0, 0.99)] * 4),
        "base": st.sampled_from([0.7, 1.0]),
    }
)


def place(shape, size, uniforms, base, scales=(0.5, 2.0), flip=True):
    return random_placement(tf.constant(shape), size, tf.constant(uniforms, tf.float32), scales, base, flip)


def large_parts(shape, seed):
    """A mask of a few large parts with the classes 0, 1 and 2."""
    rows, columns = np.random.default_rng(seed).integers(0, 3, (2, 4))
    parts = (rows[:, None] + columns) % 3
    return np.kron(parts, np.ones((16, 16), int))[: shape[0], : shape[1]].astype(np.uint8)


@settings(deadline=None, max_examples=40)
@given(case=placements, seed=st.integers(0, 99))
def test_a_mask_that_is_drawn_as_the_image_stays_aligned(case, seed):
    mask = large_parts(case["shape"], seed)
    placement = place(**case)
    image, inside = (each.numpy() for each in placement.image(tf.one_hot(mask, 3)))
    placed = placement.mask(tf.constant(mask), 255).numpy()
    assert image.shape == (*case["size"], 3) and placed.shape == case["size"]
    np.testing.assert_array_equal(placed == 255, ~inside)
    np.testing.assert_array_equal(image[~inside], 0)
    # Away from the edges of its parts the drawn mask is sharp, and of the class of the mask.
    sharp = inside & (image.max(-1) > 0.999)
    np.testing.assert_array_equal(image[sharp].argmax(-1), placed[sharp])
    # Elsewhere it is mostly the same class: the edges lie at the same place to half a pixel.
    assert (image.argmax(-1) == placed)[inside & (image.max(-1) > 0.75)].all()


@settings(deadline=None, max_examples=40)
@given(case=placements, corner=st.tuples(st.integers(0, 9), st.integers(0, 9)), side=st.integers(8, 10))
def test_a_drawn_rectangle_stays_in_its_box(case, corner, side):
    placement = place(**case)
    (top, left), canvas = corner, case["size"]
    mask = np.zeros(case["shape"], np.uint8)
    mask[top : top + side, left : left + side] = 1
    placed = placement.mask(tf.constant(mask), 0).numpy()
    box = placement.boxes(tf.constant([[left, top, left + side, top + side]], tf.float32)).numpy()[0]
    middles = [np.arange(extent) + 0.5 for extent in canvas]
    in_rows = (middles[0] > box[1] - 1e-3) & (middles[0] < box[3] + 1e-3)
    in_columns = (middles[1] > box[0] - 1e-3) & (middles[1] < box[2] + 1e-3)
    assert not placed[~(in_rows[:, None] & in_columns)].any()
    surely = [(middles[0] > box[1] + 1e-3) & (middles[0] < box[3] - 1e-3)]
    surely.append((middles[1] > box[0] + 1e-3) & (middles[1] < box[2] - 1e-3))
    assert placed[surely[0][:, None] & surely[1]].all()


@pytest.mark.parametrize("canvas", [(12, 14), (30, 17), (40, 50)])
def test_an_image_at_its_own_scale_is_copied(canvas):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    for seed in range(5):
        uniforms = np.random.default_rng(seed).random(4)
        placement = place(pixels.shape[:2], canvas, uniforms, 1.0, (1.0, 1.0))
        image, inside = (each.numpy() for each in placement.image(tf.constant(pixels)))
        assert inside.sum() == min(20, canvas[0]) * min(24, canvas[1])
        top, left = placement.offset.numpy().astype(int)
        expected = np.zeros((*canvas, 3))
        for row in range(max(top, 0), min(top + 20, canvas[0])):
            for column in range(max(left, 0), min(left + 24, canvas[1])):
                expected[row, column] = pixels[row - top, column - left]
        np.testing.assert_array_equal(image, expected[:, ::-1] if uniforms[3] < 0.5 else expected)


def test_half_the_images_are_mirrored_and_none_where_that_is_off():
    mirrored = [place((8, 8), (8, 8), (0, 0, 0, draw), 1.0).mirrored.numpy() for draw in (0.0, 0.49, 0.5, 0.99)]
    assert mirrored == [True, True, False, False]
    assert not place((8, 8), (8, 8), (0, 0, 0, 0), 1.0, flip=False).mirrored


def test_every_scale_and_every_place_is_reached():
    ends = [place((10, 20), (16, 16), (draw,) * 3 + (0.9,), 0.8) for draw in (0.0, np.float32(0.9999999))]
    assert [float(end.scale) for end in ends] == pytest.approx([0.4, 1.6], abs=1e-5)
    assert ends[0].offset.numpy().tolist() == [0, 0]
    # 10 x 20 pixels at 1.6 are 16 x 32: the right end of the image lies at the right end of the canvas.
    assert ends[1].offset.numpy().tolist() == [0, -16]
