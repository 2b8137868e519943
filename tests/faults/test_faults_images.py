"""Images that go bad in the middle of a training: named, counted, skipped up to a limit, then an error."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from faults_trainer import RECIPE, new_run

from keras_tricks import data
from keras_tricks.callbacks import UnreadableImages, UnreadableImagesError
from keras_tricks.runs import Run, RunWriter, schema


@pytest.fixture
def photos(tmp_path):
    """A folder of 3 classes with 80 images each, four fifths of them to train on."""
    rng = np.random.default_rng(0)
    for label in range(3):
        folder = tmp_path / "photos" / f"class {label}"
        folder.mkdir(parents=True)
        for number in range(80):
            pixels = rng.integers(0, 256, (10, 10, 3)) // 2 + 40 * label
            tf.io.write_file(str(folder / f"{number}.png"), tf.io.encode_png(pixels.astype(np.uint8)))
    return tmp_path / "photos"


@pytest.fixture
def recipe(photos):
    return RECIPE.changed(data=f"folder:{photos}", batch_size=32, epochs=3)


def files(split):
    return [Path(path.decode()) for path in split.paths.numpy()]


def spoil(paths):
    """Cut one half of the files, as a bad disk does, and remove the others."""
    for number, path in enumerate(paths):
        if number % 2:
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:60])


def warnings(directory):
    return [event.message for event in Run(directory).events() if event.kind == "warning" and "blank" in event.message]


def test_a_few_are_named_once_and_order_and_augmentation_stay(tmp_path, recipe, small_model):
    from keras_tricks import train

    loaded = train.load_data(recipe)
    bad = [*files(loaded.train)[5:9], files(loaded.validation)[2]]
    spoil(bad)
    directory = new_run(tmp_path, recipe)
    train.run(recipe, directory, data_set=loaded)
    said = warnings(directory)
    assert sorted(message.split(" cannot be read any more")[0] for message in said) == sorted(map(str, bad))
    assert sum("of 192 training images" in message for message in said) == 4
    assert sum("(1 of 48 validation images)" in message for message in said) == 1

    def images(first_epoch, first_step):
        preprocessing = data.preprocessing_for(loaded.facts, 8)
        batches = data.training_batches(loaded, preprocessing, 32, 0, first_epoch, 2, first_step=first_step)
        return np.stack([images for images, _ in batches.as_numpy_iterator()])

    whole, rest = images(0, 0), images(0, 4)
    assert (whole == 0).all((2, 3, 4)).sum() == 2 * 4
    np.testing.assert_array_equal(whole[4:], rest)


def test_too_many_end_the_run_and_the_checkpoint_stays(tmp_path, recipe, small_model, monkeypatch):
    from keras_tricks import train

    recipe = recipe.changed(epochs=6)
    loaded = train.load_data(recipe)
    bad = files(loaded.train)[:30]
    directory = new_run(tmp_path, recipe)

    class SpoilInTheSecondEpoch(UnreadableImages):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                spoil(bad)

    monkeypatch.setattr(train, "UnreadableImages", SpoilInTheSecondEpoch)
    with pytest.raises(UnreadableImagesError):
        train.run(recipe, directory, data_set=loaded)
    status = Run(directory).status()
    assert status.state == "failed"
    assert "of 192 training images cannot be read any more, " in status.error
    assert any(str(path) in status.error for path in bad)
    assert "Put the files back and go on from the last checkpoint" in status.error
    count = int(status.error.split()[1])
    assert 10 <= count <= 30
    assert len(warnings(directory)) == min(count, 20)
    assert (directory / schema.CHECKPOINTS / "epoch-0001.json").exists()


class TestTheLimit:
    @pytest.fixture
    def loaded(self, photos):
        return data.load(f"folder:{photos}")

    def met(self, split, numbers):
        for number in numbers:
            split.unreadable.add(split.paths.numpy()[number])

    def test_takes_both_a_share_and_a_number(self, loaded):
        callback = UnreadableImages(loaded, share=0.05, at_least=3)
        self.met(loaded.train, range(9))
        callback.on_train_batch_end(0)
        self.met(loaded.validation, [0, 1])
        callback.on_test_batch_end(0)
        self.met(loaded.train, [*range(9), 3])
        callback.on_epoch_end(0)
        self.met(loaded.validation, [2])
        with pytest.raises(UnreadableImagesError, match=r"3 of 48 validation images cannot be read any more, .*photos"):
            callback.on_test_batch_end(0)
        self.met(loaded.train, [9])
        with pytest.raises(UnreadableImagesError, match="10 of 192 training images"):
            callback.on_epoch_end(0)

    def test_twenty_are_named(self, loaded, tmp_path):
        with RunWriter(new_run(tmp_path)) as run:
            callback = UnreadableImages(loaded, run, share=1.0)
            for numbers in (range(15), range(15, 40)):
                self.met(loaded.train, numbers)
                callback.on_train_batch_end(0)
        said = warnings(run.directory)
        assert len(said) == 20
        assert said[-1].endswith("(20 of 192 training images). Later ones are only counted.")

    def test_there_is_nothing_to_look_at_in_memory(self):
        callback = UnreadableImages(data.load("digits"), share=0.0, at_least=1)
        callback.on_train_batch_end(0)
        callback.on_epoch_end(0)

    @pytest.mark.parametrize("arguments", [{"share": -0.1}, {"share": 1.5}, {"at_least": 0}])
    def test_is_checked(self, loaded, arguments):
        (name, value) = next(iter(arguments.items()))
        with pytest.raises(ValueError, match=f"Received: {name}={value}"):
            UnreadableImages(loaded, **arguments)
