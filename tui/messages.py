"""What thread workers and widgets tell the screens: readers post, and only handlers change widgets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from textual.message import Message

from keras_tricks.runs.summary import RunSummary
from tui.run_comparer import Comparison

if TYPE_CHECKING:
    from keras_tricks.queue import Lane
    from keras_tricks.recipe import Recipe
    from keras_tricks.user_recipes import UserRecipe
    from tui.draft import Draft
    from tui.machine import MachineLoad
    from tui.run_watcher import RunView


class FieldEdited(Message):
    """The user changed a value of the recipe.

    Args:
        where: The field (`epochs`) or the trick's parameter (`mixup.alpha`).
        text: The value as it was typed.
    """

    def __init__(self, where: str, text: str) -> None:
        super().__init__()
        self.where = where
        self.text = text


class TrickToggled(Message):
    """The user turned a trick on or off."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class RunsRead(Message):
    """All runs were looked at."""

    def __init__(self, rows: list[RunSummary]) -> None:
        super().__init__()
        self.rows = rows


class RunsCompared(Message):
    """The marked runs were looked at."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__()
        self.comparison = comparison


class RunsUnreadable(Message):
    """The folder of runs cannot be read."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class RunRead(Message):
    """The watched run was looked at."""

    def __init__(self, view: RunView) -> None:
        super().__init__()
        self.view = view


class MachineRead(Message):
    """This machine was looked at."""

    def __init__(self, load: MachineLoad) -> None:
        super().__init__()
        self.load = load


class RunUnreadable(Message):
    """The watched run cannot be read."""

    def __init__(self, directory: Path, reason: str) -> None:
        super().__init__()
        self.directory = directory
        self.reason = reason


class NoRuns(Message):
    """There is no run to watch."""


class RunLaunched(Message):
    """A trainer was started in a new run directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory


class RunDeleted(Message):
    """A run directory was removed."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory


class UserRecipesRead(Message):
    """The user's recipes were looked at.

    Args:
        recipes: The recipes.
        then_choose: The recipe to go to; None to stay.
        done_with: The draft that can forget its edits: it was saved, or its recipe was deleted.
        renamed: The name that the recipe to go to had before.
    """

    def __init__(
        self,
        recipes: list[UserRecipe],
        then_choose: str | None = None,
        done_with: Draft | None = None,
        renamed: str | None = None,
    ) -> None:
        super().__init__()
        self.recipes = recipes
        self.then_choose = then_choose
        self.done_with = done_with
        self.renamed = renamed


class FindingsRead(Message):
    """What the finished runs say of each trick."""

    def __init__(self, findings: dict[str, str]) -> None:
        super().__init__()
        self.findings = findings


class RunRecipeRead(Message):
    """The recipe of a run is there to be edited.

    Args:
        directory: The run.
        recipe: Its recipe.
        start: The preset or recipe that a command for it names.
    """

    def __init__(self, directory: Path, recipe: Recipe, start: Recipe) -> None:
        super().__init__()
        self.directory = directory
        self.recipe = recipe
        self.start = start


class LanesRead(Message):
    """The lanes of the queue were looked at.

    Args:
        lanes: The lanes.
        purpose: What for: `add`, `start` or `variants`.
    """

    def __init__(self, lanes: list[Lane], purpose: str) -> None:
        super().__init__()
        self.lanes = lanes
        self.purpose = purpose


class Notice(Message):
    """Something that the user should read."""

    def __init__(self, text: str, severity: Literal["information", "warning", "error"] = "information") -> None:
        super().__init__()
        self.text = text
        self.severity = severity
