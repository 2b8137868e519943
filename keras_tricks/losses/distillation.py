"""Distillation: learn from the softened answers of a trained network."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_tricks.keras_private import all_layers


class Distillation:
    """Tell a network to answer as a teacher does, as an extra loss of `distribute.ReplicaModel`.

    With the logits `r` of the teacher and `z` of the student, the loss of an example is

        weight * T**2 * l(softmax(r / T), softmax(z / T))

    where `l` is the cross-entropy. The published loss takes the labels' loss `1 - weight` times: that is what
    `compiled_loss_weight` of `ReplicaModel` is for.

    The teacher sees the very images that the student sees, mixed ones too. It is in inference mode and computes in
    float32 whatever the student's precision; its weights are not the student's, so no optimizer moves them and no
    checkpoint holds them. Of several outputs each is told its own teacher's, or all of them the only one.

    `keras.distillation.Distiller` is another way, of which this one differs in what matters here: that one wants a
    teacher of the student's own input size and dtype, makes it a part of the model that is trained, and returns a mean
    that nobody divides by the number of replicas; its `LogitsDistillation` gives a cross-entropy logits for
    probabilities, and a divergence that is cut off at 1e-7.

    Args:
        teacher: A model that returns logits. It is frozen, and its layers are set to float32.
        temperature: Number `T` > 0 by which logits are divided, where a larger one shows more of the small
            probabilities. Defaults to 20, the published value.
        weight: Share of this loss in the sum, in [0, 1]. Defaults to 0.5, the published value.
        prepare: Function from the student's inputs to those of the teacher, where they differ, as in their
            normalization. Defaults to None, the same inputs.
        output_weights: Factors of the outputs of a student that has several, in the order of its outputs, as
            `loss_weights` of `compile`. Defaults to None, 1 for each.

    Raises:
        ValueError: An argument is out of range, or when it is called: the outputs of teacher and student do not go
            together.

    Example:

    ```python
    distillation = Distillation(teacher)
    model = ReplicaModel.of(student, extra_losses=(distillation,), compiled_loss_weight=1 - distillation.weight)
    model.compile(SGD(0.1), keras.losses.CategoricalCrossentropy(from_logits=True))
    ```

    Source: Hinton et al. 2015, arXiv 1503.02531, section 2; He et al. 2018, arXiv 1812.01187, section 5.3, and the
    script published with it for the weights of the two terms.
    """

    def __init__(
        self,
        teacher: keras.Model,
        temperature: float = 20.0,
        weight: float = 0.5,
        prepare: Callable[[Any], Any] | None = None,
        output_weights: Sequence[float] | None = None,
    ):
        if not isinstance(teacher, keras.Model):
            raise ValueError(f"Expected `teacher` to be a keras.Model. Received: teacher={teacher!r}")
        if not isinstance(temperature, numbers.Real) or not 0 < temperature < math.inf:
            raise ValueError(f"Expected `temperature` to be a finite number > 0. Received: temperature={temperature!r}")
        if not isinstance(weight, numbers.Real) or not 0 <= weight <= 1:
            raise ValueError(f"Expected `weight` to be a number from 0 to 1. Received: weight={weight!r}")
        self.teacher = in_float32(teacher)
        self.teacher.trainable = False
        self.temperature = float(temperature)
        self.weight = float(weight)
        self.prepare = prepare
        self.output_weights = None if output_weights is None else tuple(output_weights)

    def __call__(self, x: Any, y: Any, y_pred: Any) -> Any:
        """Return the loss of each example.

        Args:
            x: Inputs of the student.
            y: Its targets, which do not matter here.
            y_pred: Its logits, of shape (batch, ..., classes), or a structure of them.

        Returns:
            A float32 tensor of shape (batch,).
        """
        inputs = x if self.prepare is None else self.prepare(x)
        told = keras.tree.flatten(self.teacher(_in_float32(inputs), training=False))
        answers = keras.tree.flatten(y_pred)
        told = told * len(answers) if len(told) == 1 else told
        weights = (1.0,) * len(answers) if self.output_weights is None else self.output_weights
        if not len(told) == len(answers) == len(weights):
            raise ValueError(
                "Expected a teacher of one output or of as many as the student, and an output weight for each. "
                f"Received: {len(told)} outputs of the teacher, {len(answers)} of the student, {len(weights)} weights"
            )
        losses = [self._loss(*each) * weight for *each, weight in zip(told, answers, weights, strict=True)]
        return sum(losses[1:], start=losses[0]) * self.weight

    def _loss(self, told: Any, answer: Any) -> Any:
        """Return the loss of each example for one output, without its weight."""
        if tuple(told.shape[1:]) != tuple(answer.shape[1:]):
            raise ValueError(
                "Expected a teacher whose outputs have the shape of the student's. "
                f"Received: {tuple(told.shape)} of the teacher and {tuple(answer.shape)} of the student"
            )
        target = ops.softmax(ops.stop_gradient(ops.cast(told, "float32")) / self.temperature)
        answer = ops.log_softmax(ops.cast(answer, "float32") / self.temperature)
        losses = -ops.sum(target * answer, axis=-1) * self.temperature**2
        return ops.mean(ops.reshape(losses, (ops.shape(losses)[0], -1)), axis=-1)


def in_float32(model: keras.Model) -> keras.Model:
    """Let all layers of a model compute in float32, and return it.

    Args:
        model: A built model, whose weights are in float32, as they are under every policy of mixed precision.
    """
    for layer in (model, *all_layers(model)):
        layer.dtype_policy = "float32"
    return model


def _in_float32(inputs: Any) -> Any:
    return keras.tree.map_structure(lambda each: ops.cast(each, "float32"), inputs)
