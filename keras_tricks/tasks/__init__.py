"""What differs between the tasks: classification, detection and segmentation."""

from __future__ import annotations

from keras_tricks.data_facts import Task as TaskName
from keras_tricks.tasks.answer import Answer
from keras_tricks.tasks.task import Task


def task_of(name: TaskName) -> Task:
    """Return a task by its name.

    Args:
        name: As in `keras_tricks.data_facts.DataFacts.task`.
    """
    if name == "detection":
        from keras_tricks.tasks.detection import Detection

        return Detection()
    if name == "segmentation":
        from keras_tricks.tasks.segmentation import Segmentation

        return Segmentation()
    from keras_tricks.tasks.classification import Classification

    return Classification()


__all__ = ["Answer", "Task", "task_of"]
