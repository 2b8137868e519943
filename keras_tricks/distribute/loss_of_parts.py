"""Which losses of a batch can be put together from those of its parts."""

from __future__ import annotations

from typing import Any

import keras

_WAY_OUT = (
    "Let it return the examples' losses, shape (batch,), and leave their mean to reduction='sum_over_batch_size'."
)


def checked_loss(loss: Any) -> Any:
    """Return a loss that is the mean of the examples' losses.

    Only of such a loss is the whole batch's the mean of its parts', weighted by their numbers of examples.

    Args:
        loss: What `compile` takes for one output.

    Raises:
        ValueError: It is another one, or, when it is called, gives one number for the batch.
    """
    if loss is None or isinstance(loss, str):
        return loss
    if not isinstance(loss, keras.losses.Loss):
        return _MeanLoss(loss, getattr(loss, "__name__", "loss"), "sum_over_batch_size", None)
    if loss.reduction not in ("sum_over_batch_size", "mean"):
        raise ValueError(
            "Expected a loss with reduction='sum_over_batch_size' on replicas or with accumulation_steps. For a sum "
            f"over the batch give its size as loss_weights. Received: {loss.name!r} with reduction={loss.reduction!r}"
        )
    if type(loss).__call__ is not keras.losses.Loss.__call__:
        raise ValueError(
            "Expected a loss without a `__call__` of its own on replicas or with accumulation_steps: nobody knows how "
            f"it reduces. Override `call`. {_WAY_OUT} Received: {loss.name!r}"
        )
    return _MeanLoss(loss.call, loss.name, loss.reduction, loss.dtype)


class _MeanLoss(keras.losses.Loss):
    def __init__(self, function, name, reduction, dtype):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self._function = function

    def call(self, y_true, y_pred):
        values = self._function(y_true, y_pred)
        if len(values.shape) == 0:
            raise ValueError(
                "Expected a loss for each example on replicas or with accumulation_steps: of one number nobody knows "
                f"whether it is a mean or a sum. {_WAY_OUT} Received: {self.name!r}"
            )
        return values
