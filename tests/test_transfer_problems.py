"""What is wrong with how a recipe puts a head on a model."""

import pytest

from keras_tricks import Recipe, tricks

SEGMENTER = {"model": "resnet18", "image_size": 64}


@pytest.fixture
def found(tmp_path):
    """Return the errors of a recipe, by where they are; the data are of an empty folder."""

    def errors(kind="masks", **fields):
        recipe = Recipe(data=f"{kind}:{tmp_path}", **{**SEGMENTER, **fields})
        return {problem.where: problem.message for problem in recipe.problems() if problem.level == "error"}

    return errors


def test_heads_of_each_task_are_known(found):
    assert found() == found(head="deeplab_v3_plus", head_filters=32) == found("voc", head="retinanet") == {}
    assert "Set head to fcn or deeplab_v3_plus." in found(head="retinanet")["head"]
    assert "Expected head to be one of retinanet or fcn or deeplab_v3_plus." in found(head="unet")["head"]
    assert "classification" in found("folder", head="fcn")["head"]


@pytest.mark.parametrize(
    ("kind", "trick", "tasks"),
    [
        ("masks", tricks.Mixup(), "classification and detection"),
        ("voc", tricks.Cutmix(), "classification"),
        ("folder", tricks.RandomScale(), "detection and segmentation"),
    ],
)
def test_tricks_of_other_tasks_are_refused(found, kind, trick, tasks):
    assert f"{trick.name} is for {tasks}" in found(kind, tricks=(trick,))[trick.name]


def test_fields_of_other_tasks_are_refused(found):
    refused = found("folder", output_stride=8, classes=("a", "b"))
    assert set(refused) == {"output_stride", "classes"}
    assert refused["output_stride"].endswith("Set output_stride=none.") and refused["classes"].endswith("Set classes=.")
    assert set(found("voc", short_side=64, ignored=(0,))) == {"short_side", "ignored"}
    assert set(found("masks", sets=("trainval", "test"))) == {"sets"}


def test_models_without_the_stages_are_refused(found):
    assert "cannot be a backbone" in found(model="mobilenet")["model"]
    assert "Choose a network for large images" in found("voc", model="resnet20")["model"]
    assert "or more than 64 px" in found("voc", model="nf_resnet26")["model"]
    assert (
        found(model="resnet20") == found(model="nf_resnet26") == found("voc", model="nf_resnet26", image_size=96) == {}
    )


def test_sizes_and_strides_and_stages_are_looked_at(found):
    assert "Set image_size=96" in found("voc", image_size=100)["image_size"]
    assert "8 or 16 or 32" in found(output_stride=4)["output_stride"]
    assert "2 or 4" in found(model="resnet20", output_stride=8)["output_stride"]
    assert "has 3 stages" in found(model="resnet20", frozen_stages=4)["frozen_stages"]


def test_what_a_network_lacks_is_not_frozen_and_a_fcn_has_its_width(found):
    assert "no batch normalization" in found(model="nf_resnet26", frozen_batch_norm=True)["frozen_batch_norm"]
    assert "a quarter" in found(head_filters=8)["head_filters"]


def test_classes_have_names_of_their_own_and_data_sets_say_theirs(found):
    assert "'a' in classes=a,b,a" in found(classes=("a", "b", "a"))["classes"]
    voc = Recipe(data="voc/2007", **SEGMENTER, classes=("a", "b"), sets=("train", "test"))
    assert {problem.where for problem in voc.problems() if problem.level == "error"} == {"classes", "sets"}
    with pytest.raises(ValueError, match=r"Expected one of voc/2007, voc/2012, voc/2007\+2012"):
        _ = Recipe(data="voc").task


def test_frozen_random_weights_are_warned_of(tmp_path):
    recipe = Recipe(data=f"voc:{tmp_path}", model="resnet50", image_size=64, frozen_stages=1, frozen_batch_norm=True)
    assert [problem.where for problem in recipe.problems()] == ["frozen_stages"]
    assert recipe.changed(weights="imagenet").problems() == []


def test_lists_are_typed_with_commas_and_come_back(found, tmp_path):
    from keras_tricks.presets import change, command

    base = Recipe(data=f"voc:{tmp_path}", **SEGMENTER)
    changed = change(base, ["classes=cat, dog", "sets=trainval,test"])
    assert (changed.classes, changed.sets) == (("cat", "dog"), ("trainval", "test"))
    assert "--set classes=cat,dog --set sets=trainval,test" in command(changed, base)
    assert change(base, ["ignored=0,11"]).ignored == (0, 11)
    assert Recipe.from_json(changed.to_json()) == changed
    with pytest.raises(ValueError, match="sets"):
        change(base, ["sets=train"])
