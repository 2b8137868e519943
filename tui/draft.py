"""Draft: a recipe while it is being edited, with what was typed wrong kept."""

from __future__ import annotations

import shlex
from typing import Any

from keras_tricks.data_facts import Task
from keras_tricks.memory_estimate import MemoryEstimate, estimate_memory
from keras_tricks.presets import change, command
from keras_tricks.recipe import Problem, Recipe, RecipeError
from keras_tricks.trick import Trick
from keras_tricks.tricks import MixedPrecision, trick_class

PRECISION = "precision"
"""A field of ours for the type of the computation: it is the trick mixed_precision that holds it."""
PRECISIONS = ("float32", "float16", "bfloat16")


class Draft:
    """A recipe while it is being edited.

    Each change is checked as the command line checks it. A value that is wrong is not lost: it stays as it was typed,
    the recipe has the value from before its editing began, and `problems` says what is wrong until it is mended.

    Args:
        base: The recipe to start from.
        start: The preset or recipe of the user's that its command names. Defaults to `base`.
        parent: Id of the run whose recipe `base` is. Defaults to None.
    """

    def __init__(self, base: Recipe, start: Recipe | None = None, parent: str | None = None):
        self.base = base
        self.start = start or base
        self.parent = parent
        self.recipe = base
        self._wrong: dict[str, tuple[str, Problem]] = {}
        self._before: dict[str, Any] = {}
        self._off: dict[str, Trick] = {}

    @property
    def edited(self) -> bool:
        """Whether it differs from what it started from."""
        return self.recipe != self.base or bool(self._wrong)

    @property
    def argv(self) -> list[str]:
        """The words of the equivalent command."""
        return shlex.split(self.command())

    @property
    def task(self) -> Task:
        """The task of its data; classification while there are no such data."""
        try:
            return self.recipe.task
        except ValueError:
            return "classification"

    def command(self) -> str:
        """Return the equivalent command, without values that are wrong."""
        return command(self.recipe, self.start)

    def is_on(self, name: str) -> bool:
        """Whether the trick called `name` is on."""
        return self.recipe.trick(name) is not None

    def trick(self, name: str) -> Trick:
        """The trick called `name` with its parameters, also while it is off."""
        return self.recipe.trick(name) or self._off.get(name) or trick_class(name)()

    def memory(self) -> MemoryEstimate | None:
        """What its training takes; None while there is no such model or data set."""
        try:
            return estimate_memory(self.recipe)
        except ValueError:
            return None

    def text(self, where: str) -> str:
        """The value of a field (`epochs`) or parameter (`mixup.alpha`) as one types it."""
        if where == PRECISION:
            precision = self.recipe.trick(MixedPrecision.name)
            return precision.dtype if isinstance(precision, MixedPrecision) else PRECISIONS[0]
        if where in self._wrong:
            return self._wrong[where][0]
        return value_text(self._value(where))

    @property
    def left_out(self) -> dict[str, str]:
        """The wrong texts that the recipe and the command are without, by field or parameter."""
        return {where: text for where, (text, _) in self._wrong.items() if self._counts(where)}

    def begin_editing(self, where: str) -> None:
        """Note the value of a field or parameter, to go back to while the text for it is wrong."""
        if where not in self._wrong:
            self._before[where] = self._value(where)

    def edit(self, where: str, text: str) -> None:
        """Set a field or a parameter from typed text; what is wrong with it comes up in `problems`."""
        text = text.strip()
        if where == PRECISION:
            self._set_precision(text)
            return
        self._before.setdefault(where, self._value(where))
        try:
            if "." in where:
                self.recipe = change(self.recipe, tricks=[f"{where}={text}"])
            else:
                optional = Recipe.model_fields[where].default is None
                self.recipe = change(self.recipe, [f"{where}={text or ('none' if optional else '')}"])
        except RecipeError as error:
            self._wrong.pop(where, None)
            self._wrong[where] = (text, Problem("error", where, str(error)))
            self._set_back(where)
        else:
            self._wrong.pop(where, None)

    def toggle(self, name: str) -> None:
        """Turn the trick called `name` on, with the parameters that it had, or off."""
        trick = self.recipe.trick(name)
        if trick is None:
            self.recipe = self.recipe.with_trick(self.trick(name))
        else:
            self._off[name] = trick
            self.recipe = self.recipe.without_trick(name)

    def revert(self) -> None:
        """Go back to what it started from."""
        self.recipe = self.base
        self._wrong.clear()
        self._before.clear()
        self._off.clear()

    def rebase(self, base: Recipe) -> None:
        """Start from another name of the same recipe, with the edits kept."""
        if self.recipe.name == self.base.name:
            self.recipe = self.recipe.changed(name=base.name)
        self.base = self.start = base

    def problems(self) -> list[Problem]:
        """What is wrong: values that were typed wrong first, the latest before, then what the recipe itself finds."""
        typed = [problem for where, (_, problem) in reversed(self._wrong.items()) if self._counts(where)]
        return [*typed, *self.recipe.problems()]

    def _counts(self, where: str) -> bool:
        """Whether it is a field, or a parameter of a trick that is on."""
        name, _, parameter = where.partition(".")
        return not parameter or self.is_on(name)

    def _value(self, where: str) -> Any:
        name, _, parameter = where.partition(".")
        return getattr(self.trick(name), parameter) if parameter else getattr(self.recipe, name)

    def _set_precision(self, text: str) -> None:
        if text == PRECISIONS[0]:
            self._off[MixedPrecision.name] = self.trick(MixedPrecision.name)
            self.recipe = self.recipe.without_trick(MixedPrecision.name)
        else:
            self._wrong.pop(f"{MixedPrecision.name}.dtype", None)
            self.recipe = self.recipe.with_trick(MixedPrecision.model_validate({"dtype": text}))

    def _set_back(self, where: str) -> None:
        name, _, parameter = where.partition(".")
        value = self._before[where]
        if not parameter:
            self.recipe = self.recipe.changed(**{name: value})
        elif trick := self.recipe.trick(name):
            self.recipe = self.recipe.with_trick(type(trick)(**{**trick.arguments(), parameter: value}))


def value_text(value: Any) -> str:
    """Return a value as one types it: nothing for None, commas in lists, no `.0`."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, tuple):
        return ",".join(value_text(item) for item in value)
    return str(value)
