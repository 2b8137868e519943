"""The trick test_resolution: the size and the view of the evaluation images."""

import numpy as np
import pytest
import tensorflow as tf

from keras_tricks import data, tricks
from keras_tricks.data_plan import DataPlan
from keras_tricks.trick import RunFacts

FACTS = RunFacts("nfnet_f0", 4, 192, 8, 1, 2, 3)
PLAN = DataPlan(data.ImageNetPreprocessing(image_size=192))


def test_the_published_size_is_the_default_and_the_training_stays():
    plan = tricks.TestResolution().change_data(PLAN, FACTS)
    assert plan.preprocessing == PLAN.preprocessing
    assert plan.evaluation.image_size == 256
    assert plan.evaluation.short_side == round(256 * 256 / 224)


def test_the_training_size_changes_nothing():
    assert tricks.TestResolution(image_size=192).change_data(PLAN, FACTS).evaluation == PLAN.evaluation


def test_the_model_takes_any_size():
    arguments = tricks.TestResolution().change_model({"input_shape": (192, 192, 3), "classes": 4}, FACTS)
    assert arguments == {"input_shape": (None, None, 3), "classes": 4}


def test_squash_is_a_bicubic_resize_to_32_pixels_more_and_the_centre():
    plan = tricks.TestResolution(image_size=64, view="squash").change_data(PLAN, FACTS)
    image = np.random.default_rng(0).integers(0, 256, (50, 120, 3)).astype("uint8")
    resized = tf.image.resize(image, (96, 96), method="bicubic").numpy()
    expected = (resized[16:80, 16:80] - np.array(data.ImageNetPreprocessing(image_size=1).mean)) / np.array(
        data.ImageNetPreprocessing(image_size=1).std
    )
    np.testing.assert_allclose(plan.evaluation.prepare(tf.constant(image)), expected, atol=1e-4)


@pytest.mark.parametrize("view", ["crop", "squash"])
def test_small_images_are_only_resized(view):
    plan = DataPlan(data.SmallImagePreprocessing(image_size=16))
    plan = tricks.TestResolution(image_size=24, view=view).change_data(plan, FACTS)
    assert plan.evaluation.prepare(tf.zeros((16, 16, 3), tf.uint8)).shape == (24, 24, 3)


def test_the_saved_configuration_keeps_the_view():
    plan = tricks.TestResolution(image_size=64, view="squash").change_data(PLAN, FACTS)
    config = data.preprocessing_config(plan.evaluation)
    assert data.preprocessing_from_config(config) == plan.evaluation
