"""Train a recipe: the one place that knows in which order tricks take hold."""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import keras

from keras_tricks import data, models, optimizers, saved_model
from keras_tricks.callbacks import Checkpoint, DivergedError, Position, Progress, RunLogger, StopRequested
from keras_tricks.distribute import Replicas, choose_replicas
from keras_tricks.model_facts import model_facts
from keras_tricks.plots import plot_learning_curves
from keras_tricks.recipe import Recipe, RecipeError
from keras_tricks.runs import Run, RunWriter, schema
from keras_tricks.trick import RunFacts, Trick
from keras_tricks.tricks import TRICKS, Warmup

START = Position(0)


@dataclass(frozen=True)
class DataPlan:
    """How images become batches: the value that the data stage of the tricks changes.

    Args:
        preprocessing: What happens to each image.
        batch_transforms: What happens to each training batch; of several that mix images, each batch gets one.
    """

    preprocessing: data.Preprocessing
    batch_transforms: tuple[Callable[..., Any], ...] = ()

    def with_batch_transform(self, transform: Callable[..., Any]) -> DataPlan:
        """Return a plan with one more transform."""
        return replace(self, batch_transforms=(*self.batch_transforms, transform))


@dataclass(frozen=True)
class Training:
    """Everything that `model.fit` needs for a recipe.

    Args:
        recipe: The recipe.
        facts: What the tricks knew.
        replicas: The devices.
        data_set: The images.
        plan: How they become batches.
        model: The compiled model.
        callbacks: The tricks' own callbacks.
    """

    recipe: Recipe
    facts: RunFacts
    replicas: Replicas
    data_set: data.ImageDataSet
    plan: DataPlan
    model: keras.Model
    callbacks: list[keras.callbacks.Callback]

    def training_batches(self, position: Position = START) -> Any:
        """The batches from `position` on to the end of the run, in the recipe's order."""
        return data.training_batches(
            self.data_set,
            self.plan.preprocessing,
            self.recipe.batch_size,
            seed=self.recipe.seed,
            first_epoch=position.epoch,
            first_step=position.step,
            epochs=self.recipe.epochs,
            batch_transforms=self.plan.batch_transforms,
        )

    def validation_batches(self) -> Any:
        """The validation images, each once."""
        return data.evaluation_batches(self.data_set, self.plan.preprocessing, self.recipe.batch_size)


def build(recipe: Recipe, data_set: data.ImageDataSet | None = None) -> Training:
    """Build data, model, optimizer and loss of a recipe, with its tricks in their order.

    Args:
        recipe: What to train.
        data_set: Its data set, where it has been loaded already.

    Raises:
        RecipeError: The recipe has problems, or its data set cannot be used.
    """
    _require_no_errors(recipe)
    replicas = choose_replicas(recipe.replicas)
    _require_no_errors(recipe, replicas.count)
    if recipe.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise RecipeError("TensorBoard logs need the package tensorboard: pip install tensorboard")
    data_set = data_set or load_data(recipe)
    facts = _facts(recipe, data_set, replicas)
    tricks = in_order(recipe.tricks)

    plan = DataPlan(data.preprocessing_for(data_set.facts, facts.image_size))
    for trick in tricks:
        plan = trick.change_data(plan, facts)

    policy = "float32"
    for trick in tricks:
        policy = trick.change_precision(policy, facts)

    keras.utils.set_random_seed(recipe.seed)
    with _dtype_policy(policy), replicas.scope():
        model = _build_model(tricks, facts)

        learning_rate: Any = recipe.learning_rate
        for trick in tricks:
            learning_rate = trick.change_learning_rate(learning_rate, facts)

        optimizer: Any = optimizers.SGD(
            learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov and recipe.momentum > 0,
            weight_decay=recipe.weight_decay,
        )
        for trick in tricks:
            optimizer = trick.change_optimizer(optimizer, facts)

        loss: Any = keras.losses.CategoricalCrossentropy(from_logits=True)
        for trick in tricks:
            loss = trick.change_loss(loss, facts)

        for trick in tricks:
            model = trick.change_training(model, facts)
        model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])

    callbacks = [callback for trick in tricks for callback in trick.callbacks(facts)]
    return Training(recipe, facts, replicas, data_set, plan, model, callbacks)


