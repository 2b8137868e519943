import numpy as np
import pytest
import tensorflow as tf

from keras_tricks import data
from keras_tricks.data.image_data_set import ArraySplit, ImageDataSet
from keras_tricks.data_facts import DataFacts

SIZE, BATCH = 23, 5
STEPS = SIZE // BATCH


def numbered(size, shape=(6, 6, 3)):
    """Images that carry their own number, so a batch says which images it holds."""
    images = np.broadcast_to(np.arange(size, dtype=np.uint8).reshape(-1, 1, 1, 1), (size, *shape))
    return ArraySplit(np.array(images), np.arange(size) % 3)


@pytest.fixture(scope="module")
def data_set():
    return ImageDataSet(
        name="numbers",
        class_names=("a", "b", "c"),
        train=numbered(SIZE),
        validation=numbered(7),
        facts=DataFacts(name="numbers", title="Numbers"),
    )


BARE = {"mean": (0, 0, 0), "std": (1, 1, 1)}
SMALL = data.SmallImagePreprocessing(image_size=6, pad=0, **BARE)
SMALL_MOVED = data.SmallImagePreprocessing(image_size=6, pad=2, **BARE)
LARGE = data.ImageNetPreprocessing(image_size=6, **BARE)


def batches(data_set, preprocessing=SMALL, seed=0, **more):
    return list(data.training_batches(data_set, preprocessing, BATCH, seed, **more).as_numpy_iterator())


def numbers(batch_list):
    return [image[0, 0, 0] for images, _ in batch_list for image in images]


def same(first, second):
    return len(first) == len(second) and all(
        np.array_equal(a, b) for pair in zip(first, second, strict=True) for a, b in zip(*pair, strict=True)
    )


