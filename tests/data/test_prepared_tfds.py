import json
import socket

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_tricks import data
from keras_tricks.data import prepared_tfds, tfds_directory
from keras_tricks.data.image_data_set import ArraySplit
from keras_tricks.data.prepared_tfds import RecordSplit

BARE = {"mean": (0, 0, 0), "std": (1, 1, 1)}
SMALL = data.SmallImagePreprocessing(image_size=6, pad=0, flip=False, **BARE)
LARGE = data.ImageNetPreprocessing(image_size=6, **BARE)


class TinyImages(tfds.core.GeneratorBasedBuilder):
    """Images whose grey level is their number."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=name) for name in ("fixed", "varying", "train_only", "varying_train_only")
    ]
    SIZES = {"train": 60, "test": 7}

    def _info(self):
        side = None if self.builder_config.name.startswith("varying") else 6
        features = {
            "id": tfds.features.Text(),
            "image": tfds.features.Image(shape=(side, side, 1)),
            "label": tfds.features.ClassLabel(names=["even", "odd"]),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
        )

    def _split_generators(self, dl_manager):
        wanted = ["train"] if self.builder_config.name.endswith("train_only") else ["train", "test"]
        return {name: self._generate_examples(name) for name in wanted}

    def _generate_examples(self, split):
        for number in range(self.SIZES[split]):
            image = np.full((6, 6, 1), number, np.uint8)
            yield number, {"id": str(number), "image": image, "label": number % 2}


class NoImages(tfds.core.GeneratorBasedBuilder):
    """Numbers without an image."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({"label": np.int64}))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"label": 1}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp("tfds")
    shards = tfds.download.DownloadConfig(num_shards=4)
    for config in TinyImages.builder_configs:
        TinyImages(data_dir=root, config=config).download_and_prepare(download_config=shards)
    NoImages(data_dir=root).download_and_prepare()
    return root


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was touched")

    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def numbers(batches):
    return [round(float(image[0, 0, 0])) for images, _ in batches for image in images.numpy()]


def training_numbers(loaded, preprocessing, **more):
    return numbers(data.training_batches(loaded, preprocessing, 7, **{"seed": 0, **more}))


@pytest.mark.parametrize("config, kind, preprocessing", [("fixed", ArraySplit, SMALL), ("varying", RecordSplit, LARGE)])
class TestPrepared:
    def test_splits_and_classes(self, data_dir, no_network, config, kind, preprocessing):
        loaded = data.load(f"tiny_images/{config}", data_dir)
        assert isinstance(loaded.train, kind) and isinstance(loaded.validation, kind)
        assert loaded.class_names == ("even", "odd")
        assert (loaded.train.size, loaded.validation.size) == (60, 7)
        assert (loaded.facts.classes, loaded.facts.training_images) == (2, 60)

    def test_every_image_once_in_evaluation(self, data_dir, config, kind, preprocessing):
        loaded = data.load(f"tiny_images/{config}", data_dir)
        for split, size in (("validation", 7), ("train", 60)):
            batches = data.evaluation_batches(loaded, preprocessing, 8, split)
            assert sorted(numbers(batches)) == list(range(size))
            for images, labels in batches:
                np.testing.assert_array_equal(np.argmax(labels, -1), np.round(images[:, 0, 0, 0]) % 2)

    def test_order_and_resume(self, data_dir, config, kind, preprocessing):
        loaded = data.load(f"tiny_images/{config}", data_dir)
        whole = training_numbers(loaded, preprocessing, epochs=3)
        epochs = [whole[start : start + 56] for start in (0, 56, 112)]
        assert len(whole) == 168 and all(len(set(epoch)) == 56 for epoch in epochs)
        assert epochs[0] != epochs[1] != epochs[2]
        assert whole[56:] == training_numbers(loaded, preprocessing, first_epoch=1, epochs=3)
        assert epochs[0] != training_numbers(loaded, preprocessing, seed=1)

    def test_a_seeded_share_where_there_is_only_training(self, data_dir, config, kind, preprocessing):
        name = "tiny_images/train_only" if config == "fixed" else "tiny_images/varying_train_only"
        splits = []
        for seed in (0, 1):
            loaded = data.load(name, data_dir, seed=seed)
            parts = [numbers(data.evaluation_batches(loaded, SMALL, 8, part)) for part in ("train", "validation")]
            assert [len(part) for part in parts] == [48, 12] == [loaded.train.size, loaded.validation.size]
            assert sorted(parts[0] + parts[1]) == list(range(60))
            splits.append(sorted(parts[1]))
        assert splits[0] != splits[1]
        trained_on = training_numbers(data.load(name, data_dir), preprocessing)
        assert len(set(trained_on)) == 42 and not set(trained_on) & set(splits[0])


