import numpy as np
import pytest
from PIL import Image

from keras_tricks import data
from keras_tricks.data.segmentation import IGNORED, MaskClasses, read_classes, read_mask, voc_color

COLORS = ((128, 64, 128), (0, 0, 0), (64, 0, 128))
CLASSES_FILE = "road 128 64 128\nvoid 0 0 0 ignore\nparked car 64 0 128\n"


def write_image(path, size=(12, 8), color=(90, 80, 70)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def write_mask(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


def values(seed=0, size=(12, 8), classes=3):
    return np.random.default_rng(seed).integers(0, classes, size[::-1])


def write_pairs(images, masks, count=4, ending=""):
    for index in range(count):
        write_image(images / f"{index}.jpg")
        write_mask(masks / f"{index}{ending}.png", values(index))


def load(root, **more):
    return data.load(f"masks:{root}", **more)


def masks_of(split):
    return [split.read(item)[0][1].numpy() for item in range(split.size)]


def test_ade20k_as_it_is_downloaded(tmp_path):
    for part, count in (("training", 3), ("validation", 2)):
        write_pairs(tmp_path / "images" / part, tmp_path / "annotations" / part, count)
    table = "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.2\t9\t1\t1\twall\n2 \t0.1\t6\t1\t0\tbuilding, edifice \n"
    (tmp_path / "objectInfo150.txt").write_text(table)
    loaded = load(tmp_path)
    assert (loaded.train.size, loaded.validation.size) == (3, 2)
    assert loaded.class_names == ("wall", "building")
    for index, mask in enumerate(masks_of(loaded.validation)):
        np.testing.assert_array_equal(mask, np.array([IGNORED, 0, 1])[values(index)])


@pytest.mark.parametrize(
    "layout",
    [
        ("train/images", "train/masks", "val/images", "val/masks"),
        ("train/images", "train/labels", "test/images", "test/labels"),
        ("images/train", "annotations/train", "images/validation", "annotations/validation"),
        ("train", "trainannot", "val", "valannot"),
    ],
)
def test_two_parts(tmp_path, layout):
    train, train_masks, validation, validation_masks = (tmp_path / name for name in layout)
    write_pairs(train, train_masks, 4)
    write_pairs(validation, validation_masks, 2)
    loaded = load(tmp_path)
    assert (loaded.train.size, loaded.validation.size) == (4, 2)
    assert loaded.class_names == ("0", "1", "2") and len(loaded.palette) == 3
    assert (loaded.facts.classes, loaded.facts.training_images, loaded.facts.task) == (3, 4, "segmentation")
    for index, mask in enumerate(masks_of(loaded.train)):
        np.testing.assert_array_equal(mask, values(index))


@pytest.mark.parametrize(("below", "ending"), [("", "_L"), ("train", "_mask"), ("", "")])
def test_one_part_is_split_by_the_seed(tmp_path, below, ending):
    write_pairs(tmp_path / below / "images", tmp_path / below / "masks", 10, ending)
    loaded = load(tmp_path)
    assert (loaded.train.size, loaded.validation.size) == (8, 2)
    paths = set(loaded.train.paths.numpy()) | set(loaded.validation.paths.numpy())
    assert len(paths) == 10
    np.testing.assert_array_equal(load(tmp_path).train.paths, loaded.train.paths)
    assert list(load(tmp_path, seed=3).train.paths.numpy()) != list(loaded.train.paths.numpy())


def test_images_lie_in_subfolders_like_their_masks(tmp_path):
    for town in ("a", "b"):
        write_image(tmp_path / "images" / town / "1.png")
        write_mask(tmp_path / "masks" / town / "1.png", values())
    write_image(tmp_path / "images" / ".hidden.png")
    loaded = load(tmp_path)
    assert (loaded.train.size, loaded.validation.size) == (1, 1)


def test_values_that_are_ignored_leave_no_gap(tmp_path):
    write_pairs(tmp_path / "images", tmp_path / "masks", 3)
    write_mask(tmp_path / "masks" / "0.png", np.where(values(0) == 2, 255, values(0)))
    loaded = load(tmp_path, ignored=(0, 255), classes=("void", "tree", "sky"))
    assert loaded.class_names == ("tree", "sky") and loaded.warnings == ()
    table = np.array([IGNORED, 0, 1])
    expected = {index: table[values(index)] for index in range(3)}
    expected[0][values(0) == 2] = IGNORED
    for split in (loaded.train, loaded.validation):
        for path, mask in zip(split.paths.numpy(), masks_of(split), strict=True):
            np.testing.assert_array_equal(mask, expected[int(path.decode().split("/")[-1][0])])


def test_a_palette_image_holds_indices(tmp_path):
    image = Image.fromarray(values().astype(np.uint8), "P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    image.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), values())


def test_masks_of_sixteen_bits(tmp_path):
    Image.fromarray(np.array([[0, 700]], np.uint16)).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").tolist() == [[0, 700]]


def test_colors_of_a_classes_file(tmp_path):
    write_pairs(tmp_path / "images", tmp_path / "masks", 4)
    for index in range(4):
        write_mask(tmp_path / "masks" / f"{index}.png", np.array(COLORS)[values(index)])
    (tmp_path / "classes.txt").write_text(CLASSES_FILE)
    loaded = load(tmp_path)
    assert loaded.class_names == ("road", "parked car")
    assert loaded.palette == (COLORS[0], COLORS[2])
    table = np.array([0, IGNORED, 1])
    for path, mask in zip(loaded.train.paths.numpy(), masks_of(loaded.train), strict=True):
        np.testing.assert_array_equal(mask, table[values(int(path.decode().split("/")[-1][0]))])


@pytest.mark.parametrize(
    "text",
    [
        CLASSES_FILE,
        "name,r,g,b\nroad,128,64,128\nvoid,0,0,0,ignore\nparked car,64,0,128\n",
        "# colours\n128 64 128\troad\n0 0 0\tvoid ignore\n\n64 0 128\tparked car\n",
    ],
)
def test_forms_of_a_classes_file(tmp_path, text):
    (tmp_path / "classes.txt").write_text(text)
    expected = MaskClasses(("road", "void", "parked car"), COLORS, (255, 1))
    assert read_classes(tmp_path / "classes.txt") == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("road 1 2 3\ncar\n", "line 2: expected a name.*Received: 'car'"),
        ("road\nroad\n", "another name for each class"),
        ("road 1 2 3\ncar 1 2 3\n", "another colour for each class"),
        ("void ignore\n", "from 1 to 255 classes"),
        ("", "from 1 to 255 classes"),
    ],
)
def test_a_wrong_classes_file_is_named(tmp_path, text, words):
    path = tmp_path / "classes.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"(?s){path}.*{words}"):
        read_classes(path)


class TestBadFiles:
    @pytest.fixture
    def root(self, tmp_path):
        write_pairs(tmp_path / "images", tmp_path / "masks", 4)
        return tmp_path

    def test_a_missing_mask(self, root):
        (root / "masks" / "2.png").unlink()
        with pytest.raises(ValueError, match=r"images/2\.jpg has no mask: expected .*masks/2\.png"):
            load(root)

    def test_other_sizes(self, root):
        write_mask(root / "masks" / "1.png", values(size=(8, 12)))
        with pytest.raises(
            ValueError, match=r"masks/1\.png is of 8 x 12 pixels, but its image .*images/1\.jpg of 12 x 8"
        ):
            load(root)

    def test_a_class_out_of_range(self, root):
        wrong = values(1)
        wrong[3, 5] = 7
        write_mask(root / "masks" / "1.png", wrong)
        with pytest.raises(
            ValueError, match=r"masks/1\.png the class 7 in row 3, column 5 is out of range: expected 0 to"
        ):
            load(root, classes=("a", "b", "c"))

    def test_a_strange_color(self, root):
        for index in range(4):
            write_mask(root / "masks" / f"{index}.png", np.array(COLORS)[values(index)])
        (root / "classes.txt").write_text("road 128 64 128\nvoid 0 0 0\n")
        with pytest.raises(ValueError, match=r"masks/0\.png the colour \(64, 0, 128\) in row"):
            load(root)

    def test_colors_without_a_classes_file(self, root):
        write_mask(root / "masks" / "3.png", np.array(COLORS)[values(3)])
        with pytest.raises(ValueError, match=r"masks/3\.png is coded by colour"):
            load(root)

    def test_files_that_cannot_be_read(self, root):
        (root / "masks" / "0.png").write_bytes(b"nothing")
        whole = (root / "masks" / "1.png").read_bytes()
        (root / "masks" / "1.png").write_bytes(whole[: len(whole) // 2])
        (root / "images" / "2.jpg").write_bytes(b"nothing")
        with pytest.raises(ValueError) as error:
            load(root)
        assert "masks/0.png is not a readable image" in str(error.value)
        assert "masks/1.png cannot be read" in str(error.value)
        assert "images/2.jpg is not a JPEG" in str(error.value)

    def test_many_bad_files_are_counted(self, tmp_path):
        write_pairs(tmp_path / "images", tmp_path / "masks", 9)
        for path in (tmp_path / "masks").iterdir():
            path.write_bytes(b"")
        with pytest.raises(ValueError, match="and 4 more files"):
            load(tmp_path)

    def test_no_folders(self, tmp_path):
        with pytest.raises(data.DataNotFound, match="does not exist"):
            load(tmp_path / "nowhere")
        with pytest.raises(data.DataNotFound, match="expected images/ and masks/"):
            load(tmp_path)
        write_pairs(tmp_path / "val" / "images", tmp_path / "val" / "masks", 1)
        with pytest.raises(data.DataNotFound, match="none to train on: expected train/"):
            load(tmp_path)


def test_classes_that_no_pixel_has_are_named(tmp_path):
    write_pairs(tmp_path / "images", tmp_path / "masks", 3)
    loaded = load(tmp_path, classes=("a", "b", "c", "d"))
    assert loaded.warnings == (f"No pixel in {tmp_path} is of 'd'.",)


def test_the_colors_of_voc():
    # From the devkit of Pascal VOC: aeroplane, bicycle, bird, boat, person and the border.
    colors = [voc_color(index) for index in (0, 1, 2, 3, 4, 15, 255)]
    assert colors[:5] == [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)]
    assert colors[5:] == [(192, 128, 128), (224, 224, 192)]


def test_camvid(data_root):
    if not (data_root / "camvid").is_dir():
        pytest.skip("no CamVid")
    loaded = load(data_root / "camvid", ignored=(11,))
    assert (loaded.train.size, loaded.validation.size, len(loaded.class_names)) == (367, 101, 11)
    counts = np.bincount(loaded.train.read(0)[0][1].numpy().ravel(), minlength=256)
    assert counts[:11].sum() + counts[IGNORED] == 360 * 480
