"""What is wrong with a recipe whose values are all in range: the checks across its fields and tricks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from keras_tricks.batch_problems import batch_problems
from keras_tricks.data_facts import DataFacts, data_facts, folder_of
from keras_tricks.model_facts import ModelFacts, model_facts
from keras_tricks.problem import Problem
from keras_tricks.teacher_facts import teacher_problem
from keras_tricks.transfer_problems import transfer_problems
from keras_tricks.trick import FEATURES
from keras_tricks.tricks import (
    CheckpointAveraging,
    Distillation,
    ProgressiveResizing,
    StepDecay,
    TestResolution,
    Warmup,
)
from keras_tricks.weights_facts import unfit_weights, weights_kind

if TYPE_CHECKING:
    from keras_tricks.recipe import Recipe

LARGE_BATCH = 1024
"""Images a step up to which networks without normalization do well by themselves (Brock et al. 2021, section 1)."""


def find_problems(recipe: Recipe, replicas: int) -> list[Problem]:
    """Return what is wrong with `recipe` on so many replicas, errors first."""
    unknown = _name_problems(recipe)
    if unknown:
        return unknown
    model, data = model_facts(recipe.model), data_facts(recipe.data)
    problems = [
        *transfer_problems(recipe, model, data),
        *_trick_problems(recipe, model),
        *_published_problems(recipe, model),
        *_normalizer_free_problems(recipe, model),
        *_weights_problems(recipe, model),
        *_teacher_problems(recipe, data),
        *_size_problems(recipe, model),
        *_cache_problems(recipe, data),
        *batch_problems(recipe, data, replicas),
        *_schedule_problems(recipe),
    ]
    return sorted(problems, key=lambda problem: problem.level)


def _name_problems(recipe: Recipe) -> list[Problem]:
    problems = []
    for field, look_up in (("model", model_facts), ("data", data_facts)):
        try:
            look_up(getattr(recipe, field))
        except ValueError as error:
            problems.append(Problem("error", field, str(error)))
    folder = folder_of(recipe.data)
    if folder is not None and not problems and not folder.is_dir():
        prefix = recipe.data.partition(":")[0]
        message = f"There is no folder {folder}. Set data={prefix}:PATH to a folder of images."
        problems.append(Problem("error", "data", message))
    return problems


def _trick_problems(recipe: Recipe, model: ModelFacts) -> list[Problem]:
    problems = []
    for name, count in Counter(trick.name for trick in recipe.tricks).items():
        if count > 1:
            problems.append(Problem("error", name, f"{name} is asked for {count} times. Keep one of them."))
    on = {trick.name for trick in recipe.tricks}
    for trick in {trick.name: trick for trick in recipe.tricks}.values():
        for need in sorted(trick.needs - model.features - on):
            what = FEATURES.get(need, f"the trick {need}")
            change = "choose another model" if need in FEATURES else f"turn {need} on"
            problems.append(
                Problem(
                    "error",
                    trick.name,
                    f"{trick.name} needs {what}"
                    + (f", and {recipe.model} is none" if need in FEATURES else "")
                    + f". Turn {trick.name} off or {change}.",
                )
            )
        problems += [
            Problem(
                "error",
                trick.name,
                f"{trick.name} and {other} exclude each other. Turn one of them off.",
            )
            for other in sorted(trick.conflicts & on)
            if trick.name < other
        ]
    if "no_bias_decay" in on and recipe.weight_decay == 0:
        problems.append(
            Problem(
                "warning",
                "no_bias_decay",
                "no_bias_decay changes nothing while weight_decay is 0. Set weight_decay or turn it off.",
            )
        )
    return problems


def _published_problems(recipe: Recipe, model: ModelFacts) -> list[Problem]:
    """What is left to the model's publication must be published."""
    published = {
        "stochastic_depth": ("rate", model.stochastic_depth_rate),
        "head_dropout": ("rate", model.dropout_rate),
        "test_resolution": ("image_size", model.test_image_size),
        "rand_augment": ("magnitude", model.rand_augment_magnitude),
    }
    return [
        Problem(
            "error",
            f"{trick.name}.{parameter}",
            f"{recipe.model} was published without {trick.name}, so there is no default. Set {trick.name}.{parameter}.",
        )
        for trick in recipe.tricks
        for parameter, value in [published.get(trick.name, ("", 0))]
        if value is None and trick.name in published and getattr(trick, parameter) is None
    ]


def _normalizer_free_problems(recipe: Recipe, model: ModelFacts) -> list[Problem]:
    """What suits a network without normalization."""
    clipping = recipe.trick("adaptive_gradient_clipping")
    problems = []
    if "nf" in model.features and clipping is None and recipe.batch_size > LARGE_BATCH:
        problems.append(
            Problem(
                "warning",
                "adaptive_gradient_clipping",
                f"{recipe.model} has no normalization, and with batches of more than {LARGE_BATCH} it trains worse "
                "without adaptive_gradient_clipping. Turn that on.",
            )
        )
    if "nf" in model.features and recipe.weight_decay > 0 and recipe.trick("no_bias_decay") is None:
        problems.append(
            Problem(
                "warning",
                "no_bias_decay",
                f"weight_decay acts on the gains of {recipe.model} too. Turn no_bias_decay on, as published.",
            )
        )
    return problems


