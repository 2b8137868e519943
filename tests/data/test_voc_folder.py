import numpy as np
import pytest
from voc_files import annotation, write_voc

from keras_tricks import data

SIZE = (40, 30)
CAT, DOG = ("cat", (1, 1, 10, 20)), ("dog", (5, 6, 40, 30))


def load(root, **more):
    return data.load(f"voc:{root}", **more)


def objects(split, item):
    (_, boxes, classes, difficult), _ = split.read(item)
    return boxes.numpy().tolist(), classes.numpy().tolist(), difficult.numpy().tolist()


def write_one(root, *of_a, **more):
    """Write an image `a` to train on, with these objects, and `b` to validate on."""
    return write_voc(root, {"a": (SIZE, of_a), "b": (SIZE, [CAT])}, {"train": ["a"], "val": ["b"], **more})


def test_lists_say_which_images_are_trained_on(tmp_path):
    images = {name: (SIZE, [CAT, DOG]) for name in "abcdef"}
    images["b"] = (SIZE, [])
    sets = {"train": ["a", "b"], "val": ["c"], "trainval": ["a", "b", "c"], "test": ["d", "e"]}
    write_voc(tmp_path, images, sets)
    loaded = load(tmp_path)
    assert (loaded.train.size, loaded.validation.size, loaded.class_names) == (2, 1, ("cat", "dog"))
    assert (loaded.facts.task, loaded.facts.classes, loaded.facts.training_images) == ("detection", 2, 2)
    assert objects(loaded.train, 0) == ([[0, 0, 10, 20], [4, 5, 40, 30]], [0, 1], [False, False])
    assert objects(loaded.train, 1) == ([], [], [])
    assert loaded.train.most_boxes == 2 and loaded.warnings == ()
    other = load(tmp_path, sets=("trainval", "test"), classes=("dog", "cat"))
    assert (other.train.size, other.validation.size) == (3, 2)
    assert objects(other.validation, 1)[1] == [1, 0]


def test_without_lists_a_seeded_share_is_held_out(tmp_path):
    write_voc(tmp_path, {str(number): (SIZE, [CAT]) for number in range(10)})
    loaded = load(tmp_path)
    assert (loaded.train.size, loaded.validation.size) == (8, 2)
    assert len({*loaded.train.paths.numpy(), *loaded.validation.paths.numpy()}) == 10
    np.testing.assert_array_equal(load(tmp_path).train.paths, loaded.train.paths)
    assert list(load(tmp_path, seed=1).train.paths.numpy()) != list(loaded.train.paths.numpy())


def test_difficult_objects_are_marked(tmp_path):
    loaded = load(write_one(tmp_path, CAT, (*DOG, True)))
    assert objects(loaded.train, 0)[2] == [False, True]


@pytest.mark.parametrize(
    ("corners", "reason"),
    [
        ((9, 1, 5, 20), "has its corners exchanged"),
        ((5, 20, 9, 1), "has its corners exchanged"),
        ((5, 6, 5, 20), "is empty"),
        ((41, 6, 60, 20), "lies outside of the 40 x 30 pixels"),
        ((-9, 6, 0, 20), "lies outside of the 40 x 30 pixels"),
        ((5, -9, 9, -3), "lies outside of the 40 x 30 pixels"),
    ],
)
def test_broken_boxes_are_skipped_and_named(tmp_path, corners, reason):
    loaded = load(write_one(tmp_path, ("bird", corners), CAT))
    assert objects(loaded.train, 0)[0] == [[0, 0, 10, 20]]
    numbers = ", ".join(map(str, corners))
    assert loaded.warnings == (f"1 box was skipped in {tmp_path}: Annotations/a.xml: bird [{numbers}] {reason}.",)
    assert loaded.class_names == ("cat",)


def test_many_broken_boxes_are_counted(tmp_path):
    (warning,) = load(write_one(tmp_path, *[("bird", (5, 5, 5, 5))] * 8, CAT)).warnings
    assert warning.startswith("8 boxes were skipped") and warning.endswith("and 3 more boxes.")


