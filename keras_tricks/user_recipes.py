"""The user's own recipes: JSON files in the folder `recipes` of the user's settings."""

from __future__ import annotations

import os.path
from pathlib import Path
from typing import NamedTuple

from keras_tricks.presets import presets
from keras_tricks.recipe import Recipe, RecipeError
from keras_tricks.runs.storage import write_atomically
from keras_tricks.user_config import config_directory

_ENDING = ".json"


class UserRecipe(NamedTuple):
    """A file in the folder of the user's recipes.

    Args:
        name: The name under which it is found: that of the file, whatever the recipe in it is called.
        path: The file.
        recipe: The recipe; None if the file is broken.
        error: Why it cannot be used; empty if it can.
    """

    name: str
    path: Path
    recipe: Recipe | None
    error: str = ""


def recipes_directory() -> Path:
    """Return the folder of the user's recipes, which need not exist yet."""
    return config_directory() / "recipes"


def user_recipes() -> list[UserRecipe]:
    """Return the user's recipes by name; broken files are among them, with the reason.

    Raises:
        RecipeError: The folder cannot be read.
    """
    folder = recipes_directory()
    try:
        paths = sorted(folder.glob(f"[!.]*{_ENDING}")) if folder.is_dir() else []
    except OSError as error:
        raise RecipeError(f"{folder} cannot be read: {error.strerror or error}.") from error
    return [_read(path) for path in paths]


def find_user_recipe(name: str) -> Recipe | None:
    """Return the user's recipe called `name`, or None if there is none.

    Raises:
        RecipeError: Its file is broken.
    """
    if name_problem(name) or not _path(name).is_file():
        return None
    found = _read(_path(name))
    if found.recipe is None:
        raise RecipeError(found.error)
    return found.recipe


def name_problem(name: str) -> str | None:
    """Return why a user's recipe cannot be called `name`, or None if it can."""
    if name.replace("-", "_") in presets():
        return f"{name} is a preset. Choose another name."
    if name.startswith((".", "-")) or name.endswith((".json", ".py")):
        return f"A name begins with neither - nor a point, and does not end in .json or .py. Received: {name!r}"
    try:
        Recipe.model_validate({"name": name})
    except ValueError:
        return f"Expected 1 to 80 letters, digits, points, - and _ as a name. Received: {name!r}"
    return None


def recipe_path(name: str) -> Path:
    """Return the file of one of the user's recipes, which may be broken.

    Raises:
        RecipeError: There is none of that name.
    """
    if "/" not in name and os.path.lexists(_path(name)):
        return _path(name)
    if name.replace("-", "_") in presets():
        raise RecipeError(f"{name} comes with the package, and stays. Save a recipe of your own from it.")
    names = ", ".join(recipe.name for recipe in user_recipes())
    raise RecipeError(f"You have saved no recipe {name!r}. " + (f"There are: {names}." if names else "There is none."))


def save_recipe(recipe: Recipe, name: str, *, replace: bool = False) -> Recipe:
    """Save a recipe under a name, and return it as it was saved: with that name, and with absolute paths.

    Args:
        recipe: The recipe.
        name: Its name from now on.
        replace: Whether another recipe of the user's may be overwritten. Defaults to False.

    Raises:
        RecipeError: It cannot have this name, there is one already, or the folder cannot be written.
    """
    path = _new_path(name, replace)
    saved = recipe.changed(name=name).with_absolute_paths()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, saved.to_json() + "\n")
    except OSError as error:
        raise _not_written(path, error) from error
    return saved


def rename_recipe(name: str, new_name: str, *, replace: bool = False) -> None:
    """Give one of the user's recipes another name.

    Args:
        name: Its name.
        new_name: Its name from now on.
        replace: Whether another recipe of the user's may be overwritten. Defaults to False.

    Raises:
        RecipeError: There is no such recipe, the name cannot be, is taken, or the folder cannot be written.
    """
    old, new = recipe_path(name), _new_path(new_name, replace or name == new_name)
    try:
        old.rename(new)
    except OSError as error:
        raise _not_written(new, error) from error


def remove_recipe(name: str) -> None:
    """Delete one of the user's recipes.

    Raises:
        RecipeError: There is no such recipe, or the folder cannot be written.
    """
    path = recipe_path(name)
    try:
        path.unlink()
    except OSError as error:
        raise _not_written(path, error) from error


def _read(path: Path) -> UserRecipe:
    name = path.stem
    problem = name_problem(name)
    if problem:
        return UserRecipe(name, path, None, f"{path}: {problem} Rename the file.")
    try:
        return UserRecipe(name, path, Recipe.load(path).changed(name=name))
    except RecipeError as error:
        return UserRecipe(name, path, None, " ".join(str(error).split()))


def _path(name: str) -> Path:
    return recipes_directory() / f"{name}{_ENDING}"


def _new_path(name: str, replace: bool) -> Path:
    problem = name_problem(name)
    if problem:
        raise RecipeError(problem)
    if _path(name).exists() and not replace:
        raise RecipeError(f"You have a recipe {name} already. Choose another name, or replace it with --replace.")
    return _path(name)


def _not_written(path: Path, error: OSError) -> RecipeError:
    return RecipeError(f"{path} cannot be written: {error.strerror or error}.")
