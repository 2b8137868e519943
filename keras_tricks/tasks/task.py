"""Task: what differs between classifying images, finding objects in them, and segmenting them."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from keras_tricks import data, models, weights
from keras_tricks.data.image_folder import FileSplit
from keras_tricks.data.preprocessing import decode
from keras_tricks.data_facts import Task as TaskName
from keras_tricks.model_facts import LARGEST_SMALL_IMAGE, model_facts
from keras_tricks.predictions import Predictions
from keras_tricks.recipe import Recipe, RecipeError
from keras_tricks.runs import RunError
from keras_tricks.task_facts import TASKS, TaskFacts
from keras_tricks.tasks.answer import Answer
from keras_tricks.trick import RunFacts, Trick

if TYPE_CHECKING:
    from keras_tricks.saved_model import SavedModel
    from keras_tricks.training import Training


class Task(ABC):
    """What differs between the tasks; everything else is the same for all of them.

    Class attributes:
        name: Name of the task.
        outputs: What the outputs of an exported model mean.
        logits: What they mean without the last activation.
        columns: The headings of a table of answers.
        findings: What the findings of an answer are called.
    """

    name: ClassVar[TaskName]
    outputs: ClassVar[str]
    logits: ClassVar[str] = "logits"
    columns: ClassVar[tuple[str, ...]]
    findings: ClassVar[str] = "classes"

    @property
    def facts(self) -> TaskFacts:
        """What is known of it without Keras."""
        return TASKS[self.name]

    @abstractmethod
    def plan(self, recipe: Recipe, data_set: data.ImageDataSet, facts: RunFacts) -> Any:
        """Return how the images of a recipe become batches, before its tricks take hold."""

    @abstractmethod
    def build_model(self, recipe: Recipe, tricks: Sequence[Trick], facts: RunFacts) -> keras.Model:
        """Return the model of a recipe, with its initial weights.

        Raises:
            RecipeError: The weights cannot be loaded.
        """

    @abstractmethod
    def loss(self, recipe: Recipe, facts: RunFacts) -> keras.losses.Loss:
        """Return the loss, before the tricks change it."""

    @abstractmethod
    def compile_arguments(self, model: keras.Model, loss: Any, facts: RunFacts) -> dict[str, Any]:
        """Return the arguments of `compile` but the optimizer."""

    @abstractmethod
    def nothing(self, model: keras.Model, facts: RunFacts) -> tuple[Any, Any]:
        """Return targets and predictions of one image, with which metrics can be made."""

    def evaluate(self, training: Training) -> dict[str, float]:
        """Return loss and metrics of the validation images."""
        return training.model.evaluate(training.validation_batches(), verbose=0, return_dict=True)

    def callbacks(self, training: Training) -> list[keras.callbacks.Callback]:
        """Return what measures more than Keras's metrics do, to stand before what writes the measurements down."""
        return []

    @abstractmethod
    def gather(self, training: Training) -> Predictions:
        """Predict each validation image once, and return what was right and wrong."""

    def inference_model(self, model: keras.Model) -> keras.Model:
        """Return the model that predicts, with the predictions as its only output: the model itself by default."""
        return model

    def activated(self, saved: SavedModel, outputs: Any) -> Any:
        """Return what an exported model returns for the symbolic outputs of the one that predicts: probabilities."""
        return keras.layers.Softmax(dtype="float32", name="softmax")(outputs)

    def parts(self, outputs: np.ndarray) -> list[np.ndarray]:
        """Return the parts of an exported model's outputs whose numbers are of different sizes."""
        return [outputs]

    def decoding(self, saved: SavedModel) -> dict[str, Any]:
        """Return what else one must know to read the outputs of an exported model, as values of JSON."""
        return {}

    @abstractmethod
    def answer(self, saved: SavedModel, image: Path, top: int | None) -> Answer:
        """Return what a model says of an image.

        Args:
            saved: The model.
            image: The file.
            top: How many of its findings to return at most; None for the usual number.

        Raises:
            RunError: The file cannot be read as an image.
        """

    @abstractmethod
    def draw_batch(self, data_set: data.ImageDataSet, pixels: np.ndarray, targets: Any) -> list[tuple[np.ndarray, str]]:
        """Return each image of a batch with its targets drawn into it, and its targets in words.

        Args:
            data_set: Where they come from.
            pixels: uint8 images (batch, height, width, 3).
            targets: The targets of the batch, as arrays.
        """

    def pictures(self, training: Training, count: int) -> dict[str, np.ndarray]:
        """Return what the trained model says of the first validation images, drawn beside the truth, by name."""
        return {}


