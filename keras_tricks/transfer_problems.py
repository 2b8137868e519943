"""What is wrong with how a recipe puts a head on a model, for detection or segmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_tricks.data_facts import DataFacts, folder_of
from keras_tricks.model_facts import LARGEST_SMALL_IMAGE, ModelFacts
from keras_tricks.problem import Problem
from keras_tricks.task_facts import ALL_TASKS, HEADS, TASKS, task_of_head

if TYPE_CHECKING:
    from keras_tricks.recipe import Recipe

DETECTOR_STRIDE = 32
"""What the sides of a detector's images are multiples of, in pixels."""


def transfer_problems(recipe: Recipe, model: ModelFacts, data: DataFacts) -> list[Problem]:
    """Return what is wrong with the head of `recipe`, and with what does not suit the task of its data."""
    problems = [*_trick_problems(recipe, data), *_field_problems(recipe, data)]
    if data.task == "classification":
        return problems
    where, strides = "model", _strides(recipe, model)
    if not strides:
        message = f"{recipe.model} cannot be a backbone. Set model to a ResNet, an NF-ResNet or an NFNet."
        return [*problems, Problem("error", where, message)]
    problems += _data_problems(recipe)
    if recipe.weights is None and (recipe.frozen_stages or recipe.frozen_batch_norm):
        where = "frozen_stages" if recipe.frozen_stages else "frozen_batch_norm"
        message = f"{where} keeps random weights as they are. Set weights, or train all of {recipe.model}."
        problems.append(Problem("warning", where, message))
    if data.task == "detection":
        problems += _detector_problems(recipe, strides)
    if recipe.output_stride is not None and recipe.output_stride not in strides[1:]:
        message = f"{recipe.model} can have an output stride of {_listed(strides[1:])}."
        message = f"{message} Received: output_stride={recipe.output_stride}"
        problems.append(Problem("error", "output_stride", message))
    if recipe.frozen_stages > len(strides):
        message = f"{recipe.model} has {len(strides)} stages. Received: frozen_stages={recipe.frozen_stages}"
        problems.append(Problem("error", "frozen_stages", message))
    if recipe.frozen_batch_norm and "batch_norm" not in model.features:
        message = f"{recipe.model} has no batch normalization to freeze. Set frozen_batch_norm=false."
        problems.append(Problem("error", "frozen_batch_norm", message))
    if recipe.head_filters is not None and recipe.resolved_head == "fcn":
        message = "The head of an FCN has a quarter of the model's channels. Set head_filters=none, or another head."
        problems.append(Problem("error", "head_filters", message))
    return problems


def _trick_problems(recipe: Recipe, data: DataFacts) -> list[Problem]:
    return [
        Problem(
            "error",
            trick.name,
            f"{trick.name} is for {' and '.join(sorted(trick.tasks))}, and {recipe.data} is for {data.task}. "
            f"Turn {trick.name} off.",
        )
        for trick in recipe.tricks
        if data.task not in trick.tasks
    ]


def _field_problems(recipe: Recipe, data: DataFacts) -> list[Problem]:
    from keras_tricks.recipe import Recipe, has_field

    if recipe.head is not None and recipe.head not in HEADS:
        return [Problem("error", "head", f"Expected head to be one of {_listed(HEADS)}. Received: head={recipe.head}")]
    problems = []
    for field, info in Recipe.model_fields.items():
        if has_field(data.task, field) or getattr(recipe, field) == info.default:
            continue
        tasks = " and ".join(sorted(task for task in ALL_TASKS if has_field(task, field)))
        usual = ",".join(map(str, info.default)) if isinstance(info.default, tuple) else str(info.default).lower()
        message = f"{field} is for {tasks}, and {recipe.data} is for {data.task}. Set {field}={usual}."
        problems.append(Problem("error", field, message))
    if not problems and recipe.head is not None and (task := task_of_head(recipe.head)) != data.task:
        message = f"{recipe.head} is for {task}, and {recipe.data} is for {data.task}."
        problems.append(Problem("error", "head", f"{message} Set head to {_listed(TASKS[data.task].heads)}."))
    return problems


def _data_problems(recipe: Recipe) -> list[Problem]:
    problems = []
    twice = [name for name in recipe.classes if not name or recipe.classes.count(name) > 1]
    if twice:
        message = f"Each class has a name of its own. Received: {twice[0]!r} in classes={','.join(recipe.classes)}"
        problems.append(Problem("error", "classes", message))
    if folder_of(recipe.data) is None:
        for field in ("classes", "sets", "ignored"):
            if getattr(recipe, field) != type(recipe).model_fields[field].default:
                message = f"{recipe.data} of TFDS says itself what {field} says of a folder. Leave {field} as it is."
                problems.append(Problem("error", field, message))
    return problems


def _detector_problems(recipe: Recipe, strides: tuple[int, ...]) -> list[Problem]:
    size = recipe.resolved_image_size()
    if size % DETECTOR_STRIDE:
        nearest = max(1, round(size / DETECTOR_STRIDE)) * DETECTOR_STRIDE
        message = f"A detector's image size is a multiple of {DETECTOR_STRIDE} px. Set image_size={nearest}."
        return [Problem("error", "image_size", message)]
    if strides[-1] != DETECTOR_STRIDE:
        small = f", or more than {LARGEST_SMALL_IMAGE} px" if recipe.model.startswith("nf_") else ""
        message = f"The maps of {recipe.model} end at a stride of {strides[-1]} here, not {DETECTOR_STRIDE}, as a"
        message = f"{message} detector needs. Choose a network for large images{small}."
        return [Problem("error", "model", message)]
    return []


def _strides(recipe: Recipe, model: ModelFacts) -> tuple[int, ...]:
    """The strides of the stages of a recipe's model, not dilated; none where it has no stages."""
    family = model.family.removesuffix("_cifar")
    if family not in ("resnet", "nf_resnet", "nfnet"):
        return ()
    if model.family in ("resnet_cifar", "nf_resnet_cifar"):
        return (1, 2, 4)
    if "nf" in model.features and recipe.resolved_image_size() <= LARGEST_SMALL_IMAGE:
        return (1, 2, 4, 8)
    return (4, 8, 16, 32)


def _listed(words: tuple[object, ...]) -> str:
    return " or ".join(map(str, words))
