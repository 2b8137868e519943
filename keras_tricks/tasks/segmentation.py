"""Segmentation: one class for each pixel."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from keras_tricks import data, models
from keras_tricks.annotated_pictures import overlay_mask, side_by_side
from keras_tricks.callbacks.main_output import MAIN_OUTPUT, MainOutput, rename
from keras_tricks.data.segmentation import IGNORED, SegmentationDataSet, SegmentationPreprocessing
from keras_tricks.label_text import label_text
from keras_tricks.losses import PixelCrossentropy
from keras_tricks.metrics import MeanIoU, PixelAccuracy
from keras_tricks.model_facts import model_facts
from keras_tricks.predictions import PredictionCounter, Predictions
from keras_tricks.recipe import Recipe
from keras_tricks.tasks.answer import Answer
from keras_tricks.tasks.segmentation_plan import SegmentationPlan
from keras_tricks.tasks.task import Task, backbone, image_files, picture_names, read_pixels
from keras_tricks.trick import RunFacts, Trick

if TYPE_CHECKING:
    from keras_tricks.saved_model import SavedModel
    from keras_tricks.training import Training

OUTPUT_STRIDE = 8
"""What the last maps divide height and width by where the recipe does not say it, as in "Bag of Tricks"."""


class Segmentation(Task):
    """One class for each pixel; those of the class `IGNORED` do not count."""

    name: ClassVar = "segmentation"
    outputs: ClassVar = "probabilities of each pixel"
    logits: ClassVar = "logits of each pixel"
    columns: ClassVar = ("class", "share of the pixels")

    def plan(self, recipe: Recipe, data_set: SegmentationDataSet, facts: RunFacts) -> SegmentationPlan:
        """Return a `SegmentationPlan`."""
        preprocessing = SegmentationPreprocessing(
            image_size=facts.image_size,
            scales=(1.0, 1.0),
            base_size=recipe.short_side,
            flip=data_set.facts.flip,
            mean=data_set.facts.mean,
            std=data_set.facts.std,
        )
        outputs = (MAIN_OUTPUT, "auxiliary") if recipe.resolved_head == "fcn" else ()
        return SegmentationPlan(preprocessing, outputs=outputs)

    def build_model(self, recipe: Recipe, tricks: Sequence[Trick], facts: RunFacts) -> keras.Model:
        """Return the head of the recipe on its dilated backbone, for images of any size."""
        pyramid = backbone(recipe, tricks, facts, output_stride=_output_stride(recipe))
        normalizes = "batch_norm" in model_facts(recipe.model).features
        # A frozen backbone does not say how its head is to be normalized.
        synchronized = normalizes and facts.replicas > 1 and recipe.synchronized_batch_norm
        arguments: dict[str, Any] = {"normalization": "synchronized" if synchronized else None}
        if recipe.resolved_head == "fcn":
            return models.FCN(pyramid, facts.classes, **arguments)
        if recipe.head_filters is not None:
            arguments["filters"] = recipe.head_filters
        return models.DeepLabV3Plus(pyramid, facts.classes, **arguments)

    def loss(self, recipe: Recipe, facts: RunFacts) -> keras.losses.Loss:
        """Return the cross-entropy of the logits of each pixel."""
        return PixelCrossentropy(ignore_class=IGNORED)

    def compile_arguments(self, model: keras.Model, loss: Any, facts: RunFacts) -> dict[str, Any]:
        """Return the loss of each output, and the pixel accuracy and the mean IoU of the predictions."""
        metrics = [PixelAccuracy(facts.classes, name="accuracy"), MeanIoU(facts.classes)]
        if not isinstance(model.output, dict):
            return {"loss": loss, "metrics": metrics}
        return {
            "loss": dict.fromkeys(model.output, loss),
            "loss_weights": {MAIN_OUTPUT: 1.0, "auxiliary": models.AUXILIARY_WEIGHT},
            "metrics": {MAIN_OUTPUT: metrics},
        }

    def nothing(self, model: keras.Model, facts: RunFacts) -> tuple[Any, Any]:
        """Return one pixel of the first class."""
        mask, logits = keras.ops.zeros((1, 1, 1), "int32"), keras.ops.zeros((1, 1, 1, facts.classes))
        if not isinstance(model.output, dict):
            return mask, logits
        return dict.fromkeys(model.output, mask), dict.fromkeys(model.output, logits)

    def evaluate(self, training: Training) -> dict[str, float]:
        """Return the losses, and the metrics of the predictions by their own names."""
        values = super().evaluate(training)
        rename(values)
        return values

    def callbacks(self, training: Training) -> list[keras.callbacks.Callback]:
        """Return what gives the metrics of the predictions their own names."""
        return [MainOutput()]

    def gather(self, training: Training) -> Predictions:
        """Count the classes that pixels were taken for, and keep the worst images."""
        files = image_files(training.data_set.validation)
        counter = PredictionCounter(training.data_set.class_names, files, unit="pixels")
        for images, masks, logits in self._predicted(training):
            counter.add_pixels(logits, masks, data.pixels_of(images, training.plan.evaluation))
        return counter.predictions()

    def inference_model(self, model: keras.Model) -> keras.Model:
        """Return the model without its auxiliary head."""
        return models.prediction_model(model)

    def answer(self, saved: SavedModel, image: Path, top: int | None) -> Answer:
        """Return the classes that most pixels are taken for, and the image with all of them drawn over it."""
        pixels = read_pixels(image)
        prepared, _ = saved.preprocessing.prepare(pixels, tf.zeros(pixels.shape[:2], tf.uint8))
        logits = saved.inference_model.predict(prepared.numpy()[None], verbose=0)[0]
        height, width = saved.preprocessing.evaluated_size(tf.shape(pixels)).numpy()
        classes = logits[:height, :width].argmax(axis=-1)
        mask = tf.image.resize(classes[..., None], pixels.shape[:2], method="nearest").numpy()[..., 0]
        shares = np.bincount(mask.ravel(), minlength=len(saved.class_names)) / mask.size
        found = tuple(
            {"class": saved.class_names[place], "share": float(shares[place])}
            for place in np.argsort(-shares, kind="stable")[:top]
            if shares[place]
        )
        rows = tuple((each["class"], f"{each['share']:.4f}") for each in found)
        return Answer(found, rows, overlay_mask(pixels.numpy(), mask, saved.palette or None, saved.class_names))

    def draw_batch(
        self, data_set: SegmentationDataSet, pixels: np.ndarray, targets: Any
    ) -> list[tuple[np.ndarray, str]]:
        """Return the images with their masks drawn over them, and the shares of the classes in words."""
        masks = _mask_of(targets)
        names = data_set.class_names
        drawn = []
        for image, mask in zip(pixels, masks, strict=True):
            counts = np.bincount(mask[mask != IGNORED], minlength=len(names))
            words = label_text(counts / max(1, counts.sum()), names) or "nothing that counts"
            drawn.append((overlay_mask(image, mask, data_set.palette or None, names), words))
        return drawn

    def pictures(self, training: Training, count: int) -> dict[str, np.ndarray]:
        """Return the first validation images with true and predicted classes side by side."""
        names, palette = training.data_set.class_names, training.data_set.palette or None
        titles = picture_names(training.data_set.validation, count)
        images = (
            (data.pixels_of(image, training.plan.evaluation), mask, scores.argmax(axis=-1))
            for batch in self._predicted(training)
            for image, mask, scores in zip(*batch, strict=True)
        )
        return {
            title: side_by_side(
                [overlay_mask(image, each, palette, names) for each in (mask, predicted)], ("truth", "prediction")
            )
            for title, (image, mask, predicted) in zip(titles, itertools.islice(images, count), strict=True)
        }

    def _predicted(self, training: Training) -> Any:
        """Yield images, masks and logits of each validation batch, as arrays."""
        for images, targets in training.validation_batches():
            yield images.numpy(), np.asarray(_mask_of(targets)), keras.ops.convert_to_numpy(training.predict(images))


def _mask_of(targets: Any) -> Any:
    return targets[MAIN_OUTPUT] if isinstance(targets, dict) else targets


def _output_stride(recipe: Recipe) -> int | None:
    if recipe.output_stride is not None:
        return recipe.output_stride
    # Networks for small images do not shrink them as much.
    return None if model_facts(recipe.model).family.endswith("_cifar") else OUTPUT_STRIDE
