"""AboutPanel: help on what has the focus, taken from docstrings and field descriptions."""

from __future__ import annotations

from typing import Any

from pydantic.fields import FieldInfo
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from keras_tricks.model_facts import MODELS
from keras_tricks.recipe import Recipe
from keras_tricks.tricks import TRICKS
from tui.draft import Draft, value_text
from tui.widgets.editors import choices_of

_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


class AboutPanel(VerticalScroll, can_focus=True):
    """Help on what has the focus."""

    def __init__(self) -> None:
        super().__init__(id="about")
        self.border_title = "About"
        self.content = Content("")

    def compose(self) -> ComposeResult:
        """Yield the text."""
        yield Static(id="about-text")

    def show(self, title: str, content: Content) -> None:
        """Show a help text."""
        self.border_title = f"About: {title}"
        if content != self.content:
            self.content = content
            self.query_one("#about-text", Static).update(content)
            self.scroll_home(animate=False)


def about(where: str, draft: Draft) -> Content:
    """Return the help on a field (`epochs`), a trick (`mixup`) or its parameter (`mixup.alpha`)."""
    name, _, parameter = where.partition(".")
    if name in TRICKS:
        return _about_trick(name, parameter)
    if where == "model" and draft.recipe.model in MODELS:
        return Content("\n\n").join([_about_field(where), _about_model(draft.recipe.model)])
    return _about_field(where)


def about_recipe(draft: Draft) -> Content:
    """Return the help on a preset."""
    recipe = draft.base
    lines = [Content(recipe.description or recipe.name)]
    if recipe.published:
        lines.append(_entry("Published", recipe.published))
    lines.append(
        Content("\n").join(
            [
                _entry("Model", recipe.model),
                _entry("Data", recipe.data),
                _entry("Length", f"{recipe.epochs} epochs of batch {recipe.batch_size}"),
                _entry("Tricks", ", ".join(trick.name for trick in recipe.tricks) or "none"),
            ]
        )
    )
    if draft.edited:
        lines.append(Content.styled("Edited: u goes back to the preset.", "$text-warning"))
    return Content("\n\n").join(lines)


def _about_trick(name: str, parameter: str) -> Content:
    trick = TRICKS[name]
    first, _, rest = trick.help().partition("\n")
    parts = [Content.styled(first, "bold")]
    if parameter:
        parts.insert(0, _about_parameter(parameter, trick.model_fields[parameter]))
    parts += [Content(" ".join(paragraph.split())) for paragraph in rest.split("\n\n") if paragraph.strip()]
    if not parameter:
        parts += [_about_parameter(key, field) for key, field in trick.model_fields.items()]
    facts = [
        _entry("Paper", trick.source.paper),
        _entry("Section", trick.source.section),
        Content.styled(trick.source.url, "$text-accent underline"),
    ]
    if trick.needs:
        facts.append(_entry("Needs", ", ".join(sorted(trick.needs))))
    if trick.conflicts:
        facts.append(_entry("Excludes", ", ".join(sorted(trick.conflicts))))
    facts.append(_entry("Changes", ", ".join(stage.replace("_", " ") for stage in trick.stages())))
    return Content("\n\n").join([*parts, Content("\n").join(facts)])


def _about_parameter(name: str, field: FieldInfo) -> Content:
    return Content("\n").join(
        [
            Content.assemble((name, "bold $text-accent"), "  ", (_range(field), "$muted")),
            Content(field.description or ""),
        ]
    )


def _about_field(where: str) -> Content:
    field = Recipe.model_fields[where]
    default = value_text(field.default) or "unset"
    return Content("\n").join(
        [
            Content.styled(field.description or where, "bold"),
            Content(""),
            _entry("Range", _range(field)),
            _entry("Default", default),
        ]
    )


def _about_model(name: str) -> Content:
    facts = MODELS[name]
    counts = sorted(set(facts.parameters.values()))
    sizes = f"from {facts.min_image_size} px"
    if facts.max_image_size is not None:
        sizes = f"{facts.min_image_size} to {facts.max_image_size} px"
    return Content("\n").join(
        [
            Content.styled(facts.title, "bold"),
            _entry("Parameters", " or ".join(f"{count / 1e6:.3f} M" for count in counts)),
            _entry("Images", f"{sizes}, published with {facts.default_image_size}"),
            _entry("Paper", facts.source.paper),
            Content.styled(facts.source.url, "$text-accent underline"),
        ]
    )


def _entry(name: str, value: str) -> Content:
    return Content.assemble((name, "$muted"), "  ", value)


def _range(field: FieldInfo) -> str:
    choices = choices_of(field)
    if choices:
        return " | ".join(choices)
    signs = [
        f"{sign} {value_text(limit)}"
        for sign, limit in (
            (_SIGNS[key], getattr(part, key))
            for part in field.metadata
            for key in _SIGNS
            if getattr(part, key, None) is not None
        )
    ]
    return " and ".join(signs) or _type_words(field.annotation)


def _type_words(annotation: Any) -> str:
    words = str(annotation)
    if "tuple" in words:
        return "numbers, with commas"
    if "str" in words:
        return "text"
    return "number"