def test_a_held_out_share_is_stratified_where_classes_are_known(data_dir):
    loaded = data.load("tiny_images/train_only", data_dir)
    assert np.bincount(loaded.validation.labels).tolist() == [6, 6]


def test_a_buffer_smaller_than_the_split_still_gives_every_image(data_dir, monkeypatch):
    monkeypatch.setattr(prepared_tfds, "SHUFFLE_BYTES", 1)
    monkeypatch.setattr(prepared_tfds, "SHUFFLE_AT_LEAST", 5)
    loaded = data.load("tiny_images/varying", data_dir)
    assert loaded.train.buffer == 5
    whole = training_numbers(loaded, LARGE, epochs=2)
    assert len(set(whole[:56])) == len(set(whole[56:])) == 56
    assert whole[56:] == training_numbers(loaded, LARGE, first_epoch=1, epochs=2)


def test_sets_too_large_for_memory_are_streamed(data_dir, monkeypatch):
    monkeypatch.setattr(prepared_tfds, "IN_MEMORY_BYTES", 1000)
    assert isinstance(data.load("tiny_images/fixed", data_dir).train, RecordSplit)


class TestNotThere:
    @pytest.mark.parametrize("name", ["cifar10", "imagenette/320px-v2", "cifar10:9.9.9"])
    def test_not_prepared(self, tmp_path, no_network, name):
        with pytest.raises(data.DataNotFound) as caught:
            data.load(name, tmp_path)
        assert str(caught.value).startswith(f"{name} is not prepared under {tmp_path}. ")
        assert f"`tfds build {name} --data_dir {tmp_path}`" in str(caught.value)

    def test_by_hand(self, tmp_path, no_network):
        with pytest.raises(data.DataNotFound, match=r"downloading its files by hand .*catalog/imagenet2012"):
            data.load("imagenet2012", tmp_path)

    def test_mistyped(self, tmp_path, no_network):
        with pytest.raises(data.DataNotFound, match=r"no data set 'cifra10' .*Did you mean cifar10"):
            data.load("cifra10", tmp_path)

    def test_a_data_dir_that_does_not_exist(self, tmp_path, no_network):
        with pytest.raises(data.DataNotFound, match=r"not prepared under .*none"):
            data.load("cifar10", tmp_path / "none")

    def test_default_data_dir(self, no_network):
        with pytest.raises(data.DataNotFound, match=str(tfds.core.constants.DATA_DIR)):
            data.load("abstract_reasoning/no_such_configuration")

    def test_several_configurations(self, data_dir):
        with pytest.raises(ValueError, match="name one: tiny_images/fixed, tiny_images/train_only"):
            data.load("tiny_images", data_dir)

    def test_the_only_configuration_and_the_newest_version(self, data_dir, tmp_path):
        for version in ("1.0.0", "1.10.0", "1.9.0"):
            target = tmp_path / "tiny_images" / "fixed" / version
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(data_dir / "tiny_images" / "fixed" / "1.0.0")
        (tmp_path / "tiny_images" / "fixed" / "2.0.0").mkdir()
        assert tfds_directory.prepared_directory("tiny_images", tmp_path).name == "1.10.0"
        assert tfds_directory.prepared_directory("tiny_images:1.9.0", tmp_path).name == "1.9.0"


