"""`keras-tricks tricks`, `models` and `recipes`: what there is to choose from."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from keras_tricks.cli import recipes_commands
from keras_tricks.cli.options import AsJson, console, print_json, print_table
from keras_tricks.model_facts import MODELS
from keras_tricks.recipe import RecipeError
from keras_tricks.trick import Trick
from keras_tricks.tricks import TRICKS, trick_class


def add_to(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(tricks)
    app.command()(models)
    app.add_typer(recipes_commands.app, name="recipes")


def tricks(
    name: Annotated[str | None, typer.Argument(help="A trick, for its help, paper and ranges.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the tricks, or explain one."""
    if name is not None:
        try:
            kind = trick_class(name)
        except ValueError as error:
            raise RecipeError(str(error)) from error
        if as_json:
            print_json(trick_document(kind))
        else:
            _explain(kind)
        return
    if as_json:
        print_json([trick_document(kind) for kind in TRICKS.values()])
        return
    print_table(
        ("trick", "parameters", "what it does", "paper"),
        (
            (
                kind.name,
                ", ".join(f"{field}={_plain(info.default)}" for field, info in kind.model_fields.items()),
                kind.summary(),
                f"{kind.source.paper.partition(',')[0]} §{kind.source.section}",
            )
            for kind in TRICKS.values()
        ),
    )


def models(as_json: AsJson = False) -> None:
    """List the models."""
    if as_json:
        print_json([facts.model_dump(mode="json") for facts in MODELS.values()])
        return
    print_table(
        ("model", "name", "parameters", "images"),
        (
            (
                facts.name,
                facts.title,
                ", ".join(f"{variant} {count / 1e6:.2f} M" for variant, count in facts.parameters.items()),
                f"{facts.min_image_size} to {facts.max_image_size} px"
                if facts.max_image_size
                else f"{facts.min_image_size} px and more",
            )
            for facts in MODELS.values()
        ),
    )


def trick_document(kind: type[Trick]) -> dict[str, Any]:
    """Return all that is known of a trick as a value for JSON."""
    return {
        "name": kind.name,
        "group": kind.group,
        "help": kind.help(),
        "source": kind.source._asdict(),
        "stages": list(kind.stages()),
        "needs": sorted(kind.needs),
        "conflicts": sorted(kind.conflicts),
        "parameters": {
            name: {"default": info.default, "range": allowed(info), "description": info.description}
            for name, info in kind.model_fields.items()
        },
    }


def allowed(info: FieldInfo) -> str:
    """Return the values that a parameter may have, in words."""
    choices = getattr(info.annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return " | ".join(choices)
    bounds = []
    for limit in info.metadata:
        for kind, sign, attribute in (
            (Ge, ">=", "ge"),
            (Gt, ">", "gt"),
            (Le, "<=", "le"),
            (Lt, "<", "lt"),
        ):
            if isinstance(limit, kind):
                bounds.append(f"{sign} {getattr(limit, attribute):g}")
    return " and ".join(bounds)


def _explain(kind: type[Trick]) -> None:
    out = console()
    out.print(f"[bold]{kind.name}[/]  ({kind.group})\n")
    out.print(kind.help(), markup=False)
    out.print()
    for name, info in kind.model_fields.items():
        out.print(
            f"  {name} = {_plain(info.default)}    {allowed(info)}\n      {info.description}",
            markup=False,
        )
    if kind.needs:
        out.print(f"  needs: {', '.join(sorted(kind.needs))}", markup=False)
    if kind.conflicts:
        out.print(f"  excludes: {', '.join(sorted(kind.conflicts))}", markup=False)
    out.print(f"  changes: {', '.join(kind.stages())}", markup=False)
    out.print(f"\n{kind.source.paper}, section {kind.source.section}, {kind.source.url}", markup=False)


def _plain(value: Any) -> str:
    return ",".join(map(_plain, value)) if isinstance(value, tuple) else str(value)
