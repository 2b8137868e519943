"""`keras-tricks lr-find`: which learning rates a recipe can bear."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_tricks import presets
from keras_tricks.cli.options import AsJson, print_json, print_table, quiet_import, say
from keras_tricks.cli.recipe_options import (
    Data,
    DataDir,
    RecipeName,
    Settings,
    Tricks,
    Without,
    changed_recipe,
    refuse_errors,
)
from keras_tricks.recipe import Recipe, RecipeError
from keras_tricks.tricks import LinearScaling

if TYPE_CHECKING:
    from keras_tricks.rate_range import RateRange


def add_to(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("lr-find")(lr_find)


def lr_find(
    recipe: RecipeName,
    settings: Settings = None,
    tricks: Tricks = None,
    no_trick: Without = None,
    data: Data = None,
    data_dir: DataDir = None,
    batch_size: Annotated[
        str | None,
        typer.Option(
            metavar="N,N", help="Batch sizes to test, as 256,1024; the recipe's by default.", show_default=False
        ),
    ] = None,
    lowest: Annotated[float, typer.Option("--from", help="The first learning rate.")] = 1e-5,
    highest: Annotated[float, typer.Option("--to", help="The last learning rate.")] = 10.0,
    steps: Annotated[int, typer.Option(min=1, help="Steps from the one to the other.")] = 100,
    plot: Annotated[Path, typer.Option(metavar="FILE", help="The PNG file to draw.")] = Path("lr_find.png"),
    as_json: AsJson = False,
) -> None:
    """Train some steps with a growing learning rate and suggest one."""
    changed = changed_recipe(
        presets.find_recipe(recipe), settings, tricks, no_trick, {"data": data, "data_dir": data_dir}
    )
    if plot.suffix.lower() != ".png":
        raise RecipeError(f"The plot is a PNG file. Expected a name that ends in .png. Received: {plot}")
    sizes = str(changed.batch_size) if batch_size is None else batch_size
    recipes = [presets.change(changed, [f"batch_size={size}"]) for size in sizes.split(",")]
    from keras_tricks.rate_range import plot_rate_ranges, without_schedule

    for each in recipes:
        refuse_errors(without_schedule(each), with_warnings=False)
    with quiet_import():
        from keras_tricks.find_rates import find_rates, load_data
    data_set = load_data(changed)
    found = []
    for each in recipes:
        say(f"testing a batch of {each.batch_size}")
        found.append(find_rates(each, lowest, highest, steps, data_set))
    rows = [_row(*pair) for pair in zip(recipes, found, strict=True)]
    if as_json:
        print_json({"recipe": changed.name, "plot": str(plot), "tests": rows})
    else:
        names = ("batch_size", "suggestion", "recipe_learning_rate", "lowest_loss_at", "diverged_at")
        print_table(
            ("batch", "suggestion", "as the recipe's learning_rate", "lowest loss at", "diverged at"),
            [[_text(row[name]) for name in names] for row in rows],
            title=f"{changed.name}: learning rates from {lowest:g} to {highest:g} in {steps} steps",
        )
    for test in found:
        if test.problem is not None:
            say(f"batch {test.batch_size}: {test.problem}")
    say(f"the plot is in {plot_rate_ranges(found, plot, title=changed.name)}")


def _row(recipe: Recipe, found: RateRange) -> dict[str, Any]:
    scaling = recipe.trick("linear_scaling")
    factor = recipe.batch_size / scaling.base_batch_size if isinstance(scaling, LinearScaling) else 1.0
    return {
        "batch_size": found.batch_size,
        "suggestion": found.suggestion,
        "recipe_learning_rate": None if found.suggestion is None else found.suggestion / factor,
        "lowest_loss_at": found.lowest_at,
        "diverged_at": found.diverged_at,
        "problem": found.problem,
        "rates": found.rates.tolist(),
        "losses": found.losses.tolist(),
        "smoothed": found.smoothed.tolist(),
    }


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