def run(
    recipe: Recipe,
    directory: str | Path,
    *,
    data_set: data.ImageDataSet | None = None,
    show: Callable[[RunWriter], Progress] | None = None,
) -> dict[str, Any]:
    """Train a recipe in a run directory, or go on with what was trained there.

    A run that was stopped goes on where it was, one that was killed after its last finished epoch; both with the same
    batches, weights and optimizer as if nothing had happened. At the end there are `model.keras`, `result.json` and the
    learning curves.

    Args:
        recipe: What to train.
        directory: A run directory, as made by `keras_tricks.runs.create_run`.
        data_set: The recipe's data set, where it has been loaded already.
        show: Makes the callback that shows progress; nothing is shown by default.

    Returns:
        The content of `result.json`.

    Raises:
        keras_tricks.runs.RunError: Another trainer is alive there, or the directory cannot be written.
        StopRequested: The run was asked to stop, or interrupted; its state is `stopped`.
        Exception: What made the run fail; its state is `failed`, and the log has the traceback.
    """
    with RunWriter(directory) as writer, _signals_stop(writer):
        progress = show(writer) if show else None
        try:
            result = _run(recipe, writer, data_set, progress)
        except KeyboardInterrupt as error:
            status = writer.status
            words = f"Stopped after {status.epoch} of {recipe.epochs} epochs, at step {status.step}."
            writer.event("stopped", words)
            writer.end("stopped")
            raise StopRequested(words) from error
        except BaseException as error:
            # A full disk must not hide what went wrong.
            with contextlib.suppress(OSError):
                writer.end("failed", _last_line(error))
                writer.log(traceback.format_exc())
            raise
        finally:
            if progress is not None:
                progress.close()
        writer.end("finished")
        return result


def load_data(recipe: Recipe) -> data.ImageDataSet:
    """Load the data set of a recipe.

    Raises:
        RecipeError: It is not there, or cannot be used; the message says why and how to get it.
    """
    try:
        return data.load(recipe.data, data_dir=recipe.data_dir, seed=recipe.seed)
    except ValueError as error:
        raise RecipeError(str(error)) from error


def trained(directory: str | Path) -> Training:
    """Build the recipe of a run with the weights that the run has reached.

    Raises:
        keras_tricks.runs.RunError: It is not a run, or it has not finished an epoch.
    """
    from keras_tricks.runs import RunError

    run_ = Run(directory)
    training = build(Recipe.from_document(run_.document()["recipe"], str(run_.directory)))
    model_file = run_.directory / schema.MODEL_FILE
    if model_file.exists():
        model = saved_model.load(model_file).model
        training.model.set_weights(model.get_weights())
    elif Checkpoint(run_.directory / schema.CHECKPOINTS).restore(training.model) == START:
        raise RunError(f"{run_.id} has not finished an epoch: it has neither a model nor a checkpoint.")
    return training


def in_order(tricks: tuple[Trick, ...]) -> list[Trick]:
    """Return tricks in the order in which they take hold within a stage: the catalogue's."""
    places = {name: place for place, name in enumerate(TRICKS)}
    return sorted(tricks, key=lambda trick: places.get(trick.name, len(places)))


