import numpy as np
import pytest

from keras_tricks.annotated_pictures import distinct_colors, draw_boxes, overlay_mask, side_by_side

NAMES = ("cat", "a long name of a class", "dog")
COLORS = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
GREY = np.full((400, 640, 3), 90, np.uint8)


def is_color(picture, color):
    return (picture == np.array(color, np.uint8)).all(-1)


def test_a_box_has_a_border_and_a_name_in_the_color_of_its_class():
    boxes, labels = [[100, 150, 300, 250], [-1, -1, -1, -1]], [2, -1]
    picture = draw_boxes(GREY, boxes, labels, None, NAMES, COLORS)
    blue = is_color(picture, COLORS[2])
    assert (
        blue[150, 100:301].all() and blue[250, 100:301].all() and blue[150:251, 100].all() and blue[150:251, 300].all()
    )
    same = (picture == GREY).all(-1)
    assert same[152:249, 102:299].all() and same[:130].all() and same[252:].all()
    # The name stands on the colour, above the box.
    assert blue[130:150, 100:110].mean() > 0.5 and is_color(picture[130:150], (255, 255, 255)).any()
    assert not is_color(picture, COLORS[0]).any()


@pytest.mark.parametrize("box", [[0, 0, 30, 8], [610, 0, 640, 30], [0, 390, 20, 400], [630, 390, 640, 400]])
def test_names_stay_inside_of_the_picture(box):
    middle = draw_boxes(GREY, [[300, 200, 330, 208]], [1], [0.987], NAMES, COLORS)
    edge = draw_boxes(GREY, [box], [1], [0.987], NAMES, COLORS)
    ink = [is_color(picture, (255, 255, 255)).sum() for picture in (middle, edge)]
    assert ink[0] == ink[1] > 100


def test_names_do_not_cover_each_other_where_there_is_room():
    apart = draw_boxes(GREY, [[10, 50, 300, 150], [10, 250, 300, 350]], [0, 2], [0.5, 0.6], NAMES, COLORS)
    same = draw_boxes(GREY, [[10, 50, 300, 150]] * 2, [0, 2], [0.5, 0.6], NAMES, COLORS)
    ink = [is_color(picture, (255, 255, 255)).sum() for picture in (apart, same)]
    assert ink[0] == ink[1]
    # The border of the higher score lies on top.
    assert (is_color(same, COLORS[2])[51, 100:300]).all()


def test_small_images_are_enlarged_with_their_boxes():
    small = GREY[:48, :64]
    picture = draw_boxes(small, [[10, 20, 30, 40]], [0], [1.0], NAMES, COLORS)
    assert picture.shape == (480, 640, 3) and picture.dtype == np.uint8
    red = is_color(picture, COLORS[0])
    assert red[200, 100:301].all() and red[400, 100:301].all() and red[200:401, 300].all()
    nothing = draw_boxes(small, np.zeros((0, 4)), np.zeros(0, int), None, NAMES)
    np.testing.assert_array_equal(nothing, np.full((480, 640, 3), 90))


def test_masks_are_mixed_with_the_colors_above_a_legend_of_what_occurs():
    mask = np.zeros((400, 640), np.uint8)
    mask[100:200] = 2
    mask[300:] = 255
    picture = overlay_mask(GREY, mask, COLORS, NAMES)
    assert picture.shape[0] > 400 and picture.shape[1:] == (640, 3)
    for rows, expected in ((slice(100), (145, 45, 45)), (slice(100, 200), (45, 45, 145)), (slice(300, 400), (90,) * 3)):
        np.testing.assert_array_equal(picture[rows], np.broadcast_to(expected, picture[rows].shape))
    legend = picture[400:]
    assert is_color(legend, COLORS[0]).any() and is_color(legend, COLORS[2]).any()
    assert not is_color(legend, COLORS[1]).any()
    np.testing.assert_array_equal(overlay_mask(GREY, np.full((400, 640), 7), COLORS, NAMES, ignored=7), GREY)


def test_a_long_legend_has_several_lines():
    names = [f"class number {place} of the legend" for place in range(40)]
    mask = np.arange(400 * 640).reshape(400, 640) % 40
    colors = distinct_colors(40)
    legend = overlay_mask(GREY, mask, None, names)[400:]
    for color in colors:
        assert is_color(legend, color).sum() > 500


@pytest.mark.parametrize(("count", "least"), [(8, 90), (21, 39)])
def test_colors_differ(count, least):
    colors = np.array(distinct_colors(count), float)
    distances = np.linalg.norm(colors[:, None] - colors[None], axis=-1)
    assert distances[~np.eye(count, dtype=bool)].min() > least


def test_pictures_stand_side_by_side_below_their_titles():
    row = side_by_side([GREY, GREY[:100, :200]], ["truth", "prediction"])
    assert row.shape[0] > 400 and row.shape[1] > 840
    assert is_color(row, (0, 0, 0)).any()
    np.testing.assert_array_equal(row[-400:, :640], GREY)
    np.testing.assert_array_equal(row[-400:-300, -200:], GREY[:100, :200])
    with pytest.raises(ValueError, match="Received: 1 pictures"):
        side_by_side([GREY], [])


def test_what_cannot_be_drawn_is_named():
    mask = np.zeros((400, 640), int)
    for arguments, message in (
        ((GREY / 255, [], [], None, NAMES), r"uint8 pixels .* Received: float64"),
        ((GREY, [[0, 0, 9, 9]], [3], None, NAMES), "the 3 classes. Received: 3"),
        ((GREY, [[0, 0, 9, np.nan]], [1], None, NAMES), "finite boxes"),
        ((GREY, [[0, 0, 9, 9]], [1, 2], None, NAMES), "1 boxes, 2 labels"),
        ((GREY, [[0, 0, 9, 9]], [1], None, NAMES, COLORS[:2]), "each of 3 classes"),
    ):
        with pytest.raises(ValueError, match=message):
            draw_boxes(*arguments)
    with pytest.raises(ValueError, match=r"\(400, 640\). Received: \(400, 600\)"):
        overlay_mask(GREY, mask[:, :600], COLORS, NAMES)
    with pytest.raises(ValueError, match="Received: 9"):
        overlay_mask(GREY, mask + 9, COLORS, NAMES)
