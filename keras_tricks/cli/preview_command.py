"""`keras-tricks preview`: what the network will see."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keras_tricks.cli import recipe_options
from keras_tricks.cli.options import quiet_import, say
from keras_tricks.presets import find_recipe
from keras_tricks.recipe import RecipeError


def add_to(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("preview")(preview)


def preview(
    recipe_name: recipe_options.RecipeName,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The PNG file to write.")] = Path(
        "preview.png"
    ),
    images: Annotated[int, typer.Option(min=1, max=400, help="How many images.")] = 16,
    validation: Annotated[
        bool, typer.Option("--validation", help="Validation images instead of training images.")
    ] = False,
    data: recipe_options.Data = None,
    data_dir: recipe_options.DataDir = None,
    settings: recipe_options.Settings = None,
    tricks: recipe_options.Tricks = None,
    without: recipe_options.Without = None,
) -> None:
    """Draw images as the network will see them, with their labels."""
    if output.suffix.lower() != ".png":
        raise RecipeError(f"The sheet is a PNG file. Expected a name that ends in .png. Received: {output}")
    fields = {"data": data, "data_dir": data_dir}
    recipe = recipe_options.changed_recipe(find_recipe(recipe_name), settings, tricks, without, fields)
    recipe_options.refuse_errors(recipe)
    with quiet_import():
        from keras_tricks.preview import draw_contact_sheet, sample_images
    sample = sample_images(recipe, images, validation)
    say(f"{len(sample.images)} images are in {draw_contact_sheet(sample, output)}")
