"""Trick, the base of every trick, and RunFacts, what a trick may know about the run."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from keras_tricks.data_facts import IMAGENET_MEAN, IMAGENET_STD, Task
from keras_tricks.task_facts import ALL_TASKS

Stage = Literal[
    "data",
    "precision",
    "model",
    "learning_rate",
    "optimizer",
    "loss",
    "training",
    "callbacks",
]
STAGES: tuple[Stage, ...] = get_args(Stage)

FEATURES = {
    "batch_norm": "a model with batch normalization",
    "residual": "a model with residual branches",
    "resnet_variants": "a ResNet",
    "nf": "an NF-ResNet or NFNet",
    "classifier_dropout": "a model with dropout before its classifier",
}
"""What a trick may need of a model, as a phrase for messages."""


class Source(NamedTuple):
    """Where a trick was published."""

    paper: str
    section: str
    url: str


BAG_OF_TRICKS = "He et al. 2018, Bag of Tricks for Image Classification with CNNs"
BAG_OF_TRICKS_URL = "https://arxiv.org/abs/1812.01187"
NFNETS = "Brock et al. 2021, High-Performance Large-Scale Image Recognition Without Normalization"
NFNETS_URL = "https://arxiv.org/abs/2102.06171"


@dataclass(frozen=True)
class RunFacts:
    """What a trick may know about the run that it changes.

    Args:
        model: Name of the model.
        classes: Number of classes.
        image_size: Height and width of the training images in pixels.
        batch_size: Global batch size, over all replicas.
        replicas: Number of replicas.
        epochs: Number of epochs.
        steps_per_epoch: Optimizer steps an epoch.
        warmup_steps: Steps of the warmup, 0 without one.
        class_names: The name of each class, in the order of the outputs.
        mean: Mean of the red, green and blue channels that is subtracted from the pixels, on the scale 0..255.
        std: Standard deviation of the channels that they are divided by, on the same scale.
    """

    model: str
    classes: int
    image_size: int
    batch_size: int
    replicas: int
    epochs: int
    steps_per_epoch: int
    warmup_steps: int = 0
    class_names: tuple[str, ...] = ()
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.epochs * self.steps_per_epoch


class Trick(BaseModel):
    """One trick: a value whose fields are the trick's parameters.

    A subclass is frozen, documents itself (its docstring is the help, its fields carry ranges and descriptions), and
    overrides the stages that it changes. Each stage takes the value so far and returns the new one. Keras is imported
    inside these methods only, so that a catalogue of tricks can be read without it.

    Class attributes:
        source: The publication.
        group: The heading under which it is listed.
        needs: Names of tricks, or of features of a model (see `FEATURES`), without which it cannot work.
        conflicts: Names of tricks that cannot be on with it.
        tasks: The tasks that it is for; all by default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    name: ClassVar[str]
    source: ClassVar[Source]
    group: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()
    conflicts: ClassVar[frozenset[str]] = frozenset()
    tasks: ClassVar[frozenset[Task]] = ALL_TASKS

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    @classmethod
    def help(cls) -> str:
        """The docstring without its indentation."""
        return inspect.cleandoc(cls.__doc__ or "")

    @classmethod
    def summary(cls) -> str:
        """The first line of the help."""
        return cls.help().splitlines()[0]

    @classmethod
    def stages(cls) -> tuple[Stage, ...]:
        """The stages that this trick changes, in the order in which they take hold."""
        return tuple(stage for stage in STAGES if getattr(cls, _method(stage)) is not getattr(Trick, _method(stage)))

    def arguments(self) -> dict[str, Any]:
        """The parameters, without the name that serialization adds."""
        return {field: getattr(self, field) for field in type(self).model_fields}

    def with_absolute_paths(self) -> Trick:
        """Return a trick that means the same files from any working directory."""
        return self

    @model_serializer(mode="wrap")
    def _with_name(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"trick": self.name, **handler(self)}

    def change_data(self, data: Any, facts: RunFacts) -> Any:
        """Change the data plan (`keras_tricks.data_plan.DataPlan`)."""
        return data

    def change_precision(self, policy: str, facts: RunFacts) -> str:
        """Change the name of the dtype policy."""
        return policy

    def change_model(self, arguments: dict[str, Any], facts: RunFacts) -> dict[str, Any]:
        """Change the keyword arguments of the model's builder."""
        return arguments

    def change_learning_rate(self, learning_rate: Any, facts: RunFacts) -> Any:
        """Change the learning rate: a float, or a `LearningRateSchedule`."""
        return learning_rate

    def change_optimizer(self, optimizer: Any, facts: RunFacts) -> Any:
        """Change the optimizer."""
        return optimizer

    def change_loss(self, loss: Any, facts: RunFacts) -> Any:
        """Change the loss."""
        return loss

    def change_training(self, model: Any, facts: RunFacts) -> Any:
        """Change the model's way to train: a model whose train step differs."""
        return model

    def callbacks(self, facts: RunFacts) -> list[Any]:
        """Return callbacks to add."""
        return []


def _method(stage: Stage) -> str:
    return "callbacks" if stage == "callbacks" else f"change_{stage}"
