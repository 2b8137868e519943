"""`keras-tricks recipes`: the presets and the user's own recipes."""

from __future__ import annotations

from typing import Annotated

import typer

from keras_tricks.cli.options import AsJson, print_json, print_table, say
from keras_tricks.cli.recipe_options import Settings, Tricks, Without
from keras_tricks.presets import change, command, find_recipe, presets
from keras_tricks.recipe import Recipe, RecipeError
from keras_tricks.user_recipes import (
    find_user_recipe,
    recipe_path,
    remove_recipe,
    rename_recipe,
    save_recipe,
    user_recipes,
)

app = typer.Typer(help="List the recipes, or save, show, rename or delete your own.", rich_markup_mode=None)

_Own = Annotated[str, typer.Argument(help="One of your recipes.", show_default=False)]
_Replace = Annotated[bool, typer.Option("--replace", help="Overwrite your recipe of that name.")]


@app.callback(invoke_without_command=True)
def recipes(context: typer.Context, as_json: AsJson = False) -> None:
    """List the recipes that come with the package, and your own; or save, show, rename or delete one."""
    if context.invoked_subcommand is not None:
        return
    saved = user_recipes()
    usable = [*presets().values(), *(own.recipe for own in saved if own.recipe is not None)]
    if as_json:
        print_json([recipe.model_dump(mode="json") for recipe in usable])
    else:
        _print_recipes(list(presets().values()))
        own_recipes = usable[len(presets()) :]
        if own_recipes:
            _print_recipes(own_recipes, title="Your recipes")
    for broken in saved:
        if broken.error:
            say(f"broken recipe: {broken.error}")


@app.command()
def save(
    name: Annotated[str, typer.Argument(help="Name of the recipe.", show_default=False)],
    source: Annotated[
        str,
        typer.Option("--from", metavar="RECIPE", help="The recipe to start from.", show_default=False),
    ],
    settings: Settings = None,
    tricks: Tricks = None,
    no_trick: Without = None,
    replace: _Replace = False,
) -> None:
    """Save a recipe of your own, made from another one."""
    recipe = change(find_recipe(source), settings or (), tricks or (), no_trick or ())
    for problem in recipe.problems():
        say(f"{problem.level}: {problem.message}")
    save_recipe(recipe, name, replace=replace)
    print(f"saved {name}: keras-tricks train {name}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A preset, or one of your recipes.", show_default=False)],
    script: Annotated[bool, typer.Option("--script", help="Print a Python script that trains it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print a recipe: the command that trains it, a Python script, or JSON."""
    if script and as_json:
        raise RecipeError("Choose one of --script and --json.")
    recipe = find_recipe(name)
    if script:
        print(recipe.to_script(), end="")
    elif as_json:
        print(recipe.to_json())
    else:
        print(recipe.description or f"{recipe.model} on {recipe.data}")
        start = name if find_user_recipe(name) is None else _nearest_preset(recipe)
        print(command(recipe, start))


@app.command()
def rename(
    name: _Own,
    new_name: Annotated[str, typer.Argument(help="Its new name.", show_default=False)],
    replace: _Replace = False,
) -> None:
    """Rename one of your recipes."""
    rename_recipe(name, new_name, replace=replace)


@app.command("rm")
def remove(
    name: _Own,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete one of your recipes."""
    path = recipe_path(name)
    if yes or typer.confirm(f"Delete {path}?"):
        remove_recipe(name)
        print(f"deleted {name}")


def _nearest_preset(recipe: Recipe) -> str:
    return min(presets(), key=lambda preset: len(command(recipe, preset)))


def _print_recipes(recipes: list[Recipe], title: str | None = None) -> None:
    print_table(
        ("recipe", "model", "data", "epochs", "what it is for"),
        ((recipe.name, recipe.model, recipe.data, str(recipe.epochs), recipe.description) for recipe in recipes),
        title=title,
    )
