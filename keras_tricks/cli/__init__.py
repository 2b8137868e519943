"""The command `keras-tricks`.

Exit codes: 0, 1 for a failed run, 2 for bad input, 130 for a run that was stopped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from keras_tricks.cli import (
    ablate_command,
    catalogue,
    export_command,
    inference,
    lr_find_command,
    preview_command,
    queue_commands,
    report_command,
    runs_commands,
    serve_command,
    signal_propagation_command,
    train_commands,
    variants_command,
)
from keras_tricks.cli.options import RunsDir, runs_root, say
from keras_tricks.recipe import Recipe, RecipeError
from keras_tricks.runs import RunError, StorageError

app = typer.Typer(
    name="keras-tricks",
    help="Train image classifiers with the tricks of the Bag-of-Tricks and NFNet papers.",
    epilog="Without a command it opens the terminal UI. Exit codes: 0 done, 1 a run failed, 2 bad input, "
    "130 a run was stopped.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)
train_commands.add_to(app)
app.add_typer(runs_commands.app, name="runs")
app.add_typer(queue_commands.app, name="queue")
variants_command.add_to(queue_commands.app)
ablate_command.add_to(app)
report_command.add_to(app)
inference.add_to(app)
export_command.add_to(app)
catalogue.add_to(app)
preview_command.add_to(app)
lr_find_command.add_to(app)
signal_propagation_command.add_to(app)
serve_command.add_to(app)


@app.callback(invoke_without_command=True)
def _open_ui(
    context: typer.Context,
    runs_dir: RunsDir = None,
    refresh: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            max=60,
            help="How often the terminal UI looks at the runs: 1, over SSH 2 by default.",
            show_default=False,
        ),
    ] = None,
) -> None:
    if runs_dir is not None:
        os.environ["KERAS_TRICKS_RUNS"] = str(runs_dir)
    if context.invoked_subcommand is not None:
        return
    is_in_browser = "TEXTUAL_DRIVER" in os.environ
    if not is_in_browser and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise RunError("The terminal UI needs a terminal. `keras-tricks --help` lists the commands.")
    import tui

    tui.run(runs_root(runs_dir), refresh)


def main(arguments: Sequence[str] | None = None, command: typer.Typer = app) -> None:
    """Run the command line and exit.

    Args:
        arguments: The words after the command's name; those of this process by default.
        command: What to run; `keras-tricks` by default.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        command(None if arguments is None else list(arguments))
    except (RecipeError, RunError) as error:
        say(" ".join(str(error).split()))
        sys.exit(2)
    except StorageError as error:
        say(str(error))
        sys.exit(2)
    except OSError as error:
        say(f"{error.filename or 'A file'} cannot be used: {error.strerror or error}.")
        sys.exit(2)


def train_recipe(recipe: Recipe) -> None:
    """Train `recipe` with the options of `keras-tricks train` from this script's command line, and exit."""
    script = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
    train_commands.add_script(script, recipe)
    main(command=script)
