"""What is known of each task without Keras: its heads, and the metric by which its runs are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from keras_tricks.data_facts import Task


@dataclass(frozen=True)
class TaskFacts:
    """What is known of a task without Keras.

    Args:
        name: The task.
        metric: Name of the metric whose best value is kept; larger is better.
        heads: What can be put on a backbone for it, the usual one first; none where the model has its own.
    """

    name: Task
    metric: str
    heads: tuple[str, ...] = ()


TASKS: dict[Task, TaskFacts] = {
    facts.name: facts
    for facts in (
        TaskFacts("classification", "val_accuracy"),
        TaskFacts("detection", "val_coco_map50", ("retinanet",)),
        TaskFacts("segmentation", "val_mean_iou", ("fcn", "deeplab_v3_plus")),
    )
}
"""Every task, by its name."""

ALL_TASKS: frozenset[Task] = frozenset(get_args(Task))

HEADS: tuple[str, ...] = tuple(head for facts in TASKS.values() for head in facts.heads)
"""Every head."""


def task_of_head(head: str) -> Task:
    """Return the task that a head is for."""
    return next(facts.name for facts in TASKS.values() if head in facts.heads)
