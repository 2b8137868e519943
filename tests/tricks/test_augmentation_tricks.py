"""The tricks of the training images: what each changes in the plan of the data."""

import pytest

from keras_tricks import Recipe, data, presets, tricks
from keras_tricks.data_facts import data_facts
from keras_tricks.data_plan import DataPlan
from keras_tricks.trick import RunFacts

FACTS = RunFacts("nfnet_f0", 4, 192, 8, 1, 2, 3)
LARGE = DataPlan(data.preprocessing_for(data_facts("imagenet2012"), 192))
SMALL = DataPlan(data.preprocessing_for(data_facts("cifar10")))


def test_the_published_crop_is_what_photographs_have_without_the_trick():
    assert tricks.RandomResizedCrop().change_data(LARGE, FACTS) == LARGE


def test_the_crop_takes_its_values():
    plan = tricks.RandomResizedCrop(min_area=0.25, aspect=2, interpolation="bicubic").change_data(LARGE, FACTS)
    assert plan.preprocessing.area == (0.25, 1.0)
    assert plan.preprocessing.aspect == (0.5, 2)
    assert plan.preprocessing.interpolation == "bicubic"
    assert plan.preprocessing.short_side == LARGE.preprocessing.short_side


def test_small_images_are_cropped_and_no_longer_padded_and_tested_as_before():
    plan = tricks.RandomResizedCrop(min_area=0.5).change_data(SMALL, FACTS)
    assert plan.preprocessing.area == (0.5, 1.0)
    assert (plan.preprocessing.image_size, plan.preprocessing.mean) == (32, SMALL.preprocessing.mean)
    assert plan.evaluation == SMALL.evaluation
    larger = tricks.TestResolution(image_size=40).change_data(plan, FACTS)
    assert larger.evaluation == tricks.TestResolution(image_size=40).change_data(SMALL, FACTS).evaluation


def test_colours_and_operations_are_transforms_of_the_images():
    plan = tricks.ColorJitter(hue=0.1, saturation=0.2, brightness=0.3).change_data(LARGE, FACTS)
    plan = tricks.PcaNoise(std=0.2).change_data(plan, FACTS)
    plan = tricks.RandAugment(layers=3, magnitude=7).change_data(plan, FACTS)
    assert plan.image_transforms == (data.ColorJitter(0.1, 0.2, 0.3), data.PcaNoise(0.2), data.RandAugment(3, 7))
    assert plan.preprocessing == LARGE.preprocessing and plan.evaluation == LARGE.evaluation


@pytest.mark.parametrize(("model", "magnitude"), [("nfnet_f0", 5), ("nfnet_f1", 10), ("nfnet_f3_plus", 15)])
def test_the_published_magnitude_is_the_default(model, magnitude):
    plan = tricks.RandAugment().change_data(LARGE, RunFacts(model, 4, 192, 8, 1, 2, 3))
    assert plan.image_transforms == (data.RandAugment(4, magnitude),)


def test_without_a_published_magnitude_it_must_be_set():
    recipe = Recipe(model="resnet20", tricks=(tricks.RandAugment(),))
    assert [problem.where for problem in recipe.problems()] == ["rand_augment.magnitude"]
    assert not recipe.with_trick(tricks.RandAugment(magnitude=5)).problems()


def test_lengths_follow_the_size_of_small_images():
    facts = RunFacts("nfnet_tiny", 4, 32, 8, 1, 2, 3)
    operations = tricks.RandAugment(magnitude=5).change_data(SMALL, facts).image_transforms[0]
    assert operations.translate_pixels == pytest.approx(100 / 7)
    assert operations.cutout_pixels == pytest.approx(40 / 7)


@pytest.mark.parametrize("trick", [tricks.RandAugment(layers=0), tricks.RepeatedAugmentation(repeats=1)])
def test_zero_strength_changes_nothing(trick):
    assert trick.change_data(LARGE, FACTS) == LARGE


def test_repeats_divide_the_batch():
    recipe = Recipe(batch_size=64, tricks=(tricks.RepeatedAugmentation(repeats=4),))
    assert not recipe.problems()
    assert [problem.where for problem in recipe.changed(batch_size=66).problems()] == ["repeated_augmentation.repeats"]
    assert tricks.RepeatedAugmentation(repeats=4).change_data(LARGE, FACTS).repeats == 4


def test_the_recipes_of_the_papers_have_their_augmentation():
    def plan(name):
        recipe = presets.find_recipe(name)
        made = DataPlan(data.preprocessing_for(data_facts(recipe.data), recipe.image_size))
        for trick in recipe.tricks:
            made = trick.change_data(made, RunFacts(recipe.model, 1000, recipe.image_size, 256, 1, 90, 5000))
        return made

    jitter = (data.ColorJitter(0.4, 0.4, 0.4), data.PcaNoise(0.1))
    for name in ("imagenet_resnet50_baseline", "imagenet_resnet50_d_tricks"):
        assert plan(name).image_transforms == jitter
        assert plan(name).preprocessing == data.preprocessing_for(data_facts("imagenet2012"), 224)
        assert (plan(name).evaluation.image_size, plan(name).evaluation.short_side) == (224, 256)
    nfnet = plan("imagenet_nfnet_f0")
    assert nfnet.image_transforms == (data.RandAugment(4, 5),)
    assert nfnet.batch_transforms == (
        data.MixUp(0.2, per_image=True),
        data.CutMix(1.0, per_image=True, beside_mixup="halves"),
    )
    assert nfnet.preprocessing.interpolation == "bicubic"
    assert (nfnet.evaluation.image_size, nfnet.evaluation.short_side, nfnet.evaluation.squash) == (256, 288, True)
