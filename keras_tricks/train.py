"""Train a recipe in a run directory, from the start or from where it was stopped."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from keras_tricks import data, saved_model
from keras_tricks.callbacks import (
    Checkpoint,
    DivergedError,
    InputWait,
    Position,
    Progress,
    RunLogger,
    StopRequested,
    UnreadableImages,
)
from keras_tricks.callbacks.stop_together import StopTogether
from keras_tricks.cluster.agreed_run_writer import AgreedRunWriter
from keras_tricks.cluster.connections import WorkerLostError
from keras_tricks.distribute.multi_worker import Team
from keras_tricks.distribute.team_start import (
    Start,
    StopWish,
    receive_checkpoint,
    receive_start,
    restore_everywhere,
    send_start,
    sharing_fate,
)
from keras_tricks.finish import finish
from keras_tricks.recipe import Recipe
from keras_tricks.runs import Run, RunError, RunWriter, schema
from keras_tricks.stop_signals import signals_call
from keras_tricks.training import START, Training, build, check, load_data


def run(
    recipe: Recipe,
    directory: str | Path,
    *,
    data_set: data.ImageDataSet | None = None,
    show: Callable[[RunWriter], Progress] | None = None,
    team: Team | None = None,
) -> dict[str, Any]:
    """Train a recipe in a run directory, or go on with what was trained there.

    A run that was stopped goes on where it was, one that was killed after its last finished epoch; both with the same
    batches, weights and optimizer as if nothing had happened. At the end there are `model.keras`, `predictions.npz`,
    `result.json` and the learning curves.

    Args:
        recipe: What to train.
        directory: A run directory, as made by `keras_tricks.runs.create_run`.
        data_set: The recipe's data set, where it has been loaded already.
        show: Makes the callback that shows progress; nothing is shown by default.
        team: The workers whose chief this process is; the others call `follow`. Defaults to None, this process alone.

    Returns:
        The content of `result.json`.

    Raises:
        keras_tricks.runs.RunError: Another trainer is alive there, or the directory cannot be written.
        StopRequested: The run was asked to stop, or interrupted; its state is `stopped`.
        Exception: What made the run fail; its state is `failed`, and the log has the traceback.
    """
    writing = RunWriter(directory) if team is None else AgreedRunWriter(directory, team.link)
    with writing as writer, signals_call(lambda: _request_stop(writer)):
        progress = show(writer) if show else None
        try:
            with sharing_fate(team):
                result = _run(recipe, writer, data_set, progress, team)
        except KeyboardInterrupt as error:
            status = writer.status
            words = f"Stopped after {status.epoch} of {recipe.epochs} epochs, at step {status.step}."
            # A full disk must not hide that it stopped.
            with contextlib.suppress(OSError):
                writer.event("stopped", words)
            writer.end("stopped")
            raise StopRequested(words) from error
        except BaseException as error:
            # A full disk must not hide what went wrong: each is written if it can be.
            with contextlib.suppress(OSError):
                writer.end("failed", last_line(error))
            with contextlib.suppress(OSError):
                writer.log(traceback.format_exc())
            raise
        finally:
            if progress is not None:
                progress.close()
        writer.end("finished")
        return result


def follow(team: Team, recipe: Recipe | None = None, data_set: data.ImageDataSet | None = None) -> None:
    """Train as one of the workers whose chief calls `run`, at the same steps and with nothing to write.

    The chief sends the recipe, and the checkpoint to go on from: no files need be shared.

    Args:
        team: The workers, of which this process is not the chief.
        recipe: The recipe as this worker knows it; data and initial weights may lie elsewhere than at the chief's.
            Defaults to None, the chief's recipe.
        data_set: The recipe's data set, where it has been loaded already.

    Raises:
        RecipeError: This worker's recipe is another one than the chief's.
        StopRequested: The workers agreed to stop.
        WorkerLostError: Another worker failed or was lost.
        Exception: What made this worker fail, and the others with it.
    """
    wish = StopWish()
    with signals_call(wish.request), sharing_fate(team):
        start = receive_start(team)
        recipe = start.recipe if recipe is None else start.require_same(recipe)
        training = build(recipe, data_set, load_initial_weights=not start.resumes, team=team)
        with receive_checkpoint(team, training.averaging) as checkpoint, training.replicas.scope():
            position = checkpoint.restore(training.model)
        stopping = StopTogether(team.link, wish.is_there, position=position)
        wish.may_wait = True
        try:
            unreadable = UnreadableImages(training.data_set)
            _fit(training, position, [stopping, unreadable, *training.callbacks, checkpoint])
        except StopRequested:
            if stopping.position.step and stopping.position != position:
                checkpoint.save(stopping.position)
            team.link.finish()
            raise
        except KeyboardInterrupt as error:
            raise StopRequested("Interrupted.") from error
        team.link.finish()
        # Until the chief has written its model: TensorFlow there would complain of who left.
        team.link.finish()


def trained(directory: str | Path) -> Training:
    """Build the recipe of a run with the weights that the run has reached.

    It is built for one device, however many the run had.

    Raises:
        keras_tricks.runs.RunError: It is not a run of a recipe, or it has not finished an epoch.
    """
    run_ = Run(directory)
    recipe = Recipe.from_document(run_.recipe(), str(run_.directory))
    training = build(recipe.changed(replicas=1, decoded_cache=None), load_initial_weights=False)
    model_file = run_.directory / schema.MODEL_FILE
    if model_file.exists():
        model = saved_model.load(model_file).model
        training.model.set_weights(model.get_weights())
        return training
    checkpoint = Checkpoint(run_.directory / schema.CHECKPOINTS, averaging=training.averaging)
    if checkpoint.restore(training.model) == START:
        raise RunError(f"{run_.id} has not finished an epoch: it has neither a model nor a checkpoint.")
    if training.averaging is not None:
        training.averaging.apply_to(training.model)
    return training


def _run(
    recipe: Recipe,
    writer: RunWriter,
    data_set: data.ImageDataSet | None,
    progress: Progress | None,
    team: Team | None,
) -> dict[str, Any]:
    started = time.monotonic()
    writer.log(f"training {recipe.name}: {recipe.model} on {recipe.data}, {recipe.epochs} epochs")
    backend = keras.backend.backend()
    if writer.status.backend not in (None, backend):
        raise RunError(
            f"This run was trained with the {writer.status.backend} backend and cannot go on with {backend}. "
            f"Set KERAS_BACKEND={writer.status.backend}."
        )
    writer.update(backend=backend)
    checkpoint = Checkpoint(writer.directory / schema.CHECKPOINTS, run=writer)
    if team is not None:
        send_start(team, Start(recipe, resumes=bool(checkpoint.positions())))
    training = build(recipe, data_set, load_initial_weights=not checkpoint.positions(), team=team)
    checkpoint.averaging = training.averaging
    for warning in (
        *training.data_set.warnings,
        *(problem.message for problem in recipe.problems(training.replicas.count)),
    ):
        writer.event("warning", warning)
    with training.replicas.scope():
        position = restore_everywhere(team, checkpoint, training.model)
    if position > START:
        writer.event("resume", f"goes on after {position.epoch} epochs and {position.step} steps")
    # A strategy asks for batches ahead of the steps.
    wait = InputWait() if training.replicas.strategy is None else None
    logger = RunLogger(
        writer,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        steps_per_epoch=training.facts.steps_per_epoch,
        position=position,
        input_wait=wait,
        monitor=training.task.facts.metric,
        epoch_costs=[size**2 for size in training.plan.image_sizes] or None,
    )
    unreadable = UnreadableImages(training.data_set, writer)
    measuring = training.task.callbacks(training)
    callbacks: list[keras.callbacks.Callback] = [*measuring, logger, unreadable, *training.callbacks, checkpoint]
    if recipe.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(str(writer.directory / "tensorboard")))
    if progress is not None:
        callbacks.append(progress)
    if team is not None:
        stopping = StopTogether(team.link, writer.wishes_to_stop, agreed=writer.agree, position=position)
        callbacks.insert(0, stopping)
    try:
        _fit(training, position, callbacks, wait)
    except StopRequested:
        if logger.position.step and logger.position != position:
            checkpoint.save(logger.position)
        if team is not None:
            team.link.finish()
        raise
    if team is not None:
        # All steps are done: it does not matter who is lost from here on.
        with contextlib.suppress(WorkerLostError):
            team.link.finish()
    result = finish(training, writer, checkpoint, started)
    if team is not None:
        with contextlib.suppress(WorkerLostError):
            team.link.finish()
    return result


def _fit(
    training: Training,
    position: Position,
    callbacks: list[keras.callbacks.Callback],
    wait: InputWait | None = None,
) -> None:
    """Train from `position` to the end: the rest of a broken-off epoch, then the whole ones."""
    steps_per_epoch = training.facts.steps_per_epoch
    stretches = [(Position(position.epoch), training.recipe.epochs, steps_per_epoch)]
    if position.step:
        stretches = [
            (position, position.epoch + 1, steps_per_epoch - position.step),
            (Position(position.epoch + 1), training.recipe.epochs, steps_per_epoch),
        ]
    for first, epochs, steps in stretches:
        if first.epoch < epochs:
            batches = training.training_batches(first)
            training.model.fit(
                batches if wait is None else wait.of(batches),
                validation_data=training.validation_batches(),
                initial_epoch=first.epoch,
                epochs=epochs,
                steps_per_epoch=steps,
                shuffle=False,
                callbacks=callbacks,
                verbose=0,
            )


def _request_stop(writer: RunWriter) -> None:
    """Stop a run after its step, and at once where nothing is lost or at the second time."""
    if writer.status.state != "running" or writer.stop_requested():
        raise KeyboardInterrupt
    writer.request_stop()


def last_line(error: BaseException) -> str:
    """Return the name of an error and the one line of its message that says most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if isinstance(error, DivergedError | ValueError) and lines else (lines or [""])[-1]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


__all__ = ["build", "check", "follow", "last_line", "load_data", "run", "trained"]
