import io
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_tricks import data
from keras_tricks.data import image_files
from keras_tricks.data.image_files import problem_of_image_file

PREPROCESSING = data.ImageNetPreprocessing(image_size=8)
COLOURS = {"blue": (0, 0, 200), "green": (0, 200, 0), "red": (200, 0, 0)}


def image_bytes(colour=(9, 9, 9), file_format="PNG", mode="RGB", size=(20, 16), **options):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).convert(mode).save(buffer, file_format, **options)
    return buffer.getvalue()


def write(path, contents):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)


def write_tree(root, count=5):
    for name, colour in COLOURS.items():
        for index in range(count):
            write(root / name / f"{index}.png", image_bytes(colour))
    return root


def load(root, **more):
    return data.load(f"folder:{root}", **more)


def names(split):
    return [os.fsdecode(path) for path in split.paths.numpy()]


def test_one_tree_is_split_by_a_seeded_share_of_each_class(tmp_path):
    root = write_tree(tmp_path, count=10)
    loaded = load(root)
    assert loaded.class_names == ("blue", "green", "red")
    assert (loaded.train.size, loaded.validation.size) == (24, 6)
    assert np.bincount(loaded.validation.labels).tolist() == [2, 2, 2]
    assert (loaded.facts.classes, loaded.facts.training_images) == (3, 24)
    assert loaded.warnings == ()
    everything = sorted(names(loaded.train) + names(loaded.validation))
    assert everything == sorted(str(path) for path in root.rglob("*.png"))
    assert names(load(root).train) == names(loaded.train)
    assert names(load(root, seed=1).train) != names(loaded.train)
    assert load(root, validation_fraction=0.5).validation.size == 15


def test_the_share_does_not_depend_on_where_the_tree_lies(tmp_path):
    first, second = write_tree(tmp_path / "a", 10), write_tree(tmp_path / "b", 10)
    held_out = [
        sorted(os.path.relpath(path, root) for path in names(load(root).validation)) for root in (first, second)
    ]
    assert held_out[0] == held_out[1]


@pytest.mark.parametrize("validation", ["val", "validation", "test"])
def test_two_trees(tmp_path, validation):
    write_tree(tmp_path / "train", 4)
    write_tree(tmp_path / validation, 2)
    loaded = load(tmp_path)
    assert (loaded.train.size, loaded.validation.size) == (12, 6)
    assert all(f"/{validation}/" in path for path in names(loaded.validation))


def test_a_train_folder_alone_is_split(tmp_path):
    write_tree(tmp_path / "train", 5)
    loaded = load(tmp_path)
    assert (loaded.train.size, loaded.validation.size) == (12, 3)
    assert loaded.class_names == tuple(COLOURS)


def test_a_class_may_be_called_train_or_test(tmp_path):
    for name in ("train", "test", "other"):
        for index in range(3):
            write(tmp_path / name / f"{index}.png", image_bytes())
    root = tmp_path / "classes"
    for name in ("test", "other"):
        shutil.copytree(tmp_path / name, root / name)
    assert load(root).class_names == ("other", "test")


def test_images_reach_the_model_with_their_labels(tmp_path):
    loaded = load(write_tree(tmp_path, 10))
    for batches in (
        data.training_batches(loaded, PREPROCESSING, 8, seed=0, epochs=2),
        data.evaluation_batches(loaded, PREPROCESSING, 4),
    ):
        count = 0
        for images, labels in batches:
            pixels = images.numpy() * PREPROCESSING.std + PREPROCESSING.mean
            expected = np.array(list(COLOURS.values()))[labels.numpy().argmax(-1)]
            np.testing.assert_allclose(pixels.mean((1, 2)), expected, atol=1e-2)
            count += len(images)
        assert count in (48, 6)


