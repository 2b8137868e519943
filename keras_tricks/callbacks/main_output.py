"""MainOutput: the metrics of a model's predictions, by the names that they have in models of one output."""

from __future__ import annotations

from typing import Any

import keras

MAIN_OUTPUT = "predictions"
"""Name of the output that counts where there are others."""


class MainOutput(keras.callbacks.Callback):
    """Leave the name of the main output out of the names of its metrics, for the callbacks behind this one.

    Keras calls the accuracy of one output of several `predictions_accuracy`.
    """

    def on_train_batch_end(self, batch, logs=None):
        """Rename the running metrics."""
        rename(logs)

    def on_epoch_end(self, epoch, logs=None):
        """Rename the metrics of an epoch."""
        rename(logs)


def rename(logs: dict[str, Any] | None) -> None:
    """Leave the name of the main output out of the names of metrics, in place."""
    for name in list(logs or ()):
        start = f"{MAIN_OUTPUT}_"
        validation = "val_" if name.startswith("val_") else ""
        if name.removeprefix(validation).startswith(start) and not name.endswith("_loss"):
            logs[validation + name.removeprefix(validation).removeprefix(start)] = logs.pop(name)
