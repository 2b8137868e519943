"""Find recipes by name, change them with command-line settings, and say which command gives one."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from keras_tricks.recipe import Recipe, RecipeError, invalid_values
from keras_tricks.tricks import trick_class

_PACKAGE = Path(__file__).parent


@cache
def presets() -> dict[str, Recipe]:
    """Return the recipes that come with the package, by name.

    Each is a script of the folder `recipes`, which an installed package holds as data.
    """
    folder = _PACKAGE / "recipes"
    if not folder.is_dir():
        folder = _PACKAGE.parent / "recipes"
    recipes = [Recipe.load(path) for path in sorted(folder.glob("*.py"))]
    return {recipe.name: recipe for recipe in recipes}


def find_recipe(name: str) -> Recipe:
    """Return the preset called `name`, the user's recipe of that name, or the recipe in the file `name`.

    Raises:
        RecipeError: There is none, or it is broken.
    """
    # It knows the presets' names, which it must not take.
    from keras_tricks.user_recipes import find_user_recipe, user_recipes

    name_of_preset = name.replace("-", "_")
    if name_of_preset in presets():
        return presets()[name_of_preset]
    if name.endswith((".json", ".py")) or "/" in name:
        return Recipe.load(name)
    recipe = find_user_recipe(name)
    if recipe is not None:
        return recipe
    names = {known.replace("-", "_"): known for known in (*presets(), *(known.name for known in user_recipes()))}
    close = [names[match] for match in difflib.get_close_matches(name_of_preset, names, n=3)]
    hint = f"Did you mean {' or '.join(close)}?" if close else f"There are: {', '.join(names.values())}."
    raise RecipeError(f"There is no recipe {name!r}. {hint} A recipe file ends in .json or .py.")


def closest_recipe(recipe: Recipe) -> Recipe:
    """Return the preset or recipe of the user's whose command for `recipe` is the shortest.

    It is the one that the recipe is called after, if there is one.

    Raises:
        RecipeError: The user's recipes cannot be read.
    """
    from keras_tricks.user_recipes import user_recipes

    own = {known.name: known.recipe for known in user_recipes() if known.recipe is not None}
    known = {**own, **presets()}
    return known.get(recipe.name) or min(known.values(), key=lambda base: len(command(recipe, base)))


def change(
    recipe: Recipe,
    settings: Sequence[str] = (),
    tricks: Sequence[str] = (),
    without: Sequence[str] = (),
) -> Recipe:
    """Return `recipe` changed as the command line says.

    Args:
        recipe: The recipe to start from.
        settings: `field=value` pairs, as `epochs=5`. The value `none` unsets a field that may be unset.
        tricks: `name` or `name.parameter=value`: turns the trick on, and sets the parameter.
        without: Names of tricks to turn off.

    Raises:
        RecipeError: A field, trick or parameter does not exist, or a value is wrong.
    """
    try:
        fields = dict(_field_and_value(setting) for setting in settings)
        for name in without:
            trick_class(name)
            recipe = recipe.without_trick(name)
        for text in tricks:
            recipe = _with_setting(recipe, text)
        return recipe.changed(**fields) if fields else recipe
    except ValidationError as error:
        raise RecipeError(invalid_values(error)[0].message) from error
    except RecipeError:
        raise
    except ValueError as error:
        raise RecipeError(str(error)) from error


def command(recipe: Recipe, start: str | Recipe) -> str:
    """Return the `keras-tricks train` command that gives `recipe`.

    Args:
        recipe: The recipe.
        start: The recipe that the command names: a preset or one of the user's, or the name or file of one.

    Raises:
        RecipeError: There is no recipe `start`.
    """
    base = find_recipe(start) if isinstance(start, str) else start
    words = ["keras-tricks", "train", start if isinstance(start, str) else start.name]
    for field in Recipe.model_fields:
        value = getattr(recipe, field)
        if field != "tricks" and value != getattr(base, field):
            words += ["--set", f"{field}={_text(value)}"]
    on = {trick.name for trick in recipe.tricks}
    for old in base.tricks:
        if old.name not in on:
            words += ["--no-trick", old.name]
    for trick in recipe.tricks:
        words += _trick_words(trick.name, trick.arguments(), base)
    return shlex.join(words)


def _trick_words(name: str, arguments: dict[str, Any], base: Recipe) -> list[str]:
    old = base.trick(name)
    before = (old or trick_class(name)()).arguments()
    changes = [f"{name}.{key}={_text(value)}" for key, value in arguments.items() if value != before[key]]
    if old is None and not changes:
        changes = [name]
    return [word for change in changes for word in ("--trick", change)]


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(_text(item) for item in value)
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return str(value)


def _field_and_value(setting: str) -> tuple[str, Any]:
    field, equals, value = setting.partition("=")
    if not equals:
        raise RecipeError(f"Expected field=value, as epochs=5. Received: {setting!r}")
    if field == "tricks":
        raise RecipeError("Tricks are set with --trick and --no-trick.")
    if field not in Recipe.model_fields:
        close = difflib.get_close_matches(field, Recipe.model_fields, n=2)
        hint = f"Did you mean {' or '.join(close)}?" if close else f"Fields: {', '.join(Recipe.model_fields)}."
        raise RecipeError(f"A recipe has no field {field!r}. {hint}")
    may_be_unset = Recipe.model_fields[field].default is None
    return field, None if may_be_unset and value.lower() == "none" else value


def _with_setting(recipe: Recipe, text: str) -> Recipe:
    target, equals, value = text.partition("=")
    name, _, parameter = target.partition(".")
    if bool(equals) != bool(parameter):
        raise RecipeError(f"Expected a trick's name or name.parameter=value. Received: {text!r}")
    kind = trick_class(name)
    arguments: dict[str, Any] = dict((recipe.trick(name) or kind()).arguments())
    if parameter:
        if parameter not in kind.model_fields:
            known = ", ".join(kind.model_fields) or "none"
            raise RecipeError(f"{name} has no parameter {parameter!r}. It has: {known}.")
        is_list = isinstance(arguments[parameter], tuple)
        arguments[parameter] = value.split(",") if is_list else value
    return recipe.with_trick(kind.model_validate(arguments))