@pytest.mark.parametrize("preprocessing", [SMALL, LARGE], ids=["batch at once", "image by image"])
def test_each_image_at_most_once_an_epoch_with_its_label(data_set, preprocessing):
    stream = batches(data_set, preprocessing, epochs=3)
    assert len(stream) == 3 * STEPS
    for images, labels in stream:
        assert images.shape == (BATCH, 6, 6, 3) and images.dtype == np.float32
        assert labels.shape == (BATCH, 3) and labels.dtype == np.float32
        np.testing.assert_array_equal(labels.argmax(-1), np.round(images[:, 0, 0, 0]) % 3)
        np.testing.assert_array_equal(labels.sum(-1), 1)
    epochs = [numbers(stream[start : start + STEPS]) for start in range(0, 3 * STEPS, STEPS)]
    assert all(len(set(epoch)) == STEPS * BATCH for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert any(set(epochs[0]) != set(epoch) for epoch in epochs[1:])


@pytest.mark.parametrize("preprocessing", [SMALL_MOVED, LARGE], ids=["batch at once", "image by image"])
@pytest.mark.parametrize("transforms", [(), (data.MixUp(1.0), data.CutMix(1.0))], ids=["plain", "mixed"])
def test_a_later_start_is_the_rest_of_the_unbroken_stream(data_set, preprocessing, transforms):
    whole = batches(data_set, preprocessing, epochs=4, batch_transforms=transforms)
    for first in (1, 3):
        rest = batches(data_set, preprocessing, first_epoch=first, epochs=4, batch_transforms=transforms)
        assert same(whole[first * STEPS :], rest)


@pytest.mark.parametrize("preprocessing", [SMALL_MOVED, LARGE], ids=["batch at once", "image by image"])
def test_a_start_within_an_epoch_is_the_rest_too(data_set, preprocessing):
    more = {"epochs": 3, "batch_transforms": (data.MixUp(1.0),)}
    whole = batches(data_set, preprocessing, **more)
    rest = data.training_batches(data_set, preprocessing, BATCH, 0, first_epoch=1, first_step=2, **more)
    assert int(rest.cardinality()) == 2 * STEPS - 2
    assert same(whole[STEPS + 2 :], list(rest.as_numpy_iterator()))


def test_the_seed_decides(data_set):
    first, again, other = (batches(data_set, SMALL_MOVED, seed=seed) for seed in (0, 0, 1))
    assert same(first, again) and not same(first, other)
    assert numbers(batches(data_set, seed=0)) != numbers(batches(data_set, seed=1))


def test_batch_at_once_and_image_by_image_are_the_same(data_set, monkeypatch):
    at_once = batches(data_set, SMALL_MOVED, epochs=2)
    monkeypatch.setattr("keras_tricks.data.pipeline._takes_whole_batches", lambda *_: False)
    assert same(at_once, batches(data_set, SMALL_MOVED, epochs=2))


def test_images_of_a_batch_are_augmented_each_in_its_own_way(data_set):
    plain = np.repeat(np.full((1, 6, 6, 3), 9, np.uint8), SIZE, axis=0)
    same_images = ImageDataSet("nines", ("a",), ArraySplit(plain, np.zeros(SIZE)), data_set.validation, data_set.facts)
    images = np.concatenate([images for images, _ in batches(same_images, SMALL_MOVED, epochs=5)])
    assert len({image.tobytes() for image in images}) > 15


def test_each_step_has_its_own_seed_and_transforms_come_in_turn(data_set):
    def note(images, labels, seed):
        return tf.cast(seed, tf.float32)[None], labels

    def add(images, labels, seed):
        return images + 0.5, labels

    seeds = [tuple(images[0]) for images, _ in batches(data_set, epochs=3, batch_transforms=(note, add))]
    assert len(set(seeds)) == 3 * STEPS
    assert all(number % 1 == 0.5 for seed in seeds for number in seed)


def test_only_one_of_two_mixings_is_applied(data_set):
    kinds = {"mixed": 0, "cut": 0}
    transforms = (data.MixUp(5.0), data.CutMix(1.0))
    plain = batches(data_set, epochs=10)
    for (before, _), (after, _) in zip(plain, batches(data_set, epochs=10, batch_transforms=transforms), strict=True):
        whole = np.isclose(after, before) | np.isclose(after, before[::-1])
        one_value = all(len(np.unique(image)) == 1 for image in after)
        assert whole.all() or one_value
        kinds["cut" if whole.all() else "mixed"] += 1
    assert min(kinds.values()) > 8


def test_cardinality_is_known(data_set):
    assert data.steps_per_epoch(data_set, BATCH) == STEPS
    assert int(data.training_batches(data_set, SMALL, BATCH, 0, 2, 5).cardinality()) == 3 * STEPS
    for split, drop, count in (("validation", False, 2), ("validation", True, 1), ("train", False, 5)):
        dataset = data.evaluation_batches(data_set, SMALL, BATCH, split, drop_remainder=drop)
        assert int(dataset.cardinality()) == count == len(list(dataset))


@pytest.mark.parametrize("preprocessing", [SMALL_MOVED, LARGE], ids=["batch at once", "image by image"])
def test_evaluation_gives_every_image_once_in_order(data_set, preprocessing):
    got = list(data.evaluation_batches(data_set, preprocessing, BATCH).as_numpy_iterator())
    assert [len(images) for images, _ in got] == [5, 2]
    np.testing.assert_allclose(numbers(got), range(7), atol=1e-5)
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in got]).argmax(-1), np.arange(7) % 3)


def test_replicas_see_the_batches_of_one_device(data_set, two_replicas):
    def new_batches():
        return data.training_batches(data_set, SMALL_MOVED, 4, seed=0, epochs=2)

    distributed = two_replicas.experimental_distribute_dataset(new_batches())
    seen = [
        np.concatenate([part.numpy() for part in two_replicas.experimental_local_results(images)])
        for images, _ in distributed
    ]
    alone = [images.numpy() for images, _ in new_batches()]
    assert len(seen) == len(alone)
    for split, whole in zip(seen, alone, strict=True):
        np.testing.assert_array_equal(split, whole)