def test_boxes_are_cut_off_at_the_border_of_the_image(tmp_path):
    loaded = load(write_one(tmp_path, ("cat", (0, 0, 41, 35)), CAT))
    assert objects(loaded.train, 0)[0] == [[0, 0, 40, 30], [0, 0, 10, 20]]
    assert loaded.warnings == (f"Boxes that reach beyond their images were cut off in {tmp_path}: Annotations/a.xml.",)
    # A file that counts pixels from 0 is not worth a warning.
    from_zero = load(write_one(tmp_path / "zero", ("cat", (0, 0, 40, 30))))
    assert objects(from_zero.train, 0)[0] == [[0, 0, 40, 30]] and from_zero.warnings == ()


@pytest.mark.parametrize("field", ["name", "bndbox", "xmin", "ymin", "xmax", "ymax", "width", "height"])
def test_a_missing_field_is_named_with_its_file(tmp_path, field):
    write_one(tmp_path, CAT, DOG)
    path = tmp_path / "Annotations" / "a.xml"
    whole = annotation([CAT, DOG], SIZE)
    path.write_text(whole.replace(f"<{field}>", "<other>").replace(f"</{field}>", "</other>"))
    where = "the annotation" if field in ("width", "height") else "object 1"
    with pytest.raises(ValueError, match=rf"Annotations/a\.xml lacks the field \S*{field}\S* in {where}"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("<xmin>5<", "<xmin>left<", "has no number in the field bndbox/xmin in object 1: 'left'"),
        ("<ymax>30<", "<ymax>nan<", "has no number in the field bndbox/ymax in object 1: 'nan'"),
        ("<width>40<", "<width>80<", "is of 80 x 30 pixels, but its image of 40 x 30"),
        ("<difficult>0<", "<difficult>maybe<", "has another difficult than 0 or 1 in object 1: 'maybe'"),
        ("</annotation>", "", "is not readable XML"),
        ("dog", "wolf", "names a class that is not expected: 'wolf'"),
    ],
)
def test_wrong_annotations_are_named_with_the_reason(tmp_path, old, new, reason):
    write_one(tmp_path, DOG)
    path = tmp_path / "Annotations" / "a.xml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError) as error:
        load(tmp_path, classes=("cat", "dog"))
    assert f"{path} {reason}" in str(error.value)


def test_a_size_of_zeros_is_unknown(tmp_path):
    write_one(tmp_path, DOG)
    path = tmp_path / "Annotations" / "a.xml"
    path.write_text(annotation([DOG], (0, 0)))
    assert objects(load(tmp_path).train, 0)[0] == [[4, 5, 40, 30]]


def test_missing_and_unreadable_files_are_named(tmp_path):
    write_one(tmp_path, DOG)
    (tmp_path / "JPEGImages" / "a.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"JPEGImages/a\.png is not a JPEG"):
        load(tmp_path)
    (tmp_path / "ImageSets" / "Main" / "val.txt").unlink()
    with pytest.raises(data.DataNotFound, match=r"val\.txt does not exist"):
        load(tmp_path)
    (tmp_path / "JPEGImages" / "a.png").unlink()
    (tmp_path / "Annotations" / "a.xml").unlink()
    with pytest.raises(ValueError, match=r"JPEGImages/a\.jpg is missing; .*Annotations/a\.xml is missing"):
        load(tmp_path, sets=("train", "train"))
    with pytest.raises(data.DataNotFound, match="is not a directory"):
        load(tmp_path / "ImageSets")


def test_an_image_of_both_sets_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"b\.png is in both sets"):
        load(write_one(tmp_path, CAT, trainval=["a", "b"]), sets=("trainval", "val"))


def test_no_box_at_all(tmp_path):
    write_voc(tmp_path, {"a": (SIZE, [("cat", (3, 3, 3, 3))]), "b": (SIZE, [])})
    with pytest.raises(ValueError, match=r"no object with a usable box. 1 box was skipped .*a\.xml: cat"):
        load(tmp_path)


def test_bccd(data_root):
    if not (data_root / "bccd").is_dir():
        pytest.skip("no BCCD")
    loaded = load(data_root / "bccd")
    assert (loaded.train.size, loaded.validation.size) == (205, 87)
    assert loaded.class_names == ("Platelets", "RBC", "WBC")
    assert "is empty" in " ".join(loaded.warnings)
