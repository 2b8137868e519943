"""Build what a recipe trains: the one place that knows in which order tricks take hold."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras

from keras_tricks import data, optimizers
from keras_tricks.callbacks import AverageInModel, Position, StatisticsAveraging
from keras_tricks.distribute import ReplicaModel, Replicas, choose_replicas
from keras_tricks.distribute.multi_worker import Team
from keras_tricks.predict_function import predict_function
from keras_tricks.recipe import Recipe, RecipeError
from keras_tricks.tasks import Task, task_of
from keras_tricks.trick import RunFacts, Trick
from keras_tricks.tricks import TRICKS, Warmup

START = Position(0)


@dataclass(frozen=True)
class Training:
    """Everything that `model.fit` needs for a recipe.

    Args:
        recipe: The recipe.
        facts: What the tricks knew.
        replicas: The devices.
        data_set: The images.
        plan: How they become batches: a `DataPlan`, or that of another task.
        model: The compiled model.
        callbacks: The tricks' own callbacks.
    """

    recipe: Recipe
    facts: RunFacts
    replicas: Replicas
    data_set: data.ImageDataSet
    plan: Any
    model: keras.Model
    callbacks: list[keras.callbacks.Callback]

    def training_batches(self, position: Position = START) -> Any:
        """The batches from `position` on to the end of the run, in the recipe's order.

        Of several workers each decodes its part of every batch only, where the transforms of the batches allow it.
        """
        batch_size = self.recipe.batch_size
        batches = functools.partial(
            self.plan.training_batches,
            self.data_set,
            batch_size,
            self.recipe.seed,
            first_epoch=position.epoch,
            first_step=position.step,
            epochs=self.recipe.epochs,
        )
        workers = self.replicas.workers
        if workers == 1 or not data.can_be_shared(batch_size, workers, self.plan.batch_transforms, self.plan.repeats):
            return batches()
        return self.replicas.strategy.distribute_datasets_from_function(
            lambda context: batches(part=data.Part(context.input_pipeline_id, workers)).rebatch(
                context.get_per_replica_batch_size(batch_size), drop_remainder=True
            )
        )

    def validation_batches(self) -> Any:
        """The validation images, each once."""
        return self.plan.evaluation_batches(self.data_set, self.evaluation_batch_size)

    @property
    def evaluation_batch_size(self) -> int:
        """How many validation images a batch has."""
        return evaluation_batch_size(self.data_set.validation.size, self.recipe.batch_size, self.replicas.count)

    @functools.cached_property
    def predict(self) -> Callable[[Any], Any]:
        """The forward pass from images to predictions, compiled once, for this process and one device."""
        return predict_function(self.task.inference_model(self.model))

    @property
    def task(self) -> Task:
        """What differs from other tasks."""
        return task_of(self.recipe.task)

    @property
    def averaging(self) -> AverageInModel | None:
        """The callback that averages the weights, if one does."""
        return next((callback for callback in self.callbacks if isinstance(callback, AverageInModel)), None)


def build(
    recipe: Recipe,
    data_set: data.ImageDataSet | None = None,
    *,
    load_initial_weights: bool = True,
    team: Team | None = None,
) -> Training:
    """Build data, model, optimizer and loss of a recipe, with its tricks in their order.

    Args:
        recipe: What to train.
        data_set: Its data set, where it has been loaded already.
        load_initial_weights: Whether to load the recipe's `weights`; not where those of a checkpoint follow.
        team: The workers that train it together. Defaults to None, this process alone.

    Raises:
        RecipeError: The recipe has problems, or its data set or initial weights cannot be used.
    """
    if not load_initial_weights:
        recipe = recipe.changed(weights=None)
    _require_no_errors(recipe)
    data_set = data_set or load_data(recipe)
    replicas, facts = check(recipe, data_set, team)
    tricks = in_order(recipe.tricks)

    plan = plan_data(recipe, data_set, facts)

    policy = "float32"
    for trick in tricks:
        policy = trick.change_precision(policy, facts)

    keras.utils.set_random_seed(recipe.seed)
    with _dtype_policy(policy), replicas.scope():
        task = task_of(recipe.task)
        model = task.build_model(recipe, tricks, facts)

        optimizer: Any = optimizers.SGD(
            _learning_rate(recipe, facts),
            momentum=recipe.momentum,
            nesterov=recipe.nesterov and recipe.momentum > 0,
            weight_decay=recipe.weight_decay,
        )
        for trick in tricks:
            optimizer = trick.change_optimizer(optimizer, facts)

        loss: Any = task.loss(recipe, facts)
        for trick in tricks:
            loss = trick.change_loss(loss, facts)

        for trick in tricks:
            model = trick.change_training(model, facts)
        if replicas.strategy is not None:
            model = ReplicaModel.of(model)
        model.compile(optimizer=optimizer, **task.compile_arguments(model, loss, facts))
        make_variables(model, *task.nothing(model, facts))

    callbacks = [callback for trick in tricks for callback in trick.callbacks(facts)]
    if replicas.count > 1 and not recipe.synchronized_batch_norm:
        callbacks.insert(0, StatisticsAveraging())
    return Training(recipe, facts, replicas, data_set, plan, model, callbacks)


def plan_data(recipe: Recipe, data_set: data.ImageDataSet, facts: RunFacts) -> Any:
    """Return how the images of a recipe become batches, with its tricks in their order.

    Args:
        recipe: The recipe.
        data_set: Its data set.
        facts: What the tricks may know.
    """
    plan = task_of(recipe.task).plan(recipe, data_set, facts)
    for trick in in_order(recipe.tricks):
        plan = trick.change_data(plan, facts)
    return plan


def check(recipe: Recipe, data_set: data.ImageDataSet, team: Team | None = None) -> tuple[Replicas, RunFacts]:
    """Find what only this machine and the loaded data can tell to be wrong, before anything is built.

    Args:
        recipe: What to train.
        data_set: Its data set.
        team: The workers that train it together. Defaults to None, this process alone.

    Returns:
        The devices, and what the tricks may know.

    Raises:
        RecipeError: The recipe has problems here.
    """
    replicas = choose_replicas(recipe.replicas, team)
    _require_no_errors(recipe, replicas.count)
    backend = keras.backend.backend()
    if backend != "tensorflow":
        for trick in recipe.tricks:
            if "training" in trick.stages():
                raise RecipeError(
                    f"{trick.name} needs the TensorFlow backend. Turn it off, or set KERAS_BACKEND=tensorflow. "
                    f"Received: KERAS_BACKEND={backend}"
                )
    if recipe.resolved_head == "retinanet" and importlib.util.find_spec("keras_hub") is None:
        raise RecipeError("RetinaNet needs the layers of the package keras-hub: pip install 'keras-tricks[hub]'")
    if recipe.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise RecipeError("TensorBoard logs need the package tensorboard: pip install tensorboard")
    try:
        facts = _facts(recipe, data_set, replicas)
        evaluation_batch_size(data_set.validation.size, recipe.batch_size, replicas.count)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    try:
        _learning_rate(recipe, facts)
    except ValueError as error:
        raise RecipeError(
            f"The schedule does not fit into {facts.total_steps} steps, {facts.warmup_steps} of them warmup. "
            f"Set more epochs, a smaller batch or a shorter warmup. ({error})"
        ) from error
    return replicas, facts


def evaluation_batch_size(images: int, most: int, replicas: int) -> int:
    """Return the largest batch, up to `most`, whose last, partial batch leaves no replica without an image.

    Args:
        images: How many images there are.
        most: The largest batch to use.
        replicas: How many devices share a batch.

    Raises:
        RecipeError: There is none.
    """
    for batch_size in range(most // replicas * replicas, 0, -replicas):
        rest = images % batch_size
        if rest == 0 or rest > batch_size // replicas * (replicas - 1):
            return batch_size
    raise RecipeError(
        f"{images} validation images cannot be shared out to {replicas} replicas. Set another number of replicas."
    )


def load_data(recipe: Recipe) -> data.ImageDataSet:
    """Load the data set of a recipe.

    Raises:
        RecipeError: It is not there, or cannot be used; the message says why and how to get it.
    """
    try:
        return data.load(
            recipe.data,
            data_dir=recipe.data_dir,
            seed=recipe.seed,
            decoded_cache=recipe.decoded_cache,
            classes=recipe.classes or None,
            ignored=recipe.ignored,
            sets=recipe.sets,
        )
    except ValueError as error:
        raise RecipeError(str(error)) from error


def in_order(tricks: tuple[Trick, ...]) -> list[Trick]:
    """Return tricks in the order in which they take hold within a stage: the catalogue's."""
    return sorted(tricks, key=lambda trick: list(TRICKS).index(trick.name))


