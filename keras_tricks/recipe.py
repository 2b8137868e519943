"""Recipe: what to train, as a value that is read, checked, edited and printed without Keras."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from keras_tricks.data_facts import Task, data_facts, folder_of
from keras_tricks.model_facts import model_facts
from keras_tricks.problem import Problem
from keras_tricks.recipe_problems import find_problems
from keras_tricks.task_facts import TASKS
from keras_tricks.trick import Trick
from keras_tricks.tricks import trick_class
from keras_tricks.weights_facts import run_directory, weights_kind

SCHEMA_VERSION = 1


class RecipeError(ValueError):
    """A recipe cannot be read or used; the message is one line that says why."""


def _to_trick(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    arguments = dict(value)
    name = arguments.pop("trick", None)
    if not isinstance(name, str):
        raise _trick_error("tricks", f"Expected a trick with its name under 'trick'. Received: {value}")
    try:
        return trick_class(name).model_validate(arguments)
    except ValidationError as error:
        where, message = _location_and_message(error, name)
        raise _trick_error(where, message) from error
    except ValueError as error:
        raise _trick_error(name, str(error)) from error


def _trick_error(where: str, message: str) -> PydanticCustomError:
    return PydanticCustomError("trick", "{message}", {"message": message, "where": where})


AnyTrick = Annotated[SerializeAsAny[Trick], BeforeValidator(_to_trick)]


def _to_items(value: Any) -> Any:
    """Return the items of a list as it is typed."""
    if not isinstance(value, str):
        return value
    return [item.strip() for item in value.split(",")] if value.strip() not in ("", "none") else []


Words = Annotated[tuple[str, ...], BeforeValidator(_to_items)]
Numbers = Annotated[tuple[int, ...], BeforeValidator(_to_items)]
_TRANSFER: list[Task] = ["detection", "segmentation"]


def _field_of(tasks: list[Task], default: Any, description: str, **limits: Any) -> Any:
    """Return a field that only some tasks have."""
    return Field(default, description=description, json_schema_extra={"tasks": list(tasks)}, **limits)


class Recipe(BaseModel):
    """What to train: model, data, length, batch, and tricks.

    Example:

    ```python
    from keras_tricks import Recipe, tricks

    recipe = Recipe(name="mine", model="resnet20", data="cifar10", tricks=(tricks.Mixup(alpha=0.3),))
    recipe.problems()  # []
    ```

    Raises:
        pydantic.ValidationError: A value has the wrong type or is out of range (a `ValueError`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    name: str = Field("run", min_length=1, max_length=80, pattern=r"^[\w.-]+$", description="Name of the recipe.")
    description: str = Field("", description="What it is for, in a sentence.")
    published: str = Field("", description="The result that a paper reports for it.")
    model: str = Field("resnet20", description="Model; `keras-tricks models` lists them.")
    data: str = Field("digits", description="`digits`, any TFDS name, or `folder:PATH`, `masks:PATH` or `voc:PATH`.")
    data_dir: str | None = Field(None, description="Where TFDS keeps its data; its own default if unset.")
    decoded_cache: str | None = Field(
        None, description="Folder that keeps the decoded training images of large data, from one run to the next."
    )
    image_size: int | None = Field(
        None, ge=8, le=2048, description="Height and width in pixels; the data set's own if unset."
    )
    weights: str | None = Field(
        None, description="Weights to begin with: a .safetensors, .npz, .keras or .weights.h5 file, a run, or a hub id."
    )
    weights_head: bool = Field(True, description="Take over the classifier of `weights` too; off for other classes.")
    head: str | None = _field_of(
        _TRANSFER,
        None,
        "What is put on the model: retinanet for boxes, fcn or deeplab_v3_plus for masks.",
    )
    head_filters: int | None = _field_of(
        _TRANSFER, None, "Channels of the head; the published ones if unset. Not for fcn.", ge=1, le=4096
    )
    anchor_size: float = _field_of(
        ["detection"],
        4.0,
        "Smallest anchors as multiples of the strides of their maps.",
        ge=0.25,
        le=64,
    )
    output_stride: int | None = _field_of(
        ["segmentation"],
        None,
        "What the last maps divide height and width by; 8 if unset.",
        ge=1,
        le=32,
    )
    frozen_stages: int = _field_of(_TRANSFER, 0, "Stages of the model that are not trained.", ge=0, le=4)
    frozen_batch_norm: bool = _field_of(_TRANSFER, False, "Keep the batch normalizations of the model as they are.")
    short_side: int | None = _field_of(
        ["segmentation"], None, "Short side of the whole images in pixels; as they are if unset.", ge=8, le=8192
    )
    classes: Words = _field_of(_TRANSFER, (), "Names of the classes; those found in the data if empty.")
    ignored: Numbers = _field_of(["segmentation"], (255,), "Values of masks that do not count.")
    sets: Words = _field_of(
        ["detection"],
        ("train", "val"),
        "Lists of a voc: folder to train and validate on.",
        min_length=2,
        max_length=2,
    )
    epochs: int = Field(10, ge=1, le=100_000, description="Passes over the training images.")
    batch_size: int = Field(128, ge=1, le=1_000_000, description="Images a step, over all replicas.")
    learning_rate: float = Field(0.1, gt=0, le=1000, description="Base rate; for a batch of 256 under linear_scaling.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD.")
    nesterov: bool = Field(True, description="Nesterov's form of the momentum.")
    weight_decay: float = Field(1e-4, ge=0, lt=1, description="L2 factor, added to the gradient before the momentum.")
    replicas: int | None = Field(
        None, ge=1, le=1024, description="Devices to train on at once; all visible GPUs if unset."
    )
    synchronized_batch_norm: bool = Field(
        True, description="Whether replicas normalize a batch together; off: each its own part."
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of weights, order and augmentation.")
    tensorboard: bool = Field(False, description="Write TensorBoard logs into the run directory.")
    tricks: tuple[AnyTrick, ...] = Field((), description="The tricks that are on.")

    @property
    def task(self) -> Task:
        """What is trained for: the task of the data.

        Raises:
            ValueError: There is no such data set.
        """
        return data_facts(self.data).task

    @property
    def resolved_head(self) -> str | None:
        """What is put on the model: the recipe's own, else the usual one of the task; None for a classifier."""
        return self.head or next(iter(TASKS[self.task].heads), None)

    def trick(self, name: str) -> Trick | None:
        """Return the trick called `name`, or None if it is off."""
        return next((trick for trick in self.tricks if trick.name == name), None)

    def changed(self, **values: Any) -> Recipe:
        """Return a copy with these fields replaced, validated as at construction."""
        return Recipe.model_validate({**self._fields(), **values})

    def with_trick(self, trick: Trick) -> Recipe:
        """Return a copy with this trick on, in the place of one of the same name."""
        names = [old.name for old in self.tricks]
        if trick.name in names:
            tricks = tuple(trick if old.name == trick.name else old for old in self.tricks)
        else:
            tricks = (*self.tricks, trick)
        return self.changed(tricks=tricks)

    def without_trick(self, name: str) -> Recipe:
        """Return a copy with the trick of this name off."""
        return self.changed(tricks=tuple(old for old in self.tricks if old.name != name))

    def resolved_image_size(self) -> int:
        """The size of the training images in pixels: the recipe's own, else what suits data and model."""
        if self.image_size is not None:
            return self.image_size
        facts = data_facts(self.data)
        return facts.image_size if facts.style == "small" else model_facts(self.model).default_image_size

    def with_absolute_paths(self) -> Recipe:
        """Return a copy that means the same files from any working directory."""
        places: dict[str, Any] = {"tricks": tuple(trick.with_absolute_paths() for trick in self.tricks)}
        folder = folder_of(self.data)
        if folder is not None:
            places["data"] = f"{self.data.partition(':')[0]}:{folder.resolve()}"
        if self.data_dir is not None:
            places["data_dir"] = str(Path(self.data_dir).expanduser().resolve())
        if self.decoded_cache is not None:
            places["decoded_cache"] = str(Path(self.decoded_cache).expanduser().resolve())
        if self.weights is not None and Path(self.weights).expanduser().is_file():
            places["weights"] = str(Path(self.weights).expanduser().resolve())
        elif self.weights is not None and weights_kind(self.weights) == "run":
            places["weights"] = str(run_directory(self.weights).resolve())
        return self.changed(**places)

    def problems(self, replicas: int | None = None) -> list[Problem]:
        """Return what is wrong with this recipe, errors first.

        Args:
            replicas: Number of devices that will train, where it is known; the recipe's own number otherwise.
        """
        return self._invalid_values() or find_problems(self, replicas or self.replicas or 1)

    def to_json(self) -> str:
        """Return the recipe as JSON; `from_json` reads it back."""
        return json.dumps({"schema_version": SCHEMA_VERSION, **self.model_dump(mode="json")}, indent=2)

    @classmethod
    def from_json(cls, text: str, source: str = "The recipe") -> Recipe:
        """Read a recipe from JSON.

        Raises:
            RecipeError: It is no JSON, from a newer schema, or invalid.
        """
        try:
            document = json.loads(text)
        except ValueError as error:
            raise RecipeError(f"{source} is not valid JSON: {error}.") from error
        if not isinstance(document, dict):
            raise RecipeError(f"{source} is not a recipe: expected a JSON object.")
        return cls.from_document(document, source)

    @classmethod
    def from_document(cls, document: dict[str, Any], source: str = "The recipe") -> Recipe:
        """Read a recipe from the value of its JSON.

        Raises:
            RecipeError: It is from a newer schema, or invalid.
        """
        document = dict(document)
        version = document.pop("schema_version", SCHEMA_VERSION)
        if not isinstance(version, int) or version > SCHEMA_VERSION:
            raise RecipeError(
                f"{source} has schema version {version}, and this keras-tricks reads up to {SCHEMA_VERSION}. "
                "Upgrade keras-tricks to use it."
            )
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            problem = invalid_values(error)[0]
            raise RecipeError(f"{source}: {problem.message}") from error

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read a recipe from a `.json` file, or from the `RECIPE` of a `.py` script.

        Raises:
            RecipeError: The file is missing, or holds no valid recipe.
        """
        path = Path(path)
        if not path.is_file():
            raise RecipeError(f"There is no recipe file {path}.")
        if path.suffix != ".py":
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise RecipeError(f"{path} cannot be read: {error}.") from error
            return cls.from_json(text, str(path))
        try:
            recipe = runpy.run_path(str(path)).get("RECIPE")
        except ValidationError as error:
            raise RecipeError(f"{path}: {invalid_values(error)[0].message}") from error
        except Exception as error:
            raise RecipeError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
        if not isinstance(recipe, cls):
            raise RecipeError(f"{path} defines no RECIPE. Expected: RECIPE = Recipe(...).")
        return recipe

    def to_script(self) -> str:
        """Return a Python script that trains this recipe, and takes the options of `keras-tricks train`."""
        lines = [f'"""{_summary(self)}"""', "", "from keras_tricks import Recipe, tricks", ""]
        lines.append("RECIPE = Recipe(")
        for field, value in self._fields().items():
            if field != "tricks" and value != type(self).model_fields[field].default:
                lines.append(f"    {field}={value!r},")
        if self.tricks:
            lines.append("    tricks=(")
            lines += [f"        tricks.{_call(trick)}," for trick in self.tricks]
            lines.append("    ),")
        lines += [
            ")",
            "",
            'if __name__ == "__main__":',
            "    from keras_tricks.cli import train_recipe",
            "",
        ]
        lines += ["    train_recipe(RECIPE)", ""]
        return "\n".join(lines)

    def _fields(self) -> dict[str, Any]:
        return {field: getattr(self, field) for field in type(self).model_fields}

    def _invalid_values(self) -> list[Problem]:
        """Look at the values again: `model_copy` and `model_construct` do not."""
        try:
            Recipe.model_validate(
                {
                    **self._fields(),
                    "tricks": [{"trick": trick.name, **trick.arguments()} for trick in self.tricks],
                }
            )
        except ValidationError as error:
            return invalid_values(error)
        return []


def has_field(task: Task, field: str) -> bool:
    """Return whether a field of a recipe says anything for a task."""
    extra = Recipe.model_fields[field].json_schema_extra
    tasks = extra.get("tasks") if isinstance(extra, dict) else None
    return task in tasks if isinstance(tasks, list) else True


def invalid_values(error: ValidationError) -> list[Problem]:
    """Return the errors that pydantic raised for a recipe, or for one trick, as problems in our words."""
    is_recipe = error.title == Recipe.__name__
    prefix = "" if is_recipe else re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", error.title).lower()
    return [Problem("error", where, message) for where, message in _locations_and_messages(error, prefix)]


def _location_and_message(error: ValidationError, prefix: str) -> tuple[str, str]:
    return _locations_and_messages(error, prefix)[0]


def _locations_and_messages(error: ValidationError, prefix: str) -> list[tuple[str, str]]:
    found = []
    for detail in error.errors():
        if detail["type"] == "trick":
            found.append((detail["ctx"]["where"], detail["ctx"]["message"]))
            continue
        field = str(detail["loc"][0]) if detail["loc"] else ""
        where = ".".join(part for part in (prefix, field) if part)
        message = detail["msg"].removeprefix("Value error, ").partition(", unable to parse")[0]
        if detail["type"] == "extra_forbidden":
            message = "There is no such parameter" if prefix else "There is no such field"
        found.append((where, f"{where}: {message[:1].lower()}{message[1:]}. Received: {detail['input']!r}"))
    return found


def _summary(recipe: Recipe) -> str:
    text = recipe.description or f"Train {recipe.model} on {recipe.data}."
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable.replace("\\", "\\\\").replace('"', "'")


def _call(trick: Trick) -> str:
    defaults = {name: field.default for name, field in type(trick).model_fields.items()}
    changed = [f"{name}={value!r}" for name, value in trick.arguments().items() if value != defaults[name]]
    return f"{type(trick).__name__}({', '.join(changed)})"


__all__ = ["Problem", "Recipe", "RecipeError", "has_field", "invalid_values"]
