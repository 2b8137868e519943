"""Runs of a detector: trained with its tricks, evaluated, used, exported, on replicas as on one device."""

import json

import numpy as np
import pytest
from in_terminal import command
from PIL import Image, ImageDraw

from keras_tricks import Recipe, tricks
from keras_tricks.predictions import Predictions
from keras_tricks.runs import Run, create_run, schema

pytest.importorskip("keras_hub")

ANNOTATION = (
    "<annotation>{}</annotation>",
    "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>",
)


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    """A folder of red squares and blue discs on grey, of which one image has none at all."""
    root = tmp_path_factory.mktemp("voc")
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    generator = np.random.default_rng(0)
    for index in range(12):
        image = Image.new("RGB", (64, 48), (128, 128, 128))
        draw, objects = ImageDraw.Draw(image), []
        for name in [] if index == 3 else ["square", "disc"][: 1 + index % 2]:
            left, top = int(generator.integers(1, 40)), int(generator.integers(1, 24))
            shape = draw.rectangle if name == "square" else draw.ellipse
            shape((left, top, left + 19, top + 19), fill=(220, 30, 30) if name == "square" else (30, 30, 220))
            objects.append(ANNOTATION[1].format(name, left + 1, top + 1, left + 20, top + 20))
        image.save(root / "JPEGImages" / f"{index}.png")
        (root / "Annotations" / f"{index}.xml").write_text(ANNOTATION[0].format("".join(objects)))
    for name, members in (("train", range(8)), ("val", range(8, 12))):
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"{member}\n" for member in members))
    return root


def recipe(voc, **changes):
    fields = {
        "name": "detector",
        "model": "resnet18",
        "data": f"voc:{voc}",
        "image_size": 64,
        "head_filters": 16,
        "anchor_size": 2.0,
        "batch_size": 4,
        "epochs": 2,
        "learning_rate": 0.01,
        "frozen_batch_norm": True,
        "frozen_stages": 1,
        "tricks": (
            tricks.CosineDecay(),
            tricks.Warmup(epochs=0.5),
            tricks.NoBiasDecay(),
            tricks.LabelSmoothing(),
            tricks.Mixup(alpha=1.5),
            tricks.RandomScale(least=0.8, largest=1.25),
        ),
    }
    return Recipe(**{**fields, **changes})


@pytest.fixture(scope="module")
def detector(tmp_path_factory, voc):
    from keras_tricks.train import run

    wanted = recipe(voc)
    directory = create_run(tmp_path_factory.mktemp("runs"), wanted.name, wanted.model_dump(mode="json"))
    run(wanted, directory)
    return directory


def test_a_run_logs_the_precision_of_each_epoch_and_keeps_the_best(detector):
    run = Run(detector)
    logged = run.metrics().names("epoch")
    assert {"loss", "val_loss", "val_voc07_map", "val_coco_map", "val_coco_map50", "val_coco_map75"} <= set(logged)
    assert len(run.metrics().series("val_coco_map50")[1]) == 2
    assert run.status().best.metric == "val_coco_map50"


def test_boxes_are_counted_with_the_background(detector):
    kept = Predictions.load(detector / schema.PREDICTIONS_FILE)
    assert (kept.unit, kept.class_names) == ("boxes", ("disc", "square", "background"))
    # Images 8 to 11: two with a square, two with a disc beside it.
    assert [score.images for score in kept.scores[:2]] == [2, 4]


def test_pictures_stand_in_the_run(detector):
    pictures = sorted((detector / schema.PICTURES).glob("*.png"))
    assert [picture.stem for picture in pictures] == ["10", "11", "8", "9"]
    assert np.asarray(Image.open(pictures[0])).std() > 0


def test_evaluate_gives_what_the_run_has_logged(detector, capsys):
    command("evaluate", detector, "--json")
    evaluated = json.loads(capsys.readouterr().out)
    logged = Run(detector).result()["metrics"]
    for name in ("loss", "voc07_map", "coco_map", "coco_map50"):
        assert evaluated[name] == pytest.approx(logged[f"val_{name}"], rel=1e-4, abs=1e-7)


def test_a_detector_that_diverges_says_so_with_a_row(voc, tmp_path):
    from keras_tricks.callbacks import DivergedError
    from keras_tricks.train import run

    wanted = recipe(voc, learning_rate=1000, batch_size=8, epochs=12, tricks=(), frozen_batch_norm=False)
    directory = create_run(tmp_path, "diverges", wanted.model_dump(mode="json"))
    with pytest.raises(DivergedError):
        run(wanted, directory)
    assert Run(directory).status().state == "failed"
    assert not np.isfinite(list(Run(directory).metrics().rows[-1].values.values())).all()


def test_a_file_with_other_probabilities_is_noticed():
    from keras_tricks.tasks import task_of

    outputs = np.concatenate([np.full((1, 3, 4), 400.0), np.full((1, 3, 2), 0.03)], axis=-1)
    boxes, classes = task_of("detection").parts(outputs)
    assert boxes.max() == 400 and boxes.shape == (1, 3, 4) and classes.max() == 0.03


def test_preview_shows_boxes_and_counts_them(voc):
    from keras_tricks.preview import sample_images

    sample = sample_images(recipe(voc), 4, validation=True)
    assert sample.labels == ("1 square", "1 square, 1 disc", "1 square", "1 square, 1 disc")
    assert sample.about == "detector · 64 px · validation images"


def test_predict_draws_the_boxes(detector, voc, capsys):
    command("predict", detector, voc / "JPEGImages" / "9.png", voc / "JPEGImages" / "3.png", "--json")
    answers = json.loads(capsys.readouterr().out)
    assert [sorted(answer) for answer in answers] == [["boxes", "image", "picture"]] * 2
    for answer in answers:
        assert np.asarray(Image.open(answer["picture"])).ndim == 3
        for box in answer["boxes"]:
            left, top, right, bottom = box["box"]
            assert 0 <= left <= right <= 64 and 0 <= top <= bottom <= 48 and box["score"] >= 0.3


def test_the_exported_model_gives_boxes_and_probabilities(detector, tmp_path):
    import keras

    path = tmp_path / "m.keras"
    command("export", detector, "--format", "keras", "--output", path)
    description = json.loads((tmp_path / "m.keras.json").read_text())
    assert description["check"]["real_images"] > 0 and description["classes"] == ["disc", "square"]
    outputs = keras.models.load_model(path).predict(np.zeros((1, 64, 64, 3)), verbose=0)
    assert list(outputs.shape[1:]) == description["output"]["shape"][1:] and outputs.shape[-1] == 4 + 2
    assert outputs[..., :4].min() >= 0 and outputs[..., :4].max() <= 64
    assert outputs[..., 4:].min() >= 0 and outputs[..., 4:].max() <= 1


def test_two_replicas_give_what_one_device_gives(voc, two_replicas):
    from keras_tricks.training import build

    # Boxes are drawn by what each replica sees of a batch: the loss of each image is its own.
    wanted = recipe(voc, epochs=1)

    def trained(replicas):
        training = build(wanted.changed(replicas=replicas))
        history = training.model.fit(training.training_batches(), steps_per_epoch=2, verbose=0)
        return training.model.get_weights(), history.history["loss"]

    (single, one), (mirrored, two) = trained(1), trained(2)
    np.testing.assert_allclose(two, one, rtol=1e-3)
    for a, b in zip(single, mirrored, strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-3, atol=2e-4)
