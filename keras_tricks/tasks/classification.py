"""Classification: one class for each image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import keras
import numpy as np

from keras_tricks import data, models
from keras_tricks.data_plan import DataPlan
from keras_tricks.label_text import label_text
from keras_tricks.model_facts import model_facts
from keras_tricks.predictions import PredictionCounter, Predictions
from keras_tricks.recipe import Recipe
from keras_tricks.runs import RunError
from keras_tricks.tasks.answer import Answer
from keras_tricks.tasks.task import Task, changed_arguments, image_files, load_weights
from keras_tricks.trick import RunFacts, Trick

if TYPE_CHECKING:
    from keras_tricks.saved_model import SavedModel
    from keras_tricks.training import Training

USUAL_CLASSES = 5
"""How many classes of an image are shown."""


class Classification(Task):
    """One class for each image, of which labels and predictions give the shares."""

    name: ClassVar = "classification"
    outputs: ClassVar = "probabilities"
    columns: ClassVar = ("class", "probability")

    def plan(self, recipe: Recipe, data_set: data.ImageDataSet, facts: RunFacts) -> DataPlan:
        """Return a `DataPlan`."""
        return DataPlan(data.preprocessing_for(data_set.facts, facts.image_size))

    def build_model(self, recipe: Recipe, tricks: Sequence[Trick], facts: RunFacts) -> keras.Model:
        """Return a classifier."""
        arguments = {
            "input_shape": (facts.image_size, facts.image_size, 3),
            "classes": facts.classes,
            "classifier_activation": None,
        }
        builder = getattr(models, model_facts(facts.model).builder)
        model = builder(**changed_arguments(recipe, tricks, facts, arguments))
        if recipe.weights is not None:
            load_weights(model, recipe)
        return model

    def loss(self, recipe: Recipe, facts: RunFacts) -> keras.losses.Loss:
        """Return the cross-entropy of logits."""
        return keras.losses.CategoricalCrossentropy(from_logits=True)

    def compile_arguments(self, model: keras.Model, loss: Any, facts: RunFacts) -> dict[str, Any]:
        """Return the loss, and the accuracy."""
        return {"loss": loss, "metrics": ["accuracy"]}

    def nothing(self, model: keras.Model, facts: RunFacts) -> tuple[Any, Any]:
        """Return shares of nothing."""
        nothing = keras.ops.zeros((1, facts.classes))
        return nothing, nothing

    def gather(self, training: Training) -> Predictions:
        """Count the classes that images were taken for, and keep the worst images.

        Of the images no more is kept than a batch and the thumbnails of the worst.
        """
        preprocessing = training.plan.evaluation
        counter = PredictionCounter(training.data_set.class_names, image_files(training.data_set.validation))
        for images, labels in training.validation_batches():
            logits = keras.ops.convert_to_numpy(training.predict(images))
            counter.add(logits, labels.numpy().argmax(axis=-1), data.pixels_of(images.numpy(), preprocessing))
        return counter.predictions()

    def answer(self, saved: SavedModel, image: Path, top: int | None) -> Answer:
        """Return the most likely classes, five if it is not said how many."""
        try:
            prepared = data.prepare_image(image, saved.preprocessing)
        except (OSError, ValueError) as error:
            raise RunError(f"{image} cannot be read as an image: {error}") from error
        logits = saved.model.predict(prepared[None], verbose=0)
        probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits))[0]
        found = tuple(
            {"class": saved.class_names[place], "probability": float(probabilities[place])}
            for place in np.argsort(-probabilities, kind="stable")[: USUAL_CLASSES if top is None else top]
        )
        return Answer(found, tuple((each["class"], f"{each['probability']:.4f}") for each in found))

    def draw_batch(self, data_set: data.ImageDataSet, pixels: np.ndarray, targets: Any) -> list[tuple[np.ndarray, str]]:
        """Return the images as they are, and their labels in words."""
        labels = [label_text(row, data_set.class_names) for row in targets]
        return list(zip(pixels, labels, strict=True))