def test_order_and_resume_are_those_of_the_seed(tmp_path):
    for name in ("a", "b"):
        for index in range(16):
            random = np.random.default_rng(index).integers(0, 256, (12, 14, 3), dtype=np.uint8)
            path = tmp_path / name / f"{index}.jpg"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(random).save(path)
    loaded = load(tmp_path)

    def stream(first_epoch=0):
        batches = data.training_batches(loaded, PREPROCESSING, 5, 3, first_epoch, 3, (data.MixUp(1.0),))
        return [images.numpy() for images, _ in batches]

    whole, again, rest = stream(), stream(), stream(1)
    np.testing.assert_array_equal(whole, again)
    np.testing.assert_array_equal(whole[loaded.train.size // 5 :], rest)
    evaluation = np.concatenate([i for i, _ in data.evaluation_batches(loaded, PREPROCESSING, 4)])
    one_by_one = [data.prepare_image(path, PREPROCESSING) for path in names(loaded.validation)]
    np.testing.assert_allclose(evaluation, one_by_one, atol=1e-5)


class TestFilesThatCannotBeUsed:
    def test_they_are_skipped_and_named(self, tmp_path):
        write_tree(tmp_path, 5)
        jpeg = image_bytes(file_format="JPEG", size=(64, 64))
        write(tmp_path / "red" / "cut.jpg", jpeg[: len(jpeg) // 2])
        write(tmp_path / "red" / "empty.png", b"")
        write(tmp_path / "green" / "notes.txt", b"not an image")
        write(tmp_path / "green" / "page.png", b"<html>404</html>")
        write(tmp_path / "README.md", b"about")
        (tmp_path / "blue" / "gone.png").symlink_to(tmp_path / "nowhere.png")
        write(tmp_path / "blue" / ".hidden.png", b"")
        write(tmp_path / ".git" / "config", b"")
        write(tmp_path / "red" / "deeper" / "fine.png", image_bytes())
        loaded = load(tmp_path)
        assert loaded.train.size + loaded.validation.size == 16
        (warning,) = loaded.warnings
        assert warning.startswith(f"6 files were skipped in {tmp_path}: ")
        assert warning.endswith("and 1 more.")
        for part in ("README.md (outside", "gone.png (No such", "notes.txt (not a", "cut.jpg (a damaged JPEG"):
            assert part in warning
        assert "hidden" not in warning
        seen = sum(len(images) for images, _ in data.training_batches(loaded, PREPROCESSING, 1, seed=0))
        assert seen == loaded.train.size

    def test_one_file(self, tmp_path):
        write(write_tree(tmp_path) / "red" / "empty.png", b"")
        assert load(tmp_path).warnings == (f"1 file was skipped in {tmp_path}: red/empty.png (empty).",)

    def test_those_of_both_trees_are_named(self, tmp_path):
        for part in ("train", "val"):
            write(write_tree(tmp_path / part) / "red" / "empty.png", b"")
        (warning,) = load(tmp_path).warnings
        assert "train/red/empty.png" in warning and "val/red/empty.png" in warning

    @pytest.mark.parametrize("decode", [True, False])
    @pytest.mark.parametrize(
        "file_format, mode",
        [
            *[("JPEG", mode) for mode in ("RGB", "L", "CMYK")],
            *[("PNG", mode) for mode in ("RGB", "L", "P", "RGBA", "LA", "1", "I;16")],
            *[("GIF", "P"), ("BMP", "RGB"), ("WEBP", "RGB"), ("WEBP", "RGBA")],
        ],
    )
    def test_formats_that_can_be_read(self, tmp_path, file_format, mode, decode):
        path = tmp_path / "image"
        image = Image.new("RGB", (20, 16), (120, 120, 120))
        if mode == "I;16":
            image = Image.fromarray(np.full((16, 20), 120 * 257, np.uint16))
        elif mode == "P":
            image = image.quantize()
        else:
            image = image.convert(mode)
        image.save(path, file_format)
        assert problem_of_image_file(path, decode) is None
        prepared = data.prepare_image(path, PREPROCESSING)
        assert prepared.shape == (8, 8, 3)
        if mode != "1":
            pixels = prepared * PREPROCESSING.std + PREPROCESSING.mean
            np.testing.assert_allclose(pixels, 120, atol=3)

    def test_of_an_animation_the_first_frame(self, tmp_path):
        frames = [Image.new("RGB", (16, 16), colour) for colour in COLOURS.values()]
        path = tmp_path / "a.gif"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        assert problem_of_image_file(path) is None
        pixels = data.prepare_image(path, PREPROCESSING) * PREPROCESSING.std + PREPROCESSING.mean
        np.testing.assert_allclose(pixels[0, 0], COLOURS["blue"], atol=1)

    @pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95, 0.999])
    @pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
    def test_cut_files(self, tmp_path, file_format, share):
        noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noise).save(buffer, file_format)
        path = tmp_path / "image"
        path.write_bytes(buffer.getvalue()[: int(len(buffer.getvalue()) * share)])
        problem = problem_of_image_file(path)
        if problem is None:
            data.prepare_image(path, PREPROCESSING)
        else:
            assert problem.startswith(("a damaged", "not a"))
        assert problem is not None or share > 0.9

    def test_a_palette_bmp_would_be_read_wrongly(self, tmp_path):
        path = tmp_path / "a.bmp"
        path.write_bytes(image_bytes(file_format="BMP", mode="P"))
        assert "palette" in problem_of_image_file(path)


class TestDamageAfterLoading:
    @pytest.fixture
    def loaded(self, tmp_path):
        loaded = load(write_tree(tmp_path, 10))
        for split in (loaded.train, loaded.validation):
            Path(names(split)[0]).write_bytes(b"\xff\xd8\xff damaged")
        Path(names(loaded.train)[1]).unlink()
        return loaded

    def test_a_blank_image_stands_in(self, loaded, caplog):
        with caplog.at_level(logging.WARNING):
            training = list(data.training_batches(loaded, PREPROCESSING, 6, seed=0).as_numpy_iterator())
            validation = list(data.evaluation_batches(loaded, PREPROCESSING, 6).as_numpy_iterator())
        assert sum(len(images) for images, _ in training) == 24
        assert sum((images == 0).all((1, 2, 3)).sum() for images, _ in training) == 2
        images, labels = validation[0]
        assert (images == 0).all((1, 2, 3)).tolist() == [True] + [False] * 5
        np.testing.assert_array_equal(labels.argmax(-1), loaded.validation.labels)
        named = [record.getMessage() for record in caplog.records]
        assert len(named) == 3 and all("a blank image stands in" in message for message in named)
        assert any(names(loaded.train)[1] in message for message in named)

    def test_of_a_large_collection_only_the_heads_are_read(self, tmp_path, monkeypatch, caplog):
        jpeg = image_bytes(file_format="JPEG", size=(64, 64))
        root = write_tree(tmp_path, 4)
        write(root / "red" / "cut.jpg", jpeg[: len(jpeg) // 2])
        write(root / "red" / "empty.jpg", b"")
        monkeypatch.setattr(image_files, "DECODE_ALL_UP_TO", 10)
        loaded = load(root, validation_fraction=0.3)
        assert loaded.train.size + loaded.validation.size == 13
        assert "empty.jpg" in loaded.warnings[0] and "cut.jpg" not in loaded.warnings[0]
        with caplog.at_level(logging.WARNING):
            for split in ("train", "validation"):
                for _ in data.evaluation_batches(loaded, PREPROCESSING, 4, split):
                    pass
        assert sum("cut.jpg" in record.getMessage() for record in caplog.records) == 1


class TestFoldersThatCannotBeUsed:
    def test_missing(self, tmp_path):
        with pytest.raises(data.DataNotFound, match="none does not exist"):
            load(tmp_path / "none")

    def test_a_file(self, tmp_path):
        write(tmp_path / "file", b"")
        with pytest.raises(data.DataNotFound, match="file is a file"):
            load(tmp_path / "file")

    def test_no_classes(self, tmp_path):
        write(tmp_path / "a.png", image_bytes())
        with pytest.raises(data.DataNotFound, match=f"{tmp_path} has no class folders"):
            load(tmp_path)

    def test_one_class(self, tmp_path):
        write(tmp_path / "only" / "a.png", image_bytes())
        with pytest.raises(ValueError, match="only one class, 'only'"):
            load(tmp_path)

    @pytest.mark.parametrize("contents", [None, b"text"])
    def test_a_class_without_a_readable_image(self, tmp_path, contents):
        write_tree(tmp_path)
        (tmp_path / "yellow").mkdir()
        if contents:
            write(tmp_path / "yellow" / "a.png", contents)
        with pytest.raises(ValueError, match=f"'yellow' has no readable image in {tmp_path}/yellow"):
            load(tmp_path)

    @pytest.mark.parametrize("lacking, having", [("train", "val"), ("val", "train")])
    def test_classes_that_differ(self, tmp_path, lacking, having):
        write_tree(tmp_path / "train")
        write_tree(tmp_path / "val")
        write(tmp_path / having / "yellow" / "a.png", image_bytes())
        with pytest.raises(ValueError, match=f"'yellow' is only in {tmp_path}/{having}"):
            load(tmp_path)

    def test_val_without_train(self, tmp_path):
        write_tree(tmp_path / "val")
        with pytest.raises(data.DataNotFound, match="has val/ but no train/"):
            load(tmp_path)

    def test_a_single_image_in_every_class(self, tmp_path):
        with pytest.raises(ValueError, match="nothing is left to validate on"):
            load(write_tree(tmp_path, 1))

    def test_a_single_image_in_one_class(self, tmp_path):
        write(write_tree(tmp_path, 4) / "yellow" / "a.png", image_bytes())
        loaded = load(tmp_path)
        assert loaded.warnings == ("Class 'yellow' has a single image, which is trained on and not validated on.",)
        assert 3 in loaded.train.labels.numpy() and 3 not in loaded.validation.labels.numpy()


def test_names_that_are_not_utf8(tmp_path):
    folder = write_tree(tmp_path) / "red"
    try:
        (folder / "0.png").rename(folder / os.fsdecode(b"\xff.png"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    loaded = load(tmp_path)
    assert loaded.train.size + loaded.validation.size == 15
    seen = sum(
        len(images)
        for split in ("train", "validation")
        for images, _ in data.evaluation_batches(loaded, PREPROCESSING, 4, split)
    )
    assert seen == 15


def test_home_and_data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_tree(tmp_path / "photos")
    assert data.load("folder:~/photos").train.size == 12
