"""Runs of a segmenter: trained with its tricks, resumed, evaluated, used, exported, on replicas as on one device."""

import json
import shutil

import numpy as np
import pytest
from in_terminal import command
from PIL import Image

from keras_tricks import Recipe, data, tricks
from keras_tricks.predictions import PredictionCounter, Predictions
from keras_tricks.runs import Run, create_run, schema

SIZES = [(40, 33), (32, 40), (48, 32), (33, 33), (40, 40), (32, 32), (56, 40), (40, 32), (32, 48), (40, 34)]
COLORS = np.array([[230, 20, 20], [20, 230, 20], [20, 20, 230]])


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    """A folder of images that show the class of each pixel as a colour, and of masks with some ignored pixels."""
    root = tmp_path_factory.mktemp("masks")
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for index, (width, height) in enumerate(SIZES):
        parts = np.random.default_rng(index).integers(0, 3, (-(-height // 16), -(-width // 16)))
        mask = np.kron(parts, np.ones((16, 16), int))[:height, :width].astype(np.uint8)
        # With noise: where many values are the same, replicas round them to other sides of 0.
        noise = np.random.default_rng(index).integers(-20, 20, (height, width, 3))
        Image.fromarray((COLORS[mask] + noise).astype(np.uint8)).save(root / "images" / f"{index}.png")
        mask[:2] = 255
        Image.fromarray(mask).save(root / "masks" / f"{index}.png")
    (root / "classes.txt").write_text("red\ngreen\nblue\n")
    return root


def recipe(masks, **changes):
    fields = {
        "name": "segmenter",
        "model": "resnet20",
        "data": f"masks:{masks}",
        "image_size": 32,
        "batch_size": 4,
        "epochs": 2,
        "learning_rate": 0.05,
        "tricks": (
            tricks.PolyDecay(),
            tricks.NoBiasDecay(),
            tricks.ResnetVariant(),
            tricks.LabelSmoothing(),
            tricks.RandomScale(),
            tricks.HeadLearningRate(),
        ),
    }
    return Recipe(**{**fields, **changes})


def train(root, wanted):
    from keras_tricks.train import run

    directory = create_run(root, wanted.name, wanted.with_absolute_paths().model_dump(mode="json"))
    run(wanted, directory)
    return directory


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory, masks):
    return train(tmp_path_factory.mktemp("runs"), recipe(masks))


def test_a_run_logs_the_metrics_of_its_task_and_keeps_its_best(segmenter):
    run = Run(segmenter)
    logged = run.metrics().names("epoch")
    assert {"accuracy", "mean_iou", "val_accuracy", "val_mean_iou", "val_loss", "auxiliary_loss"} <= set(logged)
    assert not [name for name in logged if name.startswith(("predictions_m", "val_predictions_m", "predictions_a"))]
    assert run.status().best.metric == "val_mean_iou"
    assert run.result()["metrics"]["val_mean_iou"] > 0


def test_pixels_are_counted_without_the_ignored_ones(segmenter, masks):
    kept = Predictions.load(segmenter / schema.PREDICTIONS_FILE)
    validation = data.load(f"masks:{masks}").validation
    counted = sum(
        int((np.asarray(Image.open(path.decode().replace("images", "masks"))) != 255).sum())
        for path in validation.paths.numpy()
    )
    assert (kept.unit, kept.images, kept.class_names) == ("pixels", counted, ("red", "green", "blue"))
    assert kept.accuracy == pytest.approx(Run(segmenter).result()["metrics"]["val_accuracy"], abs=1e-6)
    assert len(kept.worst) == validation.size and kept.calibration is None


def test_pictures_stand_in_the_run(segmenter):
    pictures = sorted((segmenter / schema.PICTURES).glob("*.png"))
    assert len(pictures) == 2
    assert np.asarray(Image.open(pictures[0])).std() > 0
    assert (segmenter / "plots" / "learning_curves.png").exists() and (segmenter / "plots" / "confusion.png").exists()


def test_evaluate_gives_what_the_run_has_logged(segmenter, capsys):
    command("evaluate", segmenter, "--json")
    evaluated = json.loads(capsys.readouterr().out)
    logged = Run(segmenter).result()["metrics"]
    assert evaluated["images"] == 2
    for name in ("accuracy", "mean_iou", "loss"):
        assert evaluated[name] == pytest.approx(logged[f"val_{name}"], rel=1e-4)


def test_images_of_all_sizes_are_kept_among_the_worst(tmp_path):
    counter = PredictionCounter(("a", "b"), unit="pixels")
    for height, width in ((20, 90), (8, 8), (100, 100)):
        mask = np.zeros((1, height, width), int)
        counter.add_pixels(np.zeros((1, height, width, 2)), mask, np.full((1, height, width, 3), 9, np.uint8))
    counter.predictions().save(tmp_path / "p.npz")
    kept = Predictions.load(tmp_path / "p.npz")
    assert kept.counts == {(0, 0): 20 * 90 + 8 * 8 + 100 * 100}
    assert sorted((image.place, image.loss) for image in kept.worst) == [
        (place, pytest.approx(np.log(2))) for place in range(3)
    ]
    assert {image.pixels.shape for image in kept.worst} == {(64, 64, 3)}


def test_preview_shows_masks_over_images_in_training_and_in_validation(masks):
    from keras_tricks.preview import sample_images

    sample = sample_images(recipe(masks), 4)
    assert len(sample.images) == 4 and sample.about == "segmenter · 32 px · training images, random_scale"
    assert all(set(label.replace(" + ", " ").split()) & {"red", "green", "blue"} for label in sample.labels)
    assert sample_images(recipe(masks), 2, validation=True).about.endswith(" px · validation images")


def test_predict_draws_the_masks_and_says_the_shares(segmenter, masks, capsys, tmp_path):
    image = masks / "images" / "6.png"
    other = tmp_path / "other" / "6.png"
    other.parent.mkdir()
    shutil.copyfile(masks / "images" / "5.png", other)
    command("predict", segmenter, image, other, "--json", "-o", tmp_path)
    answer, beside = json.loads(capsys.readouterr().out)
    assert beside["picture"] == str(tmp_path / "6-2.png")
    assert sum(each["share"] for each in answer["classes"]) == pytest.approx(1)
    assert answer["picture"] == str(tmp_path / "6.png")
    drawn = np.asarray(Image.open(tmp_path / "6.png"))
    assert drawn.shape[1] % 56 == 0


def test_the_exported_model_gives_probabilities_of_each_pixel(segmenter, tmp_path):
    import keras

    command("export", segmenter, "--format", "keras", "--output", tmp_path / "m.keras")
    description = json.loads((tmp_path / "m.keras.json").read_text())
    assert description["output"] == {"values": "probabilities of each pixel", "shape": [None, 32, 32, 3]}
    assert description["task"] == "segmentation" and description["check"]["real_images"] > 0
    outputs = keras.models.load_model(tmp_path / "m.keras").predict(np.zeros((1, 32, 32, 3)), verbose=0)
    np.testing.assert_allclose(outputs.sum(-1), 1, rtol=1e-5)


@pytest.mark.slow
def test_a_stopped_run_ends_as_an_unbroken_one(segmenter, masks, tmp_path):
    from keras_tricks import saved_model
    from keras_tricks.callbacks import StopRequested
    from keras_tricks.runs import RunWriter
    from keras_tricks.train import run

    wanted = recipe(masks)
    directory = create_run(tmp_path, "stopped", wanted.with_absolute_paths().model_dump(mode="json"))
    calls = []

    def stop_requested(self, original=RunWriter.stop_requested):
        calls.append(1)
        return len(calls) == 2 or original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunWriter, "stop_requested", stop_requested)
        with pytest.raises(StopRequested):
            run(wanted, directory)
    run(wanted, directory)
    whole, resumed = (saved_model.load(each / schema.MODEL_FILE).model for each in (segmenter, directory))
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [False, True])
def test_two_replicas_give_what_one_device_gives(masks, two_replicas, frozen):
    from keras_tricks.training import build

    wanted = recipe(masks, epochs=1, frozen_batch_norm=frozen)

    def trained(replicas):
        training = build(wanted.changed(replicas=replicas))
        for layer in training.model.layers:
            if "dropout" in layer.name:
                # It draws differently on each replica.
                layer.rate = 0.0
        history = training.model.fit(
            training.training_batches(), validation_data=training.validation_batches(), steps_per_epoch=2, verbose=0
        )
        return training.model.get_weights(), history.history

    (single, one), (mirrored, two) = trained(1), trained(2)
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, rtol=2e-3, err_msg=name)
    for a, b in zip(single, mirrored, strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-3, atol=2e-4)
