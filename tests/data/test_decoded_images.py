"""Decoded images in a file: the same batches as without it, bit for bit, and what happens where something is wrong."""

import collections
import fcntl
import threading

import numpy as np
import psutil
import pytest
import tensorflow as tf

from keras_tricks import Recipe, data, training
from keras_tricks.data import decoded_images, image_files
from keras_tricks.recipe import RecipeError

PREPROCESSING = data.ImageNetPreprocessing(image_size=8)
Usage = collections.namedtuple("Usage", "free")


def write_photos(root, kind="png", count=6):
    random = np.random.default_rng(0)
    encode = {"png": tf.io.encode_png, "jpg": tf.io.encode_jpeg}[kind]
    for name in ("cat", "dog"):
        for number in range(count):
            pixels = random.integers(0, 256, (12 + number, 20 - number, 3), dtype=np.uint8)
            tf.io.write_file(f"{root / name / str(number)}.{kind}", encode(pixels))
    return root


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos")


def load(photos, cache=None, **more):
    return data.load(f"folder:{photos}", decoded_cache=cache, **more)


def batches_of(loaded, preprocessing=PREPROCESSING, **more):
    arguments = {"seed": 3, "epochs": 3, "batch_transforms": (data.MixUp(1.0),), **more}
    return list(data.training_batches(loaded, preprocessing, 4, **arguments).as_numpy_iterator())


def require_same(ours, theirs):
    for (images, labels), (expected, their_labels) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(images, expected)
        np.testing.assert_array_equal(labels, their_labels)


@pytest.mark.parametrize("two_trees", [False, True])
def test_batches_are_those_of_the_files(tmp_path, two_trees):
    photos = tmp_path / "photos"
    for folder in ("train", "val") if two_trees else (".",):
        write_photos(photos / folder)
    plain, cached = load(photos), load(photos, tmp_path / "cache")
    whole = batches_of(cached)
    require_same(whole, batches_of(plain))
    steps = data.steps_per_epoch(cached, 4)
    require_same(whole[steps + 1 :], batches_of(load(photos, tmp_path / "cache"), first_epoch=1, first_step=1))
    evaluated = [list(data.evaluation_batches(each, PREPROCESSING, 4)) for each in (plain, cached)]
    require_same(*evaluated)


@pytest.mark.parametrize(
    ("preprocessing", "repeats"), [(PREPROCESSING, 2), (data.SmallImagePreprocessing(image_size=8), 1)]
)
def test_jpegs_are_those_that_are_decoded_as_a_whole(tmp_path, preprocessing, repeats):
    photos = write_photos(tmp_path / "photos", "jpg")
    ours, theirs = (
        batches_of(load(photos, cache), preprocessing, repeats=repeats) for cache in (tmp_path / "cache", None)
    )
    require_same(ours, theirs)


def test_a_part_of_a_jpeg_is_cut_out_of_the_whole_one(tmp_path):
    loaded = load(write_photos(tmp_path / "photos", "jpg"), tmp_path / "cache")
    plain = data.ImageNetPreprocessing(image_size=8, mean=(0, 0, 0), std=(1, 1, 1))
    [(images, _)] = batches_of(loaded, plain, batch_transforms=(), epochs=1)[:1]
    [item] = loaded.train.shuffled(3, 0).take(1)
    pixels = tf.io.decode_jpeg(tf.io.read_file(loaded.train.path(item)), channels=3)
    np.testing.assert_array_equal(loaded.train.read(item)[0], pixels)
    uniforms = tf.random.stateless_uniform((4, plain.random_numbers), [3 * 3 + 1, 0], alg="philox")
    np.testing.assert_array_equal(images[0], plain.augment(pixels, uniforms[0]))


def test_it_is_made_once_for_all_seeds_and_anew_for_other_files(tmp_path, photos, caplog):
    cache = tmp_path / "deep" / "cache"
    for seed in (0, 1, 0):
        load(photos, cache, seed=seed)
    [pixels] = cache.glob("*.pixels")
    assert caplog.text.count("Decoding 12 images") == 1
    assert pixels.stat().st_size == sum(2 * 3 * (12 + number) * (20 - number) for number in range(6))
    tf.io.write_file(str(photos / "cat" / "0.png"), tf.io.encode_png(np.zeros((9, 9, 3), np.uint8)))
    require_same(batches_of(load(photos, cache)), batches_of(load(photos)))
    assert len(list(cache.glob("*.pixels"))) == 2
    assert {path.suffix for path in cache.iterdir()} == {".pixels", ".npz", ".lock"}


def test_a_damaged_file_is_blank_counted_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "DECODE_ALL_UP_TO", 0)
    photos = tmp_path / "photos"
    for folder in ("train", "val"):
        write_photos(photos / folder)
    bad = photos / "train" / "dog" / "3.png"
    bad.write_bytes(bad.read_bytes()[:60])
    plain, cached = (load(photos, cache) for cache in (None, tmp_path / "cache"))
    require_same(batches_of(cached), batches_of(plain))
    assert cached.train.unreadable.paths() == plain.train.unreadable.paths() == [str(bad)]


def test_no_room_on_the_disk(tmp_path, photos, monkeypatch):
    monkeypatch.setattr(decoded_images.shutil, "disk_usage", lambda _: Usage(5000))
    recipe = Recipe(data=f"folder:{photos}", decoded_cache=str(tmp_path / "cache"))
    with pytest.raises(RecipeError, match=r"The 12 decoded images take about 0.0 GiB.* Choose a directory on another"):
        training.load_data(recipe)
    assert not list((tmp_path / "cache").glob("decoded-*s"))


def test_a_disk_that_fills_up_leaves_nothing(tmp_path, photos, monkeypatch):
    monkeypatch.setattr(decoded_images.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(ValueError, match=r"cannot be kept in .*cache: No space left"):
        load(photos, tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]
    monkeypatch.undo()
    require_same(batches_of(load(photos, tmp_path / "cache")), batches_of(load(photos)))


def test_no_room_in_memory_is_a_warning(tmp_path, photos, monkeypatch):
    assert load(photos, tmp_path / "cache").warnings == ()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: collections.namedtuple("Memory", "available")(5000))
    [warning] = load(photos, tmp_path / "cache").warnings
    assert "GiB of memory are free" in warning


def test_what_is_no_cache_is_refused(tmp_path, photos):
    with pytest.raises(ValueError, match=r"Not a directory|File exists"):
        load(photos, photos / "cat" / "0.png")
    load(photos, tmp_path / "cache")
    [pixels] = (tmp_path / "cache").glob("*.pixels")
    pixels.write_bytes(b"short")
    with pytest.raises(ValueError, match=r"is damaged. Remove it and decoded-"):
        load(photos, tmp_path / "cache")


def test_two_at_once_make_one(tmp_path, photos, caplog):
    load(photos, tmp_path / "cache")
    [lock] = (tmp_path / "cache").glob("*.lock")
    with lock.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waits = threading.Thread(target=load, args=(photos, tmp_path / "cache"))
        waits.start()
        waits.join(timeout=3)
        assert waits.is_alive() and "Waiting for another process" in caplog.text
    waits.join(timeout=60)
    assert not waits.is_alive() and caplog.text.count("Decoding") == 1


def test_data_in_memory_need_none():
    [problem] = [each for each in Recipe(decoded_cache="/cache").problems() if each.where == "decoded_cache"]
    assert problem.level == "warning" and "digits is decoded in memory anyway" in problem.message