def _run(
    recipe: Recipe, writer: RunWriter, data_set: data.ImageDataSet | None, progress: Progress | None
) -> dict[str, Any]:
    started = time.time()
    writer.log(f"training {recipe.name}: {recipe.model} on {recipe.data}, {recipe.epochs} epochs")
    training = build(recipe, data_set)
    for warning in (
        *training.data_set.warnings,
        *(problem.message for problem in recipe.problems(training.replicas.count)),
    ):
        writer.event("warning", warning)
    checkpoint = Checkpoint(writer.directory / schema.CHECKPOINTS, run=writer)
    position = checkpoint.restore(training.model)
    if position > START:
        writer.event("resume", f"goes on after {position.epoch} epochs and {position.step} steps")
    logger = RunLogger(
        writer,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        steps_per_epoch=training.facts.steps_per_epoch,
        position=position,
    )
    callbacks: list[keras.callbacks.Callback] = [logger, *training.callbacks, checkpoint]
    if recipe.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(str(writer.directory / "tensorboard")))
    if progress is not None:
        callbacks.append(progress)
    try:
        _fit(training, position, callbacks)
    except StopRequested:
        if logger.position.step:
            checkpoint.save(logger.position)
        raise
    return _finish(training, writer, started)


def _fit(training: Training, position: Position, callbacks: list[keras.callbacks.Callback]) -> None:
    """Train from `position` to the end: the rest of a broken-off epoch, then the whole ones."""
    steps_per_epoch = training.facts.steps_per_epoch
    stretches = [(Position(position.epoch), training.recipe.epochs, steps_per_epoch)]
    if position.step:
        _build_metrics(training)
        stretches = [
            (position, position.epoch + 1, steps_per_epoch - position.step),
            (Position(position.epoch + 1), training.recipe.epochs, steps_per_epoch),
        ]
    for first, epochs, steps in stretches:
        if first.epoch < epochs:
            training.model.fit(
                training.training_batches(first),
                validation_data=training.validation_batches(),
                initial_epoch=first.epoch,
                epochs=epochs,
                steps_per_epoch=steps,
                shuffle=False,
                callbacks=callbacks,
                verbose=0,
            )


def _build_metrics(training: Training) -> None:
    """Give the model's metrics their variables, which a checkpoint within an epoch has values for.

    Under a strategy `fit` does so by itself before its first epoch, elsewhere only in its first step.
    """
    if training.replicas.strategy is None:
        nothing = keras.ops.zeros((1, training.facts.classes))
        training.model.compute_metrics(x=None, y=nothing, y_pred=nothing)


def _finish(training: Training, writer: RunWriter, started: float) -> dict[str, Any]:
    """Write the model, the curves and the summary."""
    saved_model.save(
        training.model,
        writer.directory / schema.MODEL_FILE,
        class_names=training.data_set.class_names,
        preprocessing=training.plan.preprocessing,
    )
    history = Run(writer.directory).metrics()
    plot_learning_curves(history, writer.directory / schema.PLOTS, title=training.recipe.name)
    epoch_rows = [row for row in history.rows if row.kind == "epoch"]
    result = {
        "name": training.recipe.name,
        "epochs": training.recipe.epochs,
        "steps": training.facts.total_steps,
        "parameters": training.model.count_params(),
        "metrics": epoch_rows[-1].values if epoch_rows else {},
        "best": None if writer.status.best is None else writer.status.best.model_dump(),
        "seconds_of_last_attempt": time.time() - started,
        "attempts": writer.status.attempt,
    }
    writer.result(result)
    return result


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
    )


def _build_model(tricks: list[Trick], facts: RunFacts) -> keras.Model:
    model = model_facts(facts.model)
    arguments: dict[str, Any] = {
        "input_shape": (facts.image_size, facts.image_size, 3),
        "classes": facts.classes,
        "classifier_activation": None,
    }
    if "resnet_variants" in model.features:
        arguments["variant"] = "A"
    if "batch_norm" in model.features and facts.replicas > 1:
        arguments["synchronized_batch_norm"] = True
    for trick in tricks:
        arguments = trick.change_model(arguments, facts)
    return getattr(models, model.builder)(**arguments)


@contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextmanager
def _signals_stop(writer: RunWriter) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM stop a run after its step, and at once where nothing is lost or at the second time."""
    if threading.current_thread() is not threading.main_thread():
        # Signals belong to the main thread.
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if writer.status.state != "running" or writer.stop_requested():
            raise KeyboardInterrupt
        writer.request_stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if isinstance(error, DivergedError | ValueError) and lines else (lines or [""])[-1]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