def _weights_problems(recipe: Recipe, model: ModelFacts) -> list[Problem]:
    if recipe.weights is None:
        return []
    message = unfit_weights(recipe.weights, model)
    if message is None and weights_kind(recipe.weights) == "imagenet" and recipe.trick("resnet_variant") is not None:
        message = "The ImageNet weights are of the original ResNet. Turn resnet_variant off, or choose other weights."
    return [] if message is None else [Problem("error", "weights", message)]


def _teacher_problems(recipe: Recipe, data: DataFacts) -> list[Problem]:
    trick = recipe.trick("distillation")
    if not isinstance(trick, Distillation):
        return []
    message = teacher_problem(trick.teacher, recipe.data, data.classes)
    return [] if message is None else [Problem("error", "distillation.teacher", message)]


def _size_problems(recipe: Recipe, model: ModelFacts) -> list[Problem]:
    sizes = [("image_size", recipe.resolved_image_size())]
    test = recipe.trick("test_resolution")
    if isinstance(test, TestResolution):
        sizes.append(("test_resolution.image_size", test.size(recipe.model) or sizes[0][1]))
    least, most = model.min_image_size, model.max_image_size
    problems = []
    growing, (_, full) = recipe.trick("progressive_resizing"), sizes[0]
    if isinstance(growing, ProgressiveResizing):
        where, first = "progressive_resizing.initial_size", growing.first_size(full)
        sizes.append((where, first))
        if first > full:
            message = f"Images cannot grow from {first} to {full} px. Set {where} to less, or image_size to more."
            problems.append(Problem("error", where, message))
        elif recipe.epochs == 1:
            message = "progressive_resizing changes nothing in a single epoch. Set more epochs or turn it off."
            problems.append(Problem("warning", "progressive_resizing", message))
    for where, size in sizes:
        if size < least:
            message = f"{recipe.model} needs images of at least {least} px. Set {where}={least} or more"
        elif most is not None and size > most:
            message = f"{recipe.model} takes images of at most {most} px. Set {where}={most} or less"
        else:
            continue
        problems.append(Problem("error", where, f"{message}, or choose another model. Received: {where}={size}"))
    return problems


def _cache_problems(recipe: Recipe, data: DataFacts) -> list[Problem]:
    if recipe.decoded_cache is None or (data.style != "small" and data.task == "classification"):
        return []
    why = "decoded in memory" if data.style == "small" else "decoded with what belongs to its images"
    message = f"{recipe.data} is {why} anyway: decoded_cache does nothing. Set decoded_cache=none."
    return [Problem("warning", "decoded_cache", message)]


def _schedule_problems(recipe: Recipe) -> list[Problem]:
    problems = []
    warmup, step = recipe.trick("warmup"), recipe.trick("step_decay")
    decays = step or recipe.trick("cosine_decay") or recipe.trick("poly_decay")
    warmup_epochs = warmup.epochs if isinstance(warmup, Warmup) else 0.0
    if warmup_epochs == recipe.epochs:
        message = "The whole run is warmup. Set warmup.epochs to less, or epochs to more."
        problems.append(Problem("warning", "warmup.epochs", message))
    if warmup_epochs > recipe.epochs:
        problems.append(
            Problem(
                "error",
                "warmup.epochs",
                f"A warmup of {warmup_epochs:g} epochs does not fit into a run of {recipe.epochs}. "
                "Set warmup.epochs to less, or epochs to more.",
            )
        )
    averaging = recipe.trick("checkpoint_averaging")
    if isinstance(averaging, CheckpointAveraging) and averaging.epochs > recipe.epochs:
        where = "checkpoint_averaging.epochs"
        message = f"There are {recipe.epochs} epochs to average, not {averaging.epochs}. Set {where} to less."
        problems.append(Problem("error", where, message))
    if isinstance(step, StepDecay):
        late = [f"{epoch:g}" for epoch in step.epochs if epoch >= recipe.epochs]
        if late:
            problems.append(
                Problem(
                    "warning",
                    "step_decay.epochs",
                    f"step_decay never comes to epoch {', '.join(late)} in a run of {recipe.epochs}. "
                    "Set earlier epochs, or train longer.",
                )
            )
        if step.epochs[0] <= warmup_epochs:
            problems.append(
                Problem(
                    "error",
                    "step_decay.epochs",
                    f"step_decay drops the rate at epoch {step.epochs[0]:g}, inside the warmup of "
                    f"{warmup_epochs:g} epochs. Set a later epoch or a shorter warmup.",
                )
            )
    if isinstance(warmup, Warmup) and warmup_epochs and not decays:
        problems.append(
            Problem(
                "warning",
                "warmup",
                "The learning rate stays at its full value after the warmup. "
                "Turn cosine_decay, poly_decay or step_decay on to lower it.",
            )
        )
    return problems