def read_pixels(image: Path) -> Any:
    """Return the uint8 pixels (height, width, 3) of an image file.

    Raises:
        RunError: It cannot be read as an image.
    """
    try:
        return decode(tf.constant(image.read_bytes()))
    except (OSError, tf.errors.OpError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a readable image"
        raise RunError(f"{image} cannot be read as an image: {reason}") from error


def image_files(split: data.Split) -> list[str]:
    """Return the file of each image of a split; none where images do not lie in files of their own."""
    return [os.fsdecode(path) for path in split.paths.numpy()] if isinstance(split, FileSplit) else []


def picture_names(split: data.Split, count: int) -> list[str]:
    """Return names for the pictures of the first images of a split: those of their files, else their numbers."""
    files = image_files(split)
    stems = [Path(files[place]).stem if files else f"{place:04d}" for place in range(min(count, split.size))]
    return [stem if stems.count(stem) == 1 else f"{place:04d}-{stem}" for place, stem in enumerate(stems)]


def backbone(recipe: Recipe, tricks: Sequence[Trick], facts: RunFacts, **arguments: Any) -> keras.Model:
    """Return the backbone of a recipe, with its weights.

    Args:
        recipe: The recipe.
        tricks: Those that are on, in their order.
        facts: What they may know.
        **arguments: Further arguments of `models.backbone`.

    Raises:
        RecipeError: The weights cannot be loaded.
    """
    arguments = changed_arguments(recipe, tricks, facts, arguments)
    if arguments.pop("synchronized_batch_norm", False):
        arguments["batch_norm"] = "synchronized"
    if recipe.frozen_batch_norm:
        arguments["batch_norm"] = "frozen"
    try:
        return models.backbone(recipe.model, recipe.weights, frozen_stages=recipe.frozen_stages, **arguments)
    except (ImportError, OSError, ValueError) as error:
        if recipe.weights is None:
            raise
        raise RecipeError(f"weights={recipe.weights} cannot be loaded into {recipe.model}: {error}") from error


def changed_arguments(
    recipe: Recipe, tricks: Sequence[Trick], facts: RunFacts, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a model's builder as the tricks want them."""
    model = model_facts(facts.model)
    if "resnet_variants" in model.features:
        arguments["variant"] = "A"
    if "nf" in model.features:
        # The stem is that of the training images, also where a trick lets the model take others.
        arguments["small_images"] = facts.image_size <= LARGEST_SMALL_IMAGE
    if "batch_norm" in model.features and facts.replicas > 1:
        arguments["synchronized_batch_norm"] = recipe.synchronized_batch_norm
    for trick in tricks:
        arguments = trick.change_model(arguments, facts)
    return arguments


def load_weights(model: keras.Model, recipe: Recipe) -> None:
    """Load the weights of a recipe into a classifier.

    Raises:
        RecipeError: They cannot be loaded.
    """
    try:
        weights.load(model, recipe.weights, head=recipe.weights_head)
    except (ImportError, OSError, ValueError) as error:
        way_out = " In a recipe that is weights_head=False, or --new-head." if "head=False" in str(error) else ""
        raise RecipeError(f"weights={recipe.weights} cannot be loaded into {recipe.model}: {error}{way_out}") from error
