"""What is wrong with how a recipe shares its batches out: to replicas, micro-batches and the ascent of SAM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_tricks.ascent_images import ascent_count, makes_same_parts, nearest_share
from keras_tricks.data_facts import DataFacts
from keras_tricks.model_facts import model_facts
from keras_tricks.problem import Problem
from keras_tricks.tricks import GradientAccumulation, RepeatedAugmentation, SharpnessAware

if TYPE_CHECKING:
    from keras_tricks.recipe import Recipe

SMALL_BATCH = 16
"""Images below which the statistics of batch normalization are poor (Wu and He 2018, arXiv 1803.08494, figure 1)."""


def batch_problems(recipe: Recipe, data: DataFacts, replicas: int) -> list[Problem]:
    """Return what is wrong with the batch size of `recipe`, and with its parts, on so many replicas."""
    problems = []
    if recipe.batch_size % replicas:
        nearest = max(replicas, recipe.batch_size // replicas * replicas)
        problems.append(
            Problem(
                "error",
                "batch_size",
                f"{replicas} replicas do not divide a batch of {recipe.batch_size}. "
                f"Set batch_size={nearest}, or another number of replicas.",
            )
        )
    repeated = recipe.trick("repeated_augmentation")
    if isinstance(repeated, RepeatedAugmentation) and recipe.batch_size % repeated.repeats:
        where = "repeated_augmentation.repeats"
        message = (
            f"{repeated.repeats} repeats do not divide a batch of {recipe.batch_size}. Set {where} to one that does."
        )
        problems.append(Problem("error", where, message))
    if data.training_images is not None and recipe.batch_size > data.training_images:
        problems.append(
            Problem(
                "error",
                "batch_size",
                f"{recipe.data} has {data.training_images} training images, less than one batch of "
                f"{recipe.batch_size}. Set batch_size={data.training_images} or less.",
            )
        )
    accumulation, sharpness = recipe.trick("gradient_accumulation"), recipe.trick("sharpness_aware")
    steps = accumulation.steps if isinstance(accumulation, GradientAccumulation) else 1
    if steps > 1:
        problems += _micro_batch_problems(recipe, steps, replicas)
    if isinstance(sharpness, SharpnessAware) and sharpness.ascent_share < 1:
        problems += _ascent_problems(recipe, sharpness, steps, replicas)
    return problems


def _ascent_problems(recipe: Recipe, sharpness: SharpnessAware, steps: int, replicas: int) -> list[Problem]:
    where, images, share = "sharpness_aware.ascent_share", recipe.batch_size // replicas, sharpness.ascent_share
    if replicas > 1 and sharpness.ascent == "reduced" and not makes_same_parts(images, share):
        nearest = nearest_share(images, share)
        way_out = f"Set {where}={nearest:.15g}" if nearest else "Set a larger batch"
        message = (
            f"{share:g} of the {images} images of a replica is no even number of images, and replicas would ascend "
            f"with others than one device. {way_out}, or sharpness_aware.ascent=per_replica."
        )
        return [Problem("error", where, message)]
    picked = ascent_count(images, share)
    if picked < steps:
        message = f"{steps} micro-batches cannot be made of the {picked} images of an ascent. Set {where} to more."
        return [Problem("error", where, message)]
    if "batch_norm" in model_facts(recipe.model).features and picked // steps < SMALL_BATCH <= images // steps:
        message = (
            f"The statistics of batch normalization come from the {picked // steps} images of an ascent, too few for "
            f"good ones. Set {where} to more, or choose a network without it."
        )
        return [Problem("warning", where, message)]
    return []


def _micro_batch_problems(recipe: Recipe, steps: int, replicas: int) -> list[Problem]:
    where, images = "gradient_accumulation.steps", recipe.batch_size // replicas
    if images < steps:
        message = f"{steps} micro-batches cannot be made of the {images} images of a replica. Set {where} to less."
        return [Problem("error", where, message)]
    if "batch_norm" in model_facts(recipe.model).features and images // steps < SMALL_BATCH:
        message = (
            f"Batch normalization sees micro-batches of {images // steps} images, too few for good statistics. "
            f"Set {where} to less, or choose a network without it."
        )
        return [Problem("warning", where, message)]
    return []
