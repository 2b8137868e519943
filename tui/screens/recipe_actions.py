"""RecipeActions: save the edited recipe under a name, rename and delete the user's own recipes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

from textual.binding import Binding

from keras_tricks.recipe import RecipeError
from keras_tricks.user_recipes import (
    UserRecipe,
    name_problem,
    remove_recipe,
    rename_recipe,
    save_recipe,
    user_recipes,
)
from tui.draft import Draft
from tui.messages import Notice, UserRecipesRead
from tui.screens.confirm import ConfirmScreen
from tui.screens.mode_screen import ModeScreen

if TYPE_CHECKING:
    from tui.app import KerasTricksApp


class RecipeActions(ModeScreen):
    """A screen with a draft that ctrl+s saves, and a list in which the user's recipes are renamed and deleted."""

    app: KerasTricksApp

    BINDINGS = [
        Binding("ctrl+s", "save", "Save", id="launch.save"),
        Binding("R", "rename", "Rename", key_display="R", show=False, id="launch.rename"),
        Binding("D", "delete", "Delete", key_display="D", show=False, id="launch.delete"),
    ]

    _unsaved_name = ""
    """The name under which a recipe could not be saved, to propose again."""

    _held = Lock()
    """Held from changing or reading the recipes until it is told: what is told last is as they are."""

    @property
    def draft(self) -> Draft:
        """The recipe that is being edited."""
        raise NotImplementedError

    @property
    def own_recipes(self) -> Mapping[str, UserRecipe]:
        """The user's recipes by name."""
        raise NotImplementedError

    def own_recipe_name(self) -> str | None:
        """The name of the user's recipe under the cursor; None if it is none of the user's."""
        raise NotImplementedError

    def read_own_recipes(self) -> None:
        """Look at the user's recipes, in a thread."""
        self.run_worker(self._read, thread=True, exclusive=True, group="recipes")

    def action_save(self) -> None:
        """Ask for a name, and save the recipe under it."""
        from tui.screens.name_screen import NameScreen

        draft = self.draft
        name = self._unsaved_name or self._free_name(draft.recipe.name)

        def named(answer: str | None) -> None:
            if answer is None:
                return
            if answer in self.own_recipes:
                detail = "The recipe that has this name is gone then."
                self._confirm(f"Replace {answer}?", detail, "Replace", lambda: self._save(draft, answer, True))
            else:
                self._save(draft, answer, False)

        self.app.push_screen(NameScreen("Save the recipe as", name, name_problem), named)

    def action_rename(self) -> None:
        """Ask for another name of the recipe under the cursor."""
        from tui.screens.name_screen import NameScreen

        name = self.own_recipe_name()
        if name is None:
            self.post_message(Notice("Presets keep their names. ctrl+s saves a recipe of yours.", "warning"))
            return

        def problem(new_name: str) -> str | None:
            taken = new_name in self.own_recipes and new_name != name
            return f"You have a recipe {new_name} already." if taken else name_problem(new_name)

        def named(answer: str | None) -> None:
            if answer is not None and answer != name:
                done = f"{name} is called {answer} now."
                self._change(lambda: rename_recipe(name, answer), done, then_choose=answer, renamed=name)

        self.app.push_screen(NameScreen(f"Rename {name} to", name, problem), named)

    def action_delete(self) -> None:
        """Delete the recipe under the cursor after a question."""
        name = self.own_recipe_name()
        if name is None:
            self.post_message(Notice("Presets cannot be deleted.", "warning"))
            return
        path = self.own_recipes[name].path
        draft = self.draft if self.own_recipes[name].recipe is not None else None
        self._confirm(
            f"Delete {name}?",
            f"{path} is removed. Runs of it stay.",
            "Delete",
            lambda: self._change(lambda: remove_recipe(name), f"Deleted {name}.", done_with=draft),
        )

    def _free_name(self, name: str) -> str:
        """The name to propose: a recipe's own, or one beside a preset's."""
        return name if name_problem(name) is None else f"my_{name}"[:80]

    def _save(self, draft: Draft, name: str, replace: bool) -> None:
        recipe = draft.recipe
        left_out = "".join(f" {where} is as before: {text!r} is wrong." for where, text in draft.left_out.items())

        def save() -> None:
            self._unsaved_name = name
            save_recipe(recipe, name, replace=replace)
            self._unsaved_name = ""

        done = f"Saved {name}; keras-tricks train {name} trains it.{left_out}"
        self._change(save, done, then_choose=name, done_with=draft)

    def _change(self, what: Callable[[], None], done: str, **then: Any) -> None:
        """Do it in a thread, say so, and look at the recipes again; `then` goes with the message about these."""
        self.run_worker(partial(self._read, what, done, **then), thread=True, group="recipes-change")

    def _read(self, change: Callable[[], None] | None = None, done: str = "", **then: Any) -> None:
        with self._held:
            try:
                if change is not None:
                    change()
                    self.post_message(Notice(done))
                self.post_message(UserRecipesRead(user_recipes(), **then))
            except RecipeError as error:
                self.post_message(Notice(str(error), "error"))

    def _confirm(self, question: str, detail: str, verb: str, then: Callable[[], None]) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                then()

        self.app.push_screen(ConfirmScreen(question, detail, verb), answered)