def make_variables(model: keras.Model, targets: Any, predictions: Any) -> None:
    """Make the variables of a compiled model's optimizer and metrics now.

    TensorFlow traces a step that makes some twice, and a checkpoint within an epoch has values for the metrics'.

    Args:
        model: A compiled model.
        targets: Those of one image.
        predictions: Those of one image.
    """
    model.optimizer.build(model.trainable_variables)
    # The loss of each of several outputs has a metric, too.
    model.compute_loss(x=None, y=targets, y_pred=predictions, sample_weight=None, training=False)
    model.compute_metrics(x=None, y=targets, y_pred=predictions)
    model.reset_metrics()


def _require_no_errors(recipe: Recipe, replicas: int | None = None) -> None:
    errors = [problem for problem in recipe.problems(replicas) if problem.level == "error"]
    if errors:
        raise RecipeError(" ".join(problem.message for problem in errors))


def _facts(recipe: Recipe, data_set: data.ImageDataSet, replicas: Replicas) -> RunFacts:
    steps_per_epoch = data.steps_per_epoch(data_set, recipe.batch_size)
    warmup = recipe.trick("warmup")
    return RunFacts(
        model=recipe.model,
        classes=len(data_set.class_names),
        image_size=recipe.resolved_image_size(),
        batch_size=recipe.batch_size,
        replicas=replicas.count,
        epochs=recipe.epochs,
        steps_per_epoch=steps_per_epoch,
        warmup_steps=round(warmup.epochs * steps_per_epoch) if isinstance(warmup, Warmup) else 0,
        class_names=tuple(data_set.class_names),
        mean=data_set.facts.mean,
        std=data_set.facts.std,
    )


def _learning_rate(recipe: Recipe, facts: RunFacts) -> Any:
    learning_rate: Any = recipe.learning_rate
    for trick in in_order(recipe.tricks):
        learning_rate = trick.change_learning_rate(learning_rate, facts)
    return learning_rate


@contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