class TestDigits:
    @pytest.fixture(scope="class")
    def digits(self):
        return data.load("digits")

    def test_the_published_images_with_a_fixed_split(self, digits):
        from sklearn.datasets import load_digits

        assert (digits.train.size, digits.validation.size) == (1437, 360)
        assert digits.class_names == tuple("0123456789")
        assert digits.warnings == ()
        parts = [digits.train, digits.validation]
        got = sorted(
            (int(label), image[..., 0].tobytes())
            for part in parts
            for image, label in zip(part.images.numpy(), part.labels.numpy(), strict=True)
        )
        published = load_digits()
        expected = sorted(
            (int(label), np.round(image * 255 / 16).astype(np.uint8).tobytes())
            for image, label in zip(published.images, published.target, strict=True)
        )
        assert got == expected
        assert np.bincount(digits.validation.labels).tolist() == [36, 36, 36, 36, 37, 36, 36, 36, 35, 36]

    def test_the_split_has_no_seed(self, digits):
        other = data.load("digits", seed=5, validation_fraction=0.5)
        np.testing.assert_array_equal(other.train.images, digits.train.images)

    def test_the_constants_are_those_of_the_training_images(self, digits):
        pixels = digits.train.images.numpy()
        assert digits.facts.mean[0] == pytest.approx(pixels.mean(), abs=0.01)
        assert digits.facts.std[0] == pytest.approx(pixels.std(), abs=0.01)

    def test_batches_are_normalised(self, digits):
        preprocessing = data.preprocessing_for(digits.facts, 8)
        images = np.concatenate([i for i, _ in data.evaluation_batches(digits, preprocessing, 500, "train")])
        assert images.shape == (1437, 8, 8, 3)
        assert abs(images.mean()) < 0.01 and abs(images.std() - 1) < 0.01

    @pytest.mark.backend
    def test_a_model_trains_on_it(self, digits):
        import keras

        preprocessing = data.preprocessing_for(digits.facts)
        model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(10)])
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.003), loss, metrics=["accuracy"])
        training = data.training_batches(digits, preprocessing, 64, seed=0, epochs=3)
        model.fit(training, epochs=3, steps_per_epoch=data.steps_per_epoch(digits, 64), verbose=0)
        validation = data.evaluation_batches(digits, preprocessing, 64)
        assert model.evaluate(validation, verbose=0, return_dict=True)["accuracy"] > 0.8


class TestPrepareImage:
    def test_pixels_of_one_three_and_four_channels(self):
        grey = np.random.default_rng(0).integers(0, 256, (9, 7), dtype=np.uint8)
        colour = np.repeat(grey[..., None], 3, axis=-1)
        with_alpha = np.concatenate([colour, np.zeros((9, 7, 1), np.uint8)], axis=-1)
        expected = data.prepare_image(colour, SMALL)
        assert expected.shape == (6, 6, 3) and expected.dtype == np.float32
        for same_image in (grey, grey[..., None], with_alpha):
            np.testing.assert_array_equal(data.prepare_image(same_image, SMALL), expected)

    def test_a_file(self, tmp_path):
        pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
        path = tmp_path / "image.png"
        path.write_bytes(tf.io.encode_png(pixels).numpy())
        for source in (path, str(path)):
            np.testing.assert_array_equal(data.prepare_image(source, LARGE), data.prepare_image(pixels, LARGE))

    def test_files_that_are_no_images(self, tmp_path):
        text = tmp_path / "text.png"
        text.write_text("no image")
        for path, reason in ((text, "not a readable image"), (tmp_path / "none.png", "No such file"), (tmp_path, "")):
            with pytest.raises(ValueError, match=f"{path.name}.*{reason}"):
                data.prepare_image(path, SMALL)

    @pytest.mark.parametrize("pixels", [np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8)])
    def test_pixels_of_another_form(self, pixels):
        with pytest.raises(ValueError, match="Received: shape="):
            data.prepare_image(pixels, SMALL)


def test_arguments_out_of_range(data_set):
    def stream(batch_size=BATCH, seed=0, **more):
        return data.training_batches(data_set, SMALL, batch_size, seed, **more)

    for arguments, named in (
        ({"batch_size": 24}, "numbers has 23 training images.*batch_size=24"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"seed": -1}, "seed=-1"),
        ({"first_epoch": 2, "epochs": 2}, "first_epoch=2, epochs=2"),
        ({"first_epoch": -1}, "first_epoch=-1"),
        ({"first_step": STEPS}, f"first_step={STEPS}"),
        ({"first_step": -1}, "first_step=-1"),
    ):
        with pytest.raises(ValueError, match=named):
            stream(**arguments)
    with pytest.raises(ValueError, match="split='test'"):
        data.evaluation_batches(data_set, SMALL, BATCH, split="test")
    with pytest.raises(ValueError, match="batch_size=0"):
        data.evaluation_batches(data_set, SMALL, 0)
