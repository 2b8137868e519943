"""Drafts: all recipes that can be edited on the launch screen, and the one that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from keras_tricks.recipe import Recipe
from keras_tricks.user_recipes import UserRecipe
from tui.draft import Draft
from tui.widgets.recipe_list import RecipeEntry

BROKEN = "broken:"
"""What the key of a recipe begins with that cannot be used; a recipe's name has no colon."""
_RUN = "run:"


class Drafts:
    """The drafts of the presets, of the user's recipes, and of runs, by key; edits are never dropped unasked.

    Args:
        presets: The presets by name.
        first: The name of the one to begin with, if it is there.
    """

    def __init__(self, presets: Mapping[str, Recipe], first: str):
        self._presets = tuple(presets)
        self._drafts = {name: Draft(recipe) for name, recipe in presets.items()}
        self.own: dict[str, UserRecipe] = {}
        self.chosen = first if first in self._drafts else next(iter(self._drafts))

    @property
    def draft(self) -> Draft:
        """The chosen draft."""
        return self._drafts[self.chosen]

    @property
    def edited(self) -> list[str]:
        """The keys of the drafts that differ from what they started from."""
        return [key for key, draft in self._drafts.items() if draft.edited]

    @property
    def is_own(self) -> bool:
        """Whether the chosen draft is one of the user's recipes."""
        return self.chosen in self.own

    def entries(self) -> list[RecipeEntry]:
        """The lines of the list: presets, the user's recipes, those that are broken, and runs."""
        own = sorted(key for key, draft in self._drafts.items() if key not in self._presets and not draft.parent)
        broken = [recipe for recipe in self.own.values() if recipe.error]
        runs = {key: draft for key, draft in self._drafts.items() if draft.parent}
        return [
            *(RecipeEntry(name, name) for name in self._presets),
            *(RecipeEntry(name, name, "Yours") for name in own),
            *(RecipeEntry(f"{BROKEN}{recipe.name}", recipe.name, "Yours", recipe.error) for recipe in broken),
            *(RecipeEntry(key, draft.base.name, "From runs") for key, draft in runs.items()),
        ]

    def add_run(self, directory: Path, recipe: Recipe, start: Recipe) -> None:
        """Choose the recipe of a run; edits of it that were begun before are kept.

        Args:
            directory: The run.
            recipe: Its recipe.
            start: The preset or recipe of the user's that its command names.
        """
        key = f"{_RUN}{directory.name}"
        if key not in self._drafts or not self._drafts[key].edited:
            self._drafts[key] = Draft(recipe, start, parent=directory.name)
        self.chosen = key

    def take_own(self, found: Sequence[UserRecipe], then_choose: str | None = None, renamed: str | None = None) -> bool:
        """Take the user's recipes as they are now, and return whether the list is another one.

        Args:
            found: The recipes.
            then_choose: The recipe to choose. Defaults to None, the one that was chosen.
            renamed: The name that this one had before. Defaults to None.
        """
        own = {recipe.name: recipe for recipe in found}
        recipes = {name: known.recipe for name, known in own.items() if known.recipe is not None}
        if renamed in self._drafts and then_choose in recipes:
            draft = self._drafts.pop(renamed)
            draft.rebase(recipes[then_choose])
            self._drafts[then_choose] = draft
        for name in self.own.keys() - recipes.keys():
            if name in self._drafts and not self._drafts[name].edited:
                del self._drafts[name]
        for name, recipe in recipes.items():
            if name not in self._drafts or not self._drafts[name].edited:
                self._drafts[name] = Draft(recipe)
        if then_choose in self._drafts:
            self.chosen = then_choose
        elif self.chosen not in self._drafts:
            self.chosen = next(iter(self._drafts))
        is_other = own != self.own or then_choose is not None
        self.own = own
        return is_other
