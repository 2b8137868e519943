"""The trick distillation: how teachers are found, what they see, and that a run with one resumes exactly."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_tricks import Recipe, RecipeError, tricks
from keras_tricks.runs import RunWriter, create_run, schema
from keras_tricks.trick import RunFacts

DIGITS = tuple("0123456789")


def facts(**changes):
    known = {"model": "resnet20", "classes": 10, "image_size": 8, "batch_size": 8, "replicas": 1, "epochs": 1}
    return RunFacts(**{**known, "steps_per_epoch": 2, "class_names": DIGITS, **changes})


def saved_teacher(path, image_size=8, policy="float32", class_names=DIGITS, **normalization):
    """A ResNet-20 that saw images of its own size in its own normalization."""
    from keras_tricks import data, models, saved_model

    keras.utils.set_random_seed(3)
    keras.config.set_dtype_policy(policy)
    model = models.ResNet20(
        input_shape=(image_size, image_size, 3), classes=len(class_names), classifier_activation=None
    )
    keras.config.set_dtype_policy("float32")
    preprocessing = data.SmallImagePreprocessing(image_size=image_size, **normalization)
    saved_model.save(saved_model.SavedModel(model, class_names, preprocessing), path)
    return model, preprocessing


def problem(teacher, data="digits"):
    problems = Recipe(data=data, tricks=(tricks.Distillation(teacher=teacher),)).problems()
    return next((each for each in problems if each.where == "distillation.teacher"), None)


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        (None, "Nobody teaches"),
        ("none", "Nobody teaches"),
        ("missing.keras", "There is no model missing.keras"),
        ("no-such-run", "There is no run 'no-such-run'"),
        ("resnet50:missing.safetensors", "existing file"),
        ("resnet50:what is this", "Expected weights"),
        ("resnet20:imagenet", "There are no ImageNet weights for resnet20"),
        ("resnet50:imagenet", "knows the 1000 classes of ImageNet, and digits has 10 others"),
    ],
)
def test_what_cannot_teach_is_a_problem_of_the_recipe(teacher, words):
    found = problem(teacher)
    assert found.level == "error"
    assert words in found.message


def test_runs_files_and_published_weights_are_found(tmp_path, monkeypatch):
    from keras_tricks.teacher_facts import find_teacher

    monkeypatch.chdir(tmp_path)
    assert problem("resnet152:imagenet", "imagenet2012") is None
    run = create_run("runs", "teacher", Recipe().model_dump(mode="json"))
    assert "has not finished" in problem(run.name).message
    (run / schema.MODEL_FILE).write_bytes(b"")
    for name in (run.name, str(run), str(run / schema.MODEL_FILE)):
        assert problem(name) is None
        assert find_teacher(name).place == str(run / schema.MODEL_FILE)
    kept = Recipe(tricks=(tricks.Distillation(teacher=run.name),)).with_absolute_paths().trick("distillation").teacher
    assert kept == str(tmp_path / "runs" / run.name / schema.MODEL_FILE)


@pytest.mark.parametrize(
    ("model", "student", "teacher"),
    [
        ("resnet50", 64, 224),
        ("resnet50", 65, 65),
        ("resnet56", 32, 32),
        ("inception_v3", 74, 299),
        ("inception_v3", 75, 75),
    ],
)
def test_a_teacher_that_is_built_anew_sees_images_that_are_large_enough_for_it(model, student, teacher):
    from keras_tricks.teacher_facts import image_size_of_teacher

    assert image_size_of_teacher(model, student) == teacher


@pytest.mark.parametrize("teacher_size", [8, 12])
def test_a_teacher_sees_the_image_in_its_own_normalization_and_size(tmp_path, teacher_size):
    from keras_tricks import data
    from keras_tricks.teacher import load_teacher

    path = tmp_path / "teacher.keras"
    theirs = {"mean": (10.0, 120.0, 99.0), "std": (50.0, 77.0, 20.0)}
    model, preprocessing = saved_teacher(path, teacher_size, **theirs)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    ours = data.SmallImagePreprocessing(image_size=8, mean=(100.0, 90.0, 80.0), std=(60.0, 50.0, 40.0))
    teacher = load_teacher(str(path), facts(mean=ours.mean, std=ours.std))
    told = teacher.model.predict(teacher.prepare(ours.prepare_batch(pixels)), verbose=0)
    np.testing.assert_allclose(
        told, model.predict(preprocessing.prepare_batch(pixels), verbose=0), rtol=2e-4, atol=2e-4
    )


def test_a_teacher_of_mixed_precision_is_float32_and_one_of_other_classes_is_refused(tmp_path):
    from keras_tricks.teacher import load_teacher

    path = tmp_path / "teacher.keras"
    saved_teacher(path, policy="mixed_float16")
    teacher = load_teacher(str(path), facts()).distillation(20, 0.5).teacher
    assert {layer.compute_dtype for layer in teacher.layers} == {"float32"}
    assert problem(str(path)) is None
    assert (
        "knows 10 classes (0, 1, 2, 3, 4, ...), and cifar100 has 100 others" in problem(str(path), "cifar100").message
    )
    with pytest.raises(RecipeError, match=r"classes are not those of the data.*Expected: 9, 8"):
        load_teacher(str(path), facts(class_names=DIGITS[::-1]))
    path.write_bytes(b"no model")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_teacher(str(path), facts())


@pytest.mark.parametrize("variant", ["B", "D"])
def test_published_weights_teach_in_the_variant_that_they_are_of(tmp_path, variant):
    """timm's tensors are enough to know the variant; small images are enlarged to what the model was published for."""
    from safetensors.numpy import save_file

    from keras_tricks import models
    from keras_tricks.teacher import load_teacher
    from keras_tricks.weights.assignment import weights_of
    from keras_tricks.weights.timm import timm_origins

    keras.utils.set_random_seed(4)
    network = models.ResNet18(variant=variant, classes=10, classifier_activation=None)
    origins, tensors = timm_origins(network), {}
    for place, weight in weights_of(network).items():
        axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(len(weight.shape), (0,))
        tensors[origins[place].name] = np.ascontiguousarray(weight.numpy().transpose(axes))
    path = tmp_path / "resnet18.safetensors"
    save_file(tensors, path)
    teacher = load_teacher(f"resnet18:{path}", facts())
    assert teacher.model.input_shape[1:] == (224, 224, 3)
    images = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype("float32")
    prepared = teacher.prepare(images)
    assert prepared.shape == (1, 224, 224, 3)
    np.testing.assert_allclose(teacher.model(prepared), network(prepared), rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def digits():
    from keras_tricks import data
    from keras_tricks.data.image_data_set import ArraySplit

    whole = data.load("digits")
    split = ArraySplit(whole.train.images[:24].numpy(), whole.train.labels[:24].numpy())
    return dataclasses.replace(whole, train=split, validation=split)


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the trainer is TensorFlow's")
def test_a_run_that_was_stopped_ends_as_one_that_was_not_and_the_teacher_matters(tmp_path, digits, monkeypatch):
    from keras_tricks import saved_model, train
    from keras_tricks.callbacks import StopRequested

    saved_teacher(tmp_path / "teacher.keras")
    on = (tricks.Mixup(), tricks.LabelSmoothing(), tricks.GradientAccumulation(steps=2))
    base = Recipe(model="resnet20", image_size=8, batch_size=8, epochs=2, replicas=1, tricks=on)
    recipe = base.with_trick(tricks.Distillation(teacher=str(tmp_path / "teacher.keras"), weight=0.7))

    def end(name, recipe=recipe, stop=False):
        directory = create_run(tmp_path, name, recipe.model_dump(mode="json"))
        if stop:
            with monkeypatch.context() as patched:
                patched.setattr(RunWriter, "stop_requested", lambda writer: writer.status.step == 4)
                with pytest.raises(StopRequested):
                    train.run(recipe, directory, data_set=digits)
        train.run(recipe, directory, data_set=digits)
        return saved_model.load(directory / schema.MODEL_FILE).model.get_weights()

    unbroken = end("unbroken")
    for ours, theirs in zip(end("stopped", stop=True), unbroken, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    assert any(np.abs(ours - theirs).max() > 1e-4 for ours, theirs in zip(end("alone", base), unbroken, strict=True))
