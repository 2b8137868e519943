"""How the workers of a team start alike: the chief's recipe and checkpoint, at all of them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_tricks.callbacks import AverageInModel, Checkpoint, Position
from keras_tricks.distribute.multi_worker import Team
from keras_tricks.recipe import Recipe, RecipeError

_PLACES = ("data", "data_dir", "decoded_cache", "weights")
"""Where things lie may differ from machine to machine."""


@dataclass(frozen=True)
class Start:
    """What all workers must know before they build anything.

    Args:
        recipe: What to train.
        resumes: Whether a checkpoint follows.
    """

    recipe: Recipe
    resumes: bool

    def require_same(self, recipe: Recipe) -> Recipe:
        """Return a worker's own recipe if it is the chief's, but for the places of files.

        Raises:
            RecipeError: It is another one.
        """
        mine, chiefs = (each.model_dump(mode="json") for each in (recipe, self.recipe))
        for field in mine:
            if field not in _PLACES and mine[field] != chiefs[field]:
                raise RecipeError(
                    f"This worker's recipe is not the chief's: start all workers with the same command. Expected: "
                    f"{field}={chiefs[field]!r} Received: {field}={mine[field]!r}"
                )
        return recipe


class StopWish:
    """A worker's own wish to stop, which holds when all have agreed."""

    def __init__(self):
        self.may_wait = False
        self._is_there = False

    def request(self) -> None:
        """Wish to stop.

        Raises:
            KeyboardInterrupt: Nothing is lost if it does at once, or it has been asked before.
        """
        if self._is_there or not self.may_wait:
            raise KeyboardInterrupt
        self._is_there = True

    def is_there(self) -> bool:
        """Whether somebody wished it."""
        return self._is_there


class CheckpointFollower(Checkpoint):
    """Restore the chief's checkpoint and follow those that it saves, with no file left.

    Each worker has its own part of the metrics. To read the whole is a collective operation, for which the chief would
    wait in vain if the others did not read at the same time.
    """

    def save(self, position: Position) -> None:
        """Take part in what the chief's `Checkpoint` does collectively."""
        for variable in self.model.metrics_variables:
            keras.ops.convert_to_numpy(variable)


def send_start(team: Team, start: Start) -> None:
    """Send the other workers what they must know."""
    team.link.begin()
    document = {"recipe": start.recipe.model_dump(mode="json"), "resumes": start.resumes}
    team.link.broadcast(json.dumps(document).encode())


def receive_start(team: Team) -> Start:
    """Wait for what the chief sends with `send_start`."""
    team.link.begin()
    document = json.loads(team.link.broadcast())
    return Start(Recipe.from_document(document["recipe"], "The chief's recipe"), document["resumes"])


def restore_everywhere(team: Team | None, checkpoint: Checkpoint, model: keras.Model) -> Position:
    """Restore the newest whole checkpoint here, and send its files to the workers that call `receive_checkpoint`.

    They are sent before they are loaded: while it loads, Keras makes variables of its own, which in the scope of the
    strategy is a collective operation.

    Args:
        team: The workers, of which this process is the chief; None for this process alone.
        checkpoint: The checkpoint of the run.
        model: What to load it into.

    Returns:
        How far the model has been trained.
    """
    if team is None:
        return checkpoint.restore(model)

    def send(position: Position) -> None:
        files = checkpoint.files(position)
        team.link.broadcast(json.dumps([file.name for file in files]).encode())
        for file in files:
            team.link.broadcast(file.read_bytes())

    position = checkpoint.restore(model, before_load=send)
    if position == Position(0):
        team.link.broadcast(json.dumps([]).encode())
    return position


@contextmanager
def receive_checkpoint(team: Team, averaging: AverageInModel | None) -> Iterator[CheckpointFollower]:
    """Wait for the files that the chief sends with `restore_everywhere`, and have them for a `with` block."""
    with tempfile.TemporaryDirectory(prefix="keras-tricks-") as directory:
        for name in json.loads(team.link.broadcast()):
            Path(directory, Path(name).name).write_bytes(team.link.broadcast())
        yield CheckpointFollower(directory, averaging=averaging)


@contextmanager
def sharing_fate(team: Team | None) -> Iterator[None]:
    """Tell the other workers what goes wrong here, and say what went wrong there where that is the reason.

    TensorFlow's own error about a collective operation does not name the worker that was lost.

    Raises:
        WorkerLostError: Another worker failed or was lost.
        WorkerStoppedError: Another worker was interrupted.
    """
    try:
        yield
    except BaseException as error:
        if team is None:
            raise
        reason = team.reason(error)
        if reason is not None:
            raise reason from error
        team.tell(error)
        raise
