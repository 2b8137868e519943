"""AboutPanel: help on what has the focus, taken from docstrings and field descriptions."""

from __future__ import annotations

from typing import Any

from pydantic.fields import FieldInfo
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from keras_tricks.memory_estimate import as_text
from keras_tricks.model_facts import MODELS
from keras_tricks.recipe import Recipe
from keras_tricks.tricks import TRICKS, MixedPrecision
from tui.draft import PRECISION, PRECISIONS, Draft, value_text
from tui.widgets.editors import choices_of

_NEEDS_MEMORY = frozenset({"model", "batch_size", "replicas", "image_size"})
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


def about(where: str, draft: Draft, findings: str = "") -> Content:
    """Return the help on a field (`epochs`), a trick (`mixup`) or its parameter (`mixup.alpha`).

    Args:
        where: What it is about.
        draft: The recipe that is edited.
        findings: What the user's own runs say of the trick. Defaults to nothing.
    """
    name, _, parameter = where.partition(".")
    if name in TRICKS:
        return _about_trick(name, parameter, findings)
    if where == PRECISION:
        head = Content.assemble((PRECISION, "bold $text-accent"), "  ", (" | ".join(PRECISIONS), "$muted"))
        words = "Type of the computation. Other than float32 it is the trick mixed_precision:"
        return Content("\n\n").join([head, Content(words), _about_trick(MixedPrecision.name, "", findings)])
    parts = [_about_field(where)]
    if where == "model" and draft.recipe.model in MODELS:
        parts.append(_about_model(draft.recipe.model))
    if where in _NEEDS_MEMORY:
        parts += _about_memory(draft)
    return Content("\n\n").join(parts)


def about_recipe(draft: Draft, is_own: bool = False) -> Content:
    """Return the help on a recipe.

    Args:
        draft: The recipe.
        is_own: Whether it is one of the user's. Defaults to False.
    """
    recipe = draft.base
    lines = [Content(recipe.description or recipe.name)]
    if draft.parent is not None:
        lines.append(_entry("From run", draft.parent))
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
    lines += _about_memory(draft)
    if draft.edited:
        lines.append(Content.styled("Edited: u undoes, ctrl+s saves it as a recipe of yours.", "$text-warning"))
    if is_own:
        lines.append(Content.styled("Yours: R renames it, D deletes it.", "$muted"))
    return Content("\n\n").join(lines)


def about_broken(error: str) -> Content:
    """Return what there is to say of a recipe that cannot be used."""
    return Content("\n\n").join([Content.styled(error, "$text-error"), Content("D deletes the file.")])


def _about_trick(name: str, parameter: str, findings: str) -> Content:
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
    if findings:
        facts.append(_entry("Here", findings))
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


def _about_memory(draft: Draft) -> list[Content]:
    memory = draft.memory()
    if memory is None:
        return []
    images = f"{memory.images} images at once"
    parts = [_entry(name.capitalize(), as_text(size)) for name, size in memory.parts().items()]
    return [
        Content("\n").join(
            [
                _entry("Parameters", f"{memory.parameters:,}"),
                _entry("Memory", f"about {as_text(memory.total)} on each device, {images}"),
                *(Content("  ") + part for part in parts),
                Content.styled(_on_top(draft), "$faint"),
            ]
        )
    ]


def _on_top(draft: Draft) -> str:
    teacher = ", and the teacher" if draft.is_on("distillation") else ""
    return f"What the framework and the device's libraries take{teacher} comes on top."


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
