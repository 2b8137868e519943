"""What a classifier got right and wrong: counted, kept in a file, and equal to what Keras measures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_tricks import Recipe, tricks
from keras_tricks.predictions import PredictionCounter, Predictions, thumbnail
from keras_tricks.runs import RunError, StorageError, schema

NAMES = ("cat", "dog", "owl")
RECIPE = Recipe(
    name="small",
    model="resnet20",
    data="digits",
    epochs=1,
    batch_size=256,
    image_size=8,
    learning_rate=0.5,
    tricks=(tricks.LabelSmoothing(),),
)


def counted(logits, true, batch=4, kept=64, paths=()):
    counter = PredictionCounter(NAMES, paths, kept)
    for start in range(0, len(true), batch):
        part = slice(start, start + batch)
        pixels = np.stack([np.full((2, 2, 3), place, np.uint8) for place in range(start, start + len(true[part]))])
        counter.add(logits[part], true[part], pixels)
    return counter.predictions()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), images=st.integers(1, 20), batch=st.integers(1, 7), kept=st.integers(1, 8))
def test_counts_losses_and_the_worst_are_those_of_numpy(seed, images, batch, kept):
    generator = np.random.default_rng(seed)
    logits, true = generator.normal(size=(images, 3)) * 5, generator.integers(0, 3, images)
    read = counted(logits, true, batch, kept)
    guesses = logits.argmax(axis=1)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    losses = -np.log(probabilities[np.arange(images), true])
    assert read.images == images and read.accuracy == pytest.approx((guesses == true).mean())
    for (row, column), count in read.counts.items():
        assert count == ((true == row) & (guesses == column)).sum()
    for index, score in enumerate(read.scores):
        assert (score.images, score.predicted) == ((true == index).sum(), (guesses == index).sum())
    assert sum(pair.count for pair in read.confusions) == (guesses != true).sum()

    order = np.argsort(-losses, kind="stable")[:kept]
    assert [image.place for image in read.worst] == order.tolist()
    assert [image.loss for image in read.worst] == pytest.approx(losses[order].tolist())
    for image in read.worst:
        assert [guess for guess, _ in image.guesses] == np.argsort(-logits[image.place]).tolist()
        assert image.guesses[0][1] == pytest.approx(probabilities[image.place].max())
        assert (image.pixels == image.place).all() and image.true == true[image.place]


def test_a_loss_that_is_no_number_is_the_worst():
    logits = np.array([[9.0, 0, 0], [np.nan, 0, 0], [0, 0, 9.0]])
    read = counted(logits, np.array([0, 1, 0]))
    assert [image.place for image in read.worst] == [1, 2, 0]
    assert np.isnan(read.worst[0].loss) and read.images == 3


def test_recall_and_precision():
    logits = np.eye(3)[[0, 0, 1, 1, 0]]
    cat, dog, owl = counted(logits, np.array([0, 0, 0, 1, 1])).scores
    assert (cat.recall, cat.precision) == (2 / 3, 2 / 3)
    assert (dog.recall, dog.precision) == (1 / 2, 1 / 2)
    assert (owl.recall, owl.precision) == (None, None)


def test_the_file_gives_back_what_was_written(tmp_path):
    path = tmp_path / schema.PREDICTIONS_FILE
    written = counted(np.eye(3)[[0, 1, 2, 0]] * 4, np.array([0, 2, 2, 1]), paths=("a", "b", "ü/c.png", "d"))
    written.save(path)
    read = Predictions.load(path)
    assert (read.class_names, read.counts) == (written.class_names, written.counts)
    assert read.calibration.error == written.calibration.error
    # Of four answers with the confidence of a logit of 4 two are right.
    assert read.calibration.error == pytest.approx(np.exp(4) / (np.exp(4) + 2) - 0.5)
    for one, other in zip(read.worst, written.worst, strict=True):
        assert {**vars(one), "pixels": one.pixels.tolist()} == {**vars(other), "pixels": other.pixels.tolist()}
    empty = Predictions(NAMES, {(0, 0): 3})
    empty.save(path)
    assert Predictions.load(path).counts == {(0, 0): 3} and Predictions.load(path).worst == ()
    assert Predictions.load(path).calibration is None


def test_a_file_that_cannot_be_used_says_so(tmp_path):
    path = tmp_path / schema.PREDICTIONS_FILE
    with pytest.raises(FileNotFoundError):
        Predictions.load(path)
    Predictions(NAMES, {(0, 0): 3}).save(path)
    whole = path.read_bytes()
    for data in (b"", b"no archive", whole[:200], whole[:-30]):
        path.write_bytes(data)
        with pytest.raises(RunError, match=r"predictions\.npz cannot be read.*keras-tricks evaluate"):
            Predictions.load(path)
    np.savez(path, schema_version=np.array(1), class_names=np.array(NAMES))
    with pytest.raises(RunError, match="cannot be read"):
        Predictions.load(path)
    np.savez(path, schema_version=np.array(99))
    with pytest.raises(RunError, match="schema version 99"):
        Predictions.load(path)
    with pytest.raises(StorageError, match="nowhere"):
        Predictions(NAMES, {(0, 0): 3}).save(tmp_path / "nowhere" / "predictions.npz")


def test_thumbnails_are_means_of_what_they_stand_for():
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    np.testing.assert_array_equal(thumbnail(image), image)
    small = thumbnail(image, size=2)
    np.testing.assert_allclose(small, image.reshape(2, 2, 2, 3, 3).mean(axis=(1, 3)), atol=0.51)
    assert thumbnail(np.full((7, 3, 3), 9, np.uint8), size=3).shape == (3, 3, 3)


@pytest.fixture
def image_folder(tmp_path):
    """Images of one colour a class, in files."""
    for split in ("train", "val"):
        for place, name in enumerate(NAMES):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for number in range(4):
                Image.new("RGB", (40, 40), (80 * place, 10 * number, 0)).save(folder / f"{number}.png")
    return tmp_path / "images"


def test_the_accuracy_is_that_of_evaluate_on_one_device_and_on_two(two_replicas):
    from keras_tricks import data, train
    from keras_tricks.tasks import task_of

    digits = data.load("digits")
    for replicas in (1, 2):
        training = train.build(RECIPE.changed(replicas=replicas), digits)
        values = training.model.evaluate(training.validation_batches(), verbose=0, return_dict=True)
        read = task_of("classification").gather(training)
        assert read.images == 360
        assert read.accuracy == pytest.approx(values["accuracy"], abs=1e-6)
    worst = read.worst[0]
    images, labels = digits.validation.read(worst.place)
    np.testing.assert_allclose(worst.pixels, images, atol=1)
    assert worst.true == labels and worst.path == ""


def test_images_of_files_are_named(image_folder):
    from keras_tricks import train
    from keras_tricks.tasks import task_of

    read = task_of("classification").gather(train.build(RECIPE.changed(data=f"folder:{image_folder}", batch_size=4)))
    assert len(read.worst) == 12
    for image in read.worst:
        name = NAMES[image.true]
        assert image.path.startswith(str(image_folder / "val" / name))
        number = int(image.path[-5])
        assert image.pixels[0, 0].tolist() == [80 * image.true, 10 * number, 0]


def test_many_classes_are_drawn_as_pairs_and_printed_in_part(tmp_path, capsys):
    from keras_tricks.cli.confusion import print_confusion
    from keras_tricks.confusion_plot import plot_confusion

    names = tuple(f"class {index}" for index in range(1000))
    counts = {(index, index): 48 for index in range(1000)} | {(index, (index + 7) % 1000): 2 for index in range(40)}
    read = Predictions(names, counts)
    assert read.confusions[0][:2] == ("class 0", "class 7")
    print_confusion(read)
    out = capsys.readouterr().out
    assert "30 of 1000 classes" in out and "class 999 " not in out and "class 0 " in out
    assert Image.open(plot_confusion(read, tmp_path / "many.png")).size[0] > 400
    print_confusion(Predictions(names[:3], {(0, 0): 1}))
    out = capsys.readouterr().out
    assert "None of the images was taken" in out and "class 2   0        0         -        -" in out
