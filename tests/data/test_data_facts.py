import pytest

from keras_tricks.data_facts import (
    IMAGENET_MEAN,
    KNOWN_DATA_SETS,
    data_facts,
    did_you_mean,
    split_tfds_name,
)


def test_published_counts():
    counts = {name: (facts.training_images, facts.classes) for name, facts in KNOWN_DATA_SETS.items()}
    assert counts["cifar10"] == (50_000, 10)
    assert counts["cifar100"] == (50_000, 100)
    assert counts["svhn_cropped"] == (73_257, 10)
    assert counts["imagenet2012"] == (1_281_167, 1000)
    assert counts["digits"] == (1437, 10)


def test_written_characters_are_not_mirrored():
    kept = {name for name, facts in KNOWN_DATA_SETS.items() if not facts.flip}
    assert kept == {"digits", "mnist", "kmnist", "svhn_cropped"}


def test_sizes_and_styles():
    assert (data_facts("digits").image_size, data_facts("digits").style) == (16, "small")
    assert (data_facts("mnist").image_size, data_facts("mnist").native_size) == (32, 28)
    assert (data_facts("imagenette").image_size, data_facts("imagenette").style) == (224, "imagenet")
    assert data_facts("imagenet2012").mean == IMAGENET_MEAN
    assert data_facts("cifar10").mean != IMAGENET_MEAN


def test_configuration_and_version_keep_the_facts_of_the_data_set():
    facts = data_facts("imagenette/320px-v2:1.0.0")
    assert (facts.name, facts.classes) == ("imagenette/320px-v2:1.0.0", 10)
    assert split_tfds_name(facts.name) == ("imagenette", "320px-v2", "1.0.0")


def test_boxes_and_masks_are_known_by_their_configuration():
    tasks = {name: facts.task for name, facts in KNOWN_DATA_SETS.items() if facts.task != "classification"}
    assert tasks == {
        "voc/2007": "detection",
        "voc/2012": "detection",
        "voc/2007+2012": "detection",
        "cityscapes/semantic_segmentation": "segmentation",
        "oxford_iiit_pet_trimaps": "segmentation",
    }
    facts = data_facts("voc/2007:5.0.0")
    assert (facts.name, facts.task, facts.training_images) == ("voc/2007:5.0.0", "detection", 5_011)
    assert data_facts("oxford_iiit_pet").task == data_facts("cityscapes/stereo_disparity").task == "classification"


def test_unknown_names_and_folders_have_unknown_counts():
    for name in ("beans", "folder:some where/photos"):
        facts = data_facts(name)
        assert (facts.name, facts.classes, facts.training_images) == (name, None, None)
        assert (facts.style, facts.image_size, facts.flip) == ("imagenet", 224, True)


@pytest.mark.parametrize(
    "name", ["", "  ", None, "CIFAR-10", "cifar 10", "cifar10/", "a:1.0", "../x", "folder:", "digits/a"]
)
def test_malformed_names_are_refused(name):
    with pytest.raises(ValueError, match="Received: name="):
        data_facts(name)


def test_close_names_are_offered():
    with pytest.raises(ValueError, match="Did you mean cifar10"):
        data_facts("CIFAR-10")
    assert "fashion_mnist" in did_you_mean("fashionmnist")
    assert "beans" in did_you_mean("bean", ("beans",))
    assert did_you_mean("qqqq") == ""
