"""The options that change a recipe, which all commands that take one share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_tricks import presets
from keras_tricks.cli.options import say
from keras_tricks.recipe import Recipe

if TYPE_CHECKING:
    from keras_tricks.ablation import Variant

RecipeName = Annotated[
    str, typer.Argument(help="A preset or a recipe of yours (`keras-tricks recipes`), or a .json or .py file.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Set a field of the recipe, as epochs=5.",
        show_default=False,
    ),
]
Tricks = Annotated[
    list[str] | None,
    typer.Option(
        "--trick",
        metavar="NAME[.PARAM=VALUE]",
        help="Turn a trick on, or set its parameter, as mixup.alpha=0.3.",
        show_default=False,
    ),
]
Without = Annotated[
    list[str] | None,
    typer.Option("--no-trick", metavar="NAME", help="Turn a trick off.", show_default=False),
]
Data = Annotated[
    str | None,
    typer.Option(help="Data: digits, any TFDS name, or folder:PATH.", show_default=False),
]
DataDir = Annotated[
    str | None,
    typer.Option(help="Where TFDS keeps its data; its own default if unset.", show_default=False),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE",
        help="Weights to begin with: a .safetensors file or hub id of timm, an .npz file of the original NFNets, "
        "a .keras or .weights.h5 file, or imagenet.",
        show_default=False,
    ),
]
WeightsHead = Annotated[
    bool | None,
    typer.Option(
        "--weights-head/--new-head",
        help="Take over the classifier of the weights too, or begin a new one, as for other classes.",
        show_default=False,
    ),
]


def changed_recipe(
    recipe: Recipe,
    settings: Sequence[str] | None,
    tricks: Sequence[str] | None,
    without: Sequence[str] | None,
    fields: dict[str, Any],
) -> Recipe:
    """Return a recipe changed as the options say; of `fields`, those that are not None."""
    recipe = presets.change(recipe, settings or (), tricks or (), without or ())
    return recipe.changed(**{field: value for field, value in fields.items() if value is not None})


def refuse_errors(recipe: Recipe, *, with_warnings: bool = True) -> None:
    """Say what is wrong with a recipe, and exit with 2 if an error is among it."""
    problems = recipe.problems()
    for problem in problems:
        if with_warnings or problem.level == "error":
            say(f"{problem.level}: {problem.message}")
    if any(problem.level == "error" for problem in problems):
        raise typer.Exit(2)


def refuse_errors_of(variants: Sequence[Variant]) -> None:
    """Say once what is wrong with each variant, or with all of them, and exit with 2 if anything is."""
    wrong: dict[str, dict[str, None]] = {}
    for variant in variants:
        for error in variant.errors:
            wrong.setdefault(error, {})[variant.name] = None
    count = len({variant.name for variant in variants})
    for error, names in wrong.items():
        say(f"error: {error}" if len(names) == count else f"error: {', '.join(names)}: {error}")
    if wrong:
        raise typer.Exit(2)
