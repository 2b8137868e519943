"""Detection: boxes of objects, each with a class."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from keras_tricks import data
from keras_tricks.annotated_pictures import draw_boxes, side_by_side
from keras_tricks.box_counts import count_boxes
from keras_tricks.callbacks.mean_average_precision import MeanAveragePrecision
from keras_tricks.data.detection import DetectionDataSet, DetectionPreprocessing, detection_evaluation_batches
from keras_tricks.metrics import DetectionMetrics
from keras_tricks.predictions import Predictions
from keras_tricks.recipe import Recipe
from keras_tricks.tasks.answer import Answer
from keras_tricks.tasks.detection_plan import DetectionPlan
from keras_tricks.tasks.task import Task, backbone, picture_names, read_pixels
from keras_tricks.trick import RunFacts, Trick

if TYPE_CHECKING:
    from keras_tricks.saved_model import SavedModel
    from keras_tricks.training import Training

SHOWN_SCORE = 0.3
"""The score from which on a detection is shown to people."""

BACKGROUND = "background"
"""The class of what no object is, in the table of what was taken for what."""


class Detection(Task):
    """Boxes of objects, each with a class."""

    name: ClassVar = "detection"
    outputs: ClassVar = "of each anchor left, top, right and bottom in pixels, and the probability of each class"
    logits: ClassVar = "of each anchor the offsets of its box, and the logit of each class"
    findings: ClassVar = "boxes"
    columns: ClassVar = ("class", "score", "left", "top", "right", "bottom")

    def plan(self, recipe: Recipe, data_set: DetectionDataSet, facts: RunFacts) -> DetectionPlan:
        """Return a `DetectionPlan`."""
        preprocessing = DetectionPreprocessing(
            image_size=facts.image_size,
            scales=(1.0, 1.0),
            flip=data_set.facts.flip,
            mean=data_set.facts.mean,
            std=data_set.facts.std,
        )
        return DetectionPlan(preprocessing)

    def build_model(self, recipe: Recipe, tricks: Sequence[Trick], facts: RunFacts) -> keras.Model:
        """Return RetinaNet on the recipe's backbone."""
        from keras_tricks.models.retinanet import RetinaNet

        filters = {} if recipe.head_filters is None else {"filters": recipe.head_filters}
        return RetinaNet(backbone(recipe, tricks, facts), facts.classes, image_size=facts.image_size, **filters)

    def loss(self, recipe: Recipe, facts: RunFacts) -> keras.losses.Loss:
        """Return the focal loss of the classes and the smooth L1 loss of the boxes."""
        from keras_tricks.losses import RetinaNetLoss

        return RetinaNetLoss(facts.classes, facts.image_size, anchor_size=recipe.anchor_size)

    def compile_arguments(self, model: keras.Model, loss: Any, facts: RunFacts) -> dict[str, Any]:
        """Return the loss."""
        return {"loss": loss}

    def nothing(self, model: keras.Model, facts: RunFacts) -> tuple[Any, Any]:
        """Return an image without boxes."""
        return keras.ops.full((1, 1, 6), -1.0), keras.ops.zeros((1, *model.output_shape[1:]))

    def callbacks(self, training: Training) -> list[keras.callbacks.Callback]:
        """Return what measures the mean average precision."""
        return [MeanAveragePrecision(lambda: self.measure(training))]

    def evaluate(self, training: Training) -> dict[str, float]:
        """Return the loss, and the mean average precisions."""
        return super().evaluate(training) | self.measure(training)

    def measure(self, training: Training) -> dict[str, float]:
        """Return the mean average precisions of the validation images, with the weights that the model has.

        They are NaN where the model says something of an image that is not finite.
        """
        from keras_tricks.models.detection import NotFiniteError

        metrics = DetectionMetrics(training.facts.classes)
        try:
            for _, targets, found in self._predicted(training):
                metrics.add(found, targets)
        except NotFiniteError:
            return dict.fromkeys(DetectionMetrics(1).result(), float("nan"))
        return metrics.result()

    def gather(self, training: Training) -> Predictions:
        """Count what boxes were taken for, and what was found where no object is."""
        names = (*training.data_set.class_names, BACKGROUND)
        counts: Counter[tuple[int, int]] = Counter()
        for _, targets, found in self._predicted(training):
            counts.update(count_boxes(found, targets, background=len(names) - 1))
        return Predictions(names, dict(counts), unit="boxes")

    def activated(self, saved: SavedModel, outputs: Any) -> Any:
        """Return the boxes and the probabilities of all anchors, side by side."""
        from keras_tricks.models.detection import DecodeBoxes

        decoded = DecodeBoxes(saved.preprocessing.image_size, saved.anchor_size, name="decoded")(outputs)
        return keras.layers.Concatenate(dtype="float32", name="boxes_and_scores")([decoded["boxes"], decoded["scores"]])

    def parts(self, outputs: np.ndarray) -> list[np.ndarray]:
        """Return boxes and classes."""
        return [outputs[..., :4], outputs[..., 4:]]

    def decoding(self, saved: SavedModel) -> dict[str, Any]:
        """Return what the anchors are made of."""
        return {"anchor_size": saved.anchor_size}

    def answer(self, saved: SavedModel, image: Path, top: int | None) -> Answer:
        """Return the surest detections in the pixels of the file, and the image with the boxes of all sure ones."""
        pixels = read_pixels(image)
        prepared, _ = saved.preprocessing.prepare(pixels, {"boxes": tf.zeros((0, 4))})
        outputs = saved.model.predict(prepared.numpy()[None], verbose=0)
        size = saved.preprocessing.image_size
        found = detections_of(outputs, size, len(saved.class_names), saved.anchor_size)
        sure = np.flatnonzero(found["scores"][0] >= SHOWN_SCORE)
        sure = sure[np.argsort(-found["scores"][0, sure], kind="stable")]
        height, width = pixels.shape[:2]
        # As the preprocessing has scaled it.
        boxes = np.clip(found["boxes"][0, sure] * max(height, width) / size, 0, [width, height, width, height])
        labels, scores = found["labels"][0, sure], found["scores"][0, sure]
        findings = tuple(
            {"class": saved.class_names[label], "score": float(score), "box": [round(float(side), 1) for side in box]}
            for box, label, score in list(zip(boxes, labels, scores, strict=True))[:top]
        )
        rows = tuple(
            (each["class"], f"{each['score']:.4f}", *(f"{side:.1f}" for side in each["box"])) for each in findings
        )
        return Answer(findings, rows, draw_boxes(pixels.numpy(), boxes, labels, scores, saved.class_names))

    def draw_batch(self, data_set: DetectionDataSet, pixels: np.ndarray, targets: Any) -> list[tuple[np.ndarray, str]]:
        """Return the images with their boxes, and how many of each class there are."""
        drawn = []
        for image, boxes in zip(pixels, targets, strict=True):
            boxes = boxes[boxes[:, 4] >= 0]
            labels = boxes[:, 4].astype(int)
            counts = Counter(data_set.class_names[label] for label in labels)
            words = ", ".join(f"{count} {name}" for name, count in counts.most_common(3)) or "no object"
            drawn.append((draw_boxes(image, boxes[:, :4], labels, None, data_set.class_names), words))
        return drawn

    def pictures(self, training: Training, count: int) -> dict[str, np.ndarray]:
        """Return the first validation images with true and found boxes side by side."""
        names = training.data_set.class_names
        titles = picture_names(training.data_set.validation, count)
        images = (
            (data.pixels_of(image, training.plan.evaluation), index, targets, found)
            for batch, targets, found in self._predicted(training)
            for index, image in enumerate(batch)
        )
        drawn = {}
        for title, (image, index, targets, found) in zip(titles, itertools.islice(images, count), strict=True):
            sure = found["scores"][index] >= SHOWN_SCORE
            true = targets["labels"][index] >= 0
            truth = draw_boxes(image, targets["boxes"][index][true], targets["labels"][index][true], None, names)
            surest = [found[name][index][sure] for name in ("boxes", "labels", "scores")]
            drawn[title] = side_by_side([truth, draw_boxes(image, *surest, names)], ("truth", "prediction"))
        return drawn

    def _predicted(self, training: Training) -> Any:
        """Yield images, targets and detections of each validation batch, as arrays."""
        facts, anchor_size = training.facts, training.recipe.anchor_size
        batches = detection_evaluation_batches(
            training.data_set, training.plan.evaluation, training.evaluation_batch_size
        )
        for images, targets in batches:
            outputs = keras.ops.convert_to_numpy(training.predict(images))
            found = detections_of(outputs, facts.image_size, facts.classes, anchor_size)
            yield images.numpy(), {name: value.numpy() for name, value in targets.items()}, found


def detections_of(outputs: Any, image_size: int, classes: int, anchor_size: float) -> dict[str, np.ndarray]:
    """Return what a detector has found in images; see `keras_tricks.models.detection.detections`."""
    from keras_tricks.models.detection import detections

    return detections(outputs, image_size, classes, anchor_size=anchor_size)
