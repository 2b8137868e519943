"""The contact sheet: the images of the pipeline without normalisation, and labels in words."""

import numpy as np
import pytest
from PIL import Image

from keras_tricks import Recipe, RecipeError, data, tricks
from keras_tricks.label_text import label_text
from keras_tricks.preview import draw_contact_sheet, sample_images

DIGITS = Recipe(name="digits_run", data="digits", batch_size=32)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


@pytest.mark.parametrize(
    ("shares", "text"),
    [
        ([0, 1, 0], "dog"),
        ([0.7, 0.3, 0], "cat .7 + dog .3"),
        ([0.25, 0, 0.75], "fox .75 + cat .25"),
        ([0.999, 0.001, 0], "cat"),
        ([0.5, 0.3, 0.2], "cat .5 + dog .3 + fox .2"),
    ],
)
def test_labels_in_words(shares, text):
    assert label_text(np.array(shares), ("cat", "dog", "fox")) == text


def test_validation_images_are_the_stored_ones(digits):
    recipe = DIGITS.changed(image_size=8)
    sample = sample_images(recipe, 9, validation=True, data_set=digits)
    np.testing.assert_array_equal(sample.images, digits.validation.images[:9])
    names = [digits.class_names[label] for label in digits.validation.labels.numpy()[:9]]
    assert sample.labels == tuple(names)


def test_training_images_are_those_of_the_stream_with_mixed_labels(digits):
    recipe = DIGITS.changed(tricks=(tricks.Mixup(alpha=5),))
    sample = sample_images(recipe, 8, data_set=digits)
    preprocessing = data.preprocessing_for(digits.facts, 16)
    expected, _ = next(iter(data.training_batches(digits, preprocessing, 8, 0, batch_transforms=(data.MixUp(5),))))
    pixels = np.clip(expected * np.array(preprocessing.std) + np.array(preprocessing.mean), 0, 255)
    assert np.abs(sample.images - pixels.astype(float)).max() <= 0.51
    assert any("+" in label for label in sample.labels)
    assert sample.about == "digits_run · 16 px · training images, mixup"


def test_growing_images_are_shown_as_in_the_first_epoch(digits):
    recipe = DIGITS.changed(epochs=4, tricks=(tricks.ProgressiveResizing(),))
    sample = sample_images(recipe, 8, data_set=digits)
    assert np.shape(sample.images) == (8, 8, 8, 3)
    assert sample.about == "digits_run · 8 px, growing to 16 px · training images, progressive_resizing"
    assert np.shape(sample_images(recipe, 8, validation=True, data_set=digits).images) == (8, 16, 16, 3)


def test_a_sheet_is_a_png_of_all_images(digits, tmp_path):
    recipe = DIGITS.changed(tricks=(tricks.RepeatedAugmentation(repeats=4),))
    sample = sample_images(recipe, 6, data_set=digits)
    assert len(sample.images) == len(sample.labels) == 8
    path = draw_contact_sheet(sample, tmp_path / "new" / "sheet.png")
    with Image.open(path) as sheet:
        assert sheet.format == "PNG" and min(sheet.size) > 600


@pytest.mark.parametrize("images", [0, 2000])
def test_a_number_of_images_that_there_is_not(digits, images):
    with pytest.raises(RecipeError, match=r"Received: (images|batch_size)="):
        sample_images(DIGITS, images, data_set=digits)


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["--output", "sheet.jpg"], 2, "Expected a name that ends in .png"),
        (["--trick", "rand_augment"], 2, "Set rand_augment.magnitude"),
        (["--images", "4", "--trick", "rand_augment.magnitude=5", "--output", "sheet.png"], 0, "4 images are in"),
    ],
)
def test_the_command(words, code, reason, tmp_path, monkeypatch, capsys):
    from keras_tricks.cli import main

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(["preview", "quickstart", *words])
    assert (exit_.value.code or 0) == code
    assert reason in capsys.readouterr().err
    assert (tmp_path / "sheet.png").exists() == (code == 0)