class TestUnusable:
    def copy(self, data_dir, tmp_path, config="fixed"):
        import shutil

        source = data_dir / "tiny_images" / config / "1.0.0"
        return shutil.copytree(source, tmp_path / "tiny_images" / config / "1.0.0")

    def test_no_images(self, data_dir):
        with pytest.raises(ValueError, match="no_images is not a data set of images with one class label"):
            data.load("no_images", data_dir)

    def test_a_missing_file(self, data_dir, tmp_path):
        copy = self.copy(data_dir, tmp_path)
        next(copy.glob("*train*-00002-of-*")).unlink()
        with pytest.raises(data.DataNotFound, match="1 of 4 files of its train split are missing"):
            data.load("tiny_images", tmp_path)

    def test_a_broken_description(self, data_dir, tmp_path):
        (self.copy(data_dir, tmp_path) / "dataset_info.json").write_text("{ no json")
        with pytest.raises(ValueError, match="cannot be opened"):
            data.load("tiny_images", tmp_path)

    def test_no_training_split(self, data_dir, tmp_path):
        path = self.copy(data_dir, tmp_path) / "dataset_info.json"
        info = json.loads(path.read_text())
        info["splits"] = [split for split in info["splits"] if split["name"] == "test"]
        path.write_text(json.dumps(info))
        with pytest.raises(ValueError, match="has no split 'train', only test"):
            data.load("tiny_images", tmp_path)

    def test_another_file_format(self, data_dir, tmp_path):
        path = self.copy(data_dir, tmp_path) / "dataset_info.json"
        info = json.loads(path.read_text())
        info["fileFormat"] = "array_record"
        path.write_text(json.dumps(info))
        with pytest.raises(ValueError, match="prepared as array_record; expected tfrecord"):
            data.load("tiny_images", tmp_path)


def test_cifar10(data_root):
    root = data_root / "tfds"
    if not (root / "cifar10").is_dir():
        pytest.skip(f"no cifar10 under {root}")
    loaded = data.load("cifar10", root)
    assert loaded.class_names[:3] == ("airplane", "automobile", "bird")
    assert (loaded.train.size, loaded.validation.size) == (50_000, 10_000)
    assert np.bincount(loaded.train.labels).tolist() == [5000] * 10
    preprocessing = data.preprocessing_for(loaded.facts)
    pixels = tf.cast(loaded.train.images[::50], tf.float32)
    np.testing.assert_allclose(tf.reduce_mean(pixels, (0, 1, 2)), preprocessing.mean, atol=4)
    images, labels = next(iter(data.training_batches(loaded, preprocessing, 64, seed=0)))
    assert images.shape == (64, 32, 32, 3) and labels.shape == (64, 10)


@pytest.mark.parametrize("config", ["varying", "varying_train_only"])
def test_decoded_records_are_all_seen_once_an_epoch_and_resumed(data_dir, tmp_path, config):
    def loaded(seed=0, cache=tmp_path):
        return data.load(f"tiny_images/{config}", data_dir, seed=seed, decoded_cache=cache)

    def batches(of, first_epoch=0):
        stream = data.training_batches(of, LARGE, 4, seed=1, first_epoch=first_epoch, epochs=2)
        return [(images[:, 0, 0, 0].astype(int).tolist(), labels) for images, labels in stream.as_numpy_iterator()]

    cached, streamed = loaded(), loaded(cache=None)
    whole, steps = batches(cached), data.steps_per_epoch(cached, 4)
    first, second = ([number for numbers, _ in part for number in numbers] for part in (whole[:steps], whole[steps:]))
    assert sorted(first) == sorted(second) == sorted(n for numbers, _ in batches(streamed)[:steps] for n in numbers)
    assert first != second
    for numbers, labels in whole:
        assert labels.argmax(-1).tolist() == [number % 2 for number in numbers]
    assert [numbers for numbers, _ in batches(loaded(), first_epoch=1)] == [numbers for numbers, _ in whole[steps:]]
    for ours, theirs in zip(*(data.evaluation_batches(of, LARGE, 4) for of in (cached, streamed)), strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
    loaded(seed=5)
    assert len(list(tmp_path.glob("*.pixels"))) == 1
