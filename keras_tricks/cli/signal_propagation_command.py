"""`keras-tricks spp`: how a model's signal propagates from block to block."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from keras_tricks.cli.options import AsJson, print_json, print_table, quiet_import, say
from keras_tricks.model_facts import model_facts
from keras_tricks.recipe import RecipeError


def add_to(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("spp")(signal_propagation)


def signal_propagation(
    model: Annotated[str, typer.Argument(help="A model (`keras-tricks models`).")],
    image_size: Annotated[
        int | None,
        typer.Option(min=1, help="Height and width in pixels; the model's own by default.", show_default=False),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="Images of noise to send through the model.")] = 16,
    skip_gain: Annotated[
        float,
        typer.Option(help="Value of every skip gain; they start at 0, which hides the branches."),
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the weights and of the noise.")] = 0,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the plots of the paper as PNG.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show mean and variance at each block of a new model for noise."""
    try:
        facts = model_facts(model)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    if plot is not None and plot.suffix.lower() != ".png":
        raise RecipeError(f"The plots are a PNG file. Expected a name that ends in .png. Received: {plot}")
    if not math.isfinite(skip_gain):
        raise RecipeError(f"Expected a finite skip gain. Received: {skip_gain}")
    size = image_size or facts.default_image_size
    with quiet_import():
        import keras

        from keras_tricks import models
        from keras_tricks import signal_propagation as measure
    keras.utils.set_random_seed(seed)
    try:
        network = getattr(models, facts.builder)(input_shape=(size, size, 3), include_top=False)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    noise = keras.random.normal((batch_size, size, size, 3))
    propagation = measure(network, noise, skip_gain=skip_gain if "nf" in facts.features else None)
    if as_json:
        print_json({"model": model, "image_size": size, "blocks": [vars(row) for row in propagation.rows]})
    else:
        print_table(
            ("block", "squared mean", "variance", "predicted", "branch variance"),
            (
                (
                    row.block,
                    f"{row.squared_mean:.3f}",
                    f"{row.variance:.3f}",
                    "" if row.predicted_variance is None else f"{row.predicted_variance:.3f}",
                    f"{row.branch_variance:.3f}",
                )
                for row in propagation.rows
            ),
            title=f"{facts.title}, {batch_size} images of noise, {size} px",
        )
        if "nf" in facts.features:
            print("Noise loses variance at average pools and at borders, which the prediction leaves out.")
    if plot is not None:
        say(f"the plots are in {propagation.plot(plot)}")
