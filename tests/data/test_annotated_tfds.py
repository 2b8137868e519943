"""Boxes and masks in data sets that the real builders of TensorFlow Datasets prepare from a few files."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from voc_files import annotation

from keras_tricks import data
from keras_tricks.data.detection import (
    DetectionPreprocessing,
    detection_evaluation_batches,
    detection_training_batches,
)
from keras_tricks.data.segmentation import (
    IGNORED,
    SegmentationPreprocessing,
    segmentation_evaluation_batches,
    segmentation_training_batches,
)
from keras_tricks.data_facts import data_facts

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
BOXES = DetectionPreprocessing(image_size=32, **PLAIN)
MASKS = SegmentationPreprocessing(image_size=16, output_stride=4, **PLAIN)
SETS = {"2007": {"train": 5, "val": 4, "test": 3}, "2012": {"train": 2, "val": 1, "test": 1}}


def write_devkit(root, year, numbers):
    """Write a VOC of images whose grey level is their number, each with so many boxes as the last digit says."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    first = 10 if year == "2007" else 30
    for name, count in numbers.items():
        members = range(first, first + count)
        first += count
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"{member:06}\n" for member in members))
        for member in members:
            Image.new("RGB", (48, 40), (5 * member,) * 3).save(root / "JPEGImages" / f"{member:06}.jpg", quality=100)
            objects = [("dog", (1 + box, 1, 20, 10 + box), box % 2) for box in range(member % 10)]
            objects.append(("aeroplane", (30, 20, 48, 40)))
            written = annotation(objects, (48, 40))
            written = written.replace("</name>", "</name><pose>Left</pose><truncated>0</truncated>")
            (root / "Annotations" / f"{member:06}.xml").write_text(written)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Prepare with the real builders what they would have downloaded."""
    raw, root = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("tfds")
    with pytest.MonkeyPatch.context() as patch:

        def prepare(name, paths):
            patch.setattr(tfds.download.DownloadManager, "download_and_extract", lambda *_: paths)
            tfds.builder(name, data_dir=root).download_and_prepare()

        for year, numbers in SETS.items():
            write_devkit(raw / "VOCdevkit" / f"VOC{year}", year, numbers)
            prepare(f"voc/{year}", dict.fromkeys(("trainval", "test"), str(raw)))
        write_pets(raw / "images", raw / "annotations")
        prepare("oxford_iiit_pet", dict.fromkeys(("images", "annotations"), str(raw)))
    return raw, root


def write_pets(images, annotations):
    """Write images whose columns show what the trimap says: 1 white, 2 black, 3 grey."""
    images.mkdir()
    (annotations / "trimaps").mkdir(parents=True)
    for part, numbers in (("trainval", range(6)), ("test", range(6, 8))):
        (annotations / f"{part}.txt").write_text("".join(f"pug_{number} 1 1 1\n" for number in numbers))
        for number in numbers:
            mask = np.repeat([[1] * (6 + number) + [2] * 8 + [3] * 4], 16, axis=0).astype(np.uint8)
            Image.fromarray(mask).save(annotations / "trimaps" / f"pug_{number}.png")
            pixels = np.array([0, 250, 0, 125], np.uint8)[mask]
            Image.fromarray(np.stack([pixels] * 3, -1)).save(images / f"pug_{number}.jpg", quality=100)


def arrays(batches):
    return [(image.numpy(), {key: value.numpy() for key, value in targets.items()}) for image, targets in batches]


def by_image(batches):
    """Return the boxes, labels and marks of each image, by its grey level."""
    return {
        round(float(image[0, 0, 0]) / 5): {key: value[place] for key, value in targets.items()}
        for images, targets in arrays(batches)
        for place, image in enumerate(images)
    }


def test_voc_is_what_its_files_are(prepared):
    raw, root = prepared
    loaded = data.load("voc/2007", root)
    names = loaded.class_names
    assert len(names) == 20 and names[:2] == ("aeroplane", "bicycle") and names[-1] == "tvmonitor"
    assert (loaded.train.size, loaded.validation.size) == (9, 3)
    lists = raw / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main"
    (lists / "trainval.txt").write_text((lists / "train.txt").read_text() + (lists / "val.txt").read_text())
    files = data.load(f"voc:{raw}/VOCdevkit/VOC2007", classes=names, sets=("trainval", "test"))
    ours, theirs = (by_image(detection_evaluation_batches(each, BOXES, 2, "train")) for each in (loaded, files))
    assert ours.keys() == theirs.keys() and len(ours) == 9
    for number, targets in ours.items():
        assert (targets["labels"] >= 0).sum() == number % 10 + 1
        for key, value in targets.items():
            np.testing.assert_allclose(value, theirs[number][key], atol=1e-4)


def test_years_of_voc_are_trained_on_together(prepared):
    loaded = data.load("voc/2007+2012", prepared[1])
    assert (loaded.train.size, loaded.validation.size) == (12, 3)
    train = by_image(detection_evaluation_batches(loaded, BOXES, 4, "train"))
    assert train.keys() == {*range(10, 19), 30, 31, 32}
    other = data.load("voc/2012", prepared[1])
    assert (other.train.size, other.validation.size) == (2, 1), "the test set of 2012 has no boxes"


def test_a_stream_of_boxes_that_starts_later_is_the_rest(prepared):
    loaded = data.load("voc/2007+2012", prepared[1])
    whole = arrays(detection_training_batches(loaded, BOXES, 4, seed=3, epochs=3))
    later = arrays(detection_training_batches(loaded, BOXES, 4, seed=3, first_epoch=1, epochs=3, first_step=1))
    assert len(whole) == 9 and len(later) == 5
    for (images, targets), (others, their_targets) in zip(whole[4:], later, strict=True):
        np.testing.assert_array_equal(images, others)
        for key, value in targets.items():
            np.testing.assert_array_equal(value, their_targets[key])
    assert not np.array_equal(whole[0][0], whole[3][0])


def test_trimaps_stay_aligned_and_streams_go_on(prepared):
    loaded = data.load("oxford_iiit_pet_trimaps", prepared[1])
    assert loaded.class_names == ("pet", "background") and len(loaded.palette) == 2
    assert (loaded.train.size, loaded.validation.size) == (6, 2)
    whole = [
        (images.numpy(), masks.numpy())
        for images, masks in segmentation_training_batches(loaded, MASKS, 2, seed=0, epochs=2)
    ]
    for images, masks in whole:
        assert set(np.unique(masks)) <= {0, 1, IGNORED}
        assert (images[masks == 0] > 125).mean() > 0.9 and (images[masks == 1] < 125).mean() > 0.9
    later = segmentation_training_batches(loaded, MASKS, 2, seed=0, first_epoch=1, epochs=2, first_step=1)
    for (images, masks), (others, their_masks) in zip(whole[4:], later, strict=True):
        np.testing.assert_array_equal(images, others)
        np.testing.assert_array_equal(masks, their_masks)
    widths = [(masks.numpy() == 0).sum() / 16 for _, masks in segmentation_evaluation_batches(loaded, MASKS, 1)]
    assert sorted(widths) == [12, 13]


def test_a_value_that_belongs_to_no_class_stops_the_reading(prepared, monkeypatch):
    from keras_tricks.data.segmentation import MaskClasses, mask_records

    layout = mask_records.LAYOUTS["oxford_iiit_pet_trimaps"]
    fewer = mask_records.MaskLayout(layout.name, layout.image, layout.mask, MaskClasses(("none", "pet")))
    monkeypatch.setitem(mask_records.LAYOUTS, "oxford_iiit_pet_trimaps", fewer)
    loaded = data.load("oxford_iiit_pet_trimaps", prepared[1])
    with pytest.raises(Exception, match="the class 2 in row 0, column"):
        list(segmentation_evaluation_batches(loaded, MASKS, 1))


def test_cityscapes_has_the_classes_that_count():
    from keras_tricks.data.segmentation.mask_records import LAYOUTS

    classes = LAYOUTS["cityscapes/semantic_segmentation"].classes
    labels = {name: number for number, name in enumerate(classes.class_names)}
    assert len(labels) == 19 == data_facts("cityscapes/semantic_segmentation").classes
    ids = np.array([[7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]])
    np.testing.assert_array_equal(classes.indices(ids)[0], range(19))
    assert (labels["road"], labels["sky"], labels["bicycle"]) == (0, 10, 18)
    others = np.array([[each for each in range(34) if each not in ids]])
    assert (classes.indices(others) == IGNORED).all()


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("voc/2007", "voc/2007"),
        ("voc/2007+2012", "voc/2007"),
        ("oxford_iiit_pet_trimaps", "oxford_iiit_pet"),
        ("cityscapes/semantic_segmentation", "cityscapes/semantic_segmentation"),
    ],
)
def test_what_is_not_prepared_says_how(tmp_path, name, build):
    with pytest.raises(data.DataNotFound, match=rf"`tfds build {build} --data_dir {tmp_path}`"):
        data.load(name, tmp_path)
