"""Trick: distillation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from keras_tricks.trick import BAG_OF_TRICKS, BAG_OF_TRICKS_URL, RunFacts, Source, Trick


class Distillation(Trick):
    """Learn from the answers of a trained teacher too, not from the labels alone.

    The loss is (1 - weight) times that of the labels, plus weight times T^2 times the cross-entropy between the softmax
    of the teacher's logits and of the student's own, both divided by the temperature T. The teacher sees the same image
    as the student, mixed ones too, in its own normalization and, if it takes no other, its own size. It is frozen and
    computes in float32. It needs the TensorFlow backend.
    """

    source: ClassVar = Source(BAG_OF_TRICKS, "5.3", BAG_OF_TRICKS_URL)
    group: ClassVar = "Regularization"
    tasks: ClassVar = frozenset({"classification"})

    teacher: str | None = Field(
        None,
        description="A run, a .keras file, or MODEL:WEIGHTS such as resnet152:imagenet; it knows the same classes.",
    )
    temperature: float = Field(20.0, gt=0, le=1000, description="What logits are divided by; larger is softer.")
    weight: float = Field(0.5, ge=0, le=1, description="Share of the teacher's loss; the rest is the labels'.")
    teacher_variant: Literal["published", "A", "B", "C", "D", "timm"] = Field(
        "published", description="Variant of a teacher given as MODEL:WEIGHTS; published: the one its weights are of."
    )

    @field_validator("teacher")
    @classmethod
    def _none_if_empty(cls, teacher: str | None) -> str | None:
        return None if teacher is None or teacher.strip() in ("", "none") else teacher.strip()

    def with_absolute_paths(self) -> Distillation:
        """Return a copy whose teacher is found from any working directory."""
        from keras_tricks.teacher_facts import find_teacher

        if self.teacher is None:
            return self
        try:
            kind, place, model = find_teacher(self.teacher)
        except ValueError:
            return self
        if kind == "weights":
            path = Path(place).expanduser()
            return self.model_copy(update={"teacher": f"{model}:{path.resolve()}"}) if path.is_file() else self
        return self.model_copy(update={"teacher": str(Path(place).resolve())})

    def change_training(self, model: Any, facts: RunFacts) -> Any:
        """Return a model that learns from the teacher too."""
        from keras_tricks.distribute import ReplicaModel
        from keras_tricks.teacher import load_teacher

        teacher = load_teacher(str(self.teacher), facts, self.teacher_variant)
        loss = teacher.distillation(self.temperature, self.weight)
        return ReplicaModel.of(model, extra_losses=(loss,), compiled_loss_weight=1 - self.weight)
