"""Train a recipe for some steps with a growing learning rate, to see which rates it can bear."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks import data
from keras_tricks.rate_range import FEWEST_STEPS, RateRange, divergence, without_schedule
from keras_tricks.recipe import Recipe, RecipeError
from keras_tricks.training import build, load_data


@keras.saving.register_keras_serializable(package="keras_tricks")
class GrowingRate(keras.optimizers.schedules.LearningRateSchedule):
    """Multiply the learning rate by the same factor at each step.

    Args:
        lowest: The rate of the first step, > 0.
        highest: The rate of the last step, larger.
        steps: How many steps there are, at least 2.
    """

    def __init__(self, lowest: float, highest: float, steps: int):
        self.lowest = lowest
        self.highest = highest
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step, counted from 0."""
        share = ops.cast(step, "float32") / (self.steps - 1)
        return self.lowest * ops.exp(share * math.log(self.highest / self.lowest))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal schedule."""
        return {"lowest": self.lowest, "highest": self.highest, "steps": self.steps}


class _Losses(keras.callbacks.Callback):
    """Keep the loss of each batch and its rate, and end the training where it diverges."""

    def __init__(self, schedule: GrowingRate):
        super().__init__()
        self.schedule = schedule
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._sum = 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Take the loss of the batch out of the mean of all so far."""
        total = float((logs or {})["loss"]) * (batch + 1)
        loss, self._sum = total - self._sum, total
        self.rates.append(float(ops.convert_to_numpy(self.schedule(len(self.rates)))))
        self.losses.append(loss)
        if divergence(self.losses) is not None:
            self.model.stop_training = True


def find_rates(
    recipe: Recipe,
    lowest: float = 1e-5,
    highest: float = 10.0,
    steps: int = 100,
    data_set: data.ImageDataSet | None = None,
) -> RateRange:
    """Train a new model of a recipe while its learning rate grows, and return the losses.

    The recipe's own schedule, linear_scaling and progressive_resizing are left out; all else is as in its training: the
    batches, the optimizer with its momentum and clipping, the precision. It ends early where the loss diverges.

    Args:
        recipe: What to train; of its epochs no more are used than there are steps.
        lowest: The first learning rate, > 0.
        highest: The last one.
        steps: Steps from the one to the other.
        data_set: The recipe's data set, where it has been loaded already.

    Raises:
        RecipeError: The recipe cannot be trained here, or an argument is out of range.
    """
    if not 0 < lowest < highest < math.inf:
        raise RecipeError(f"Expected learning rates with 0 < lowest < highest. Received: {lowest:g} and {highest:g}")
    if steps < FEWEST_STEPS:
        raise RecipeError(f"Expected at least {FEWEST_STEPS} steps. Received: steps={steps}")
    recipe = without_schedule(recipe)
    data_set = data_set or load_data(recipe)
    try:
        steps_per_epoch = data.steps_per_epoch(data_set, recipe.batch_size)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    training = build(recipe.changed(epochs=math.ceil(steps / steps_per_epoch)), data_set)
    schedule = GrowingRate(lowest, highest, steps)
    training.model.optimizer.learning_rate = schedule
    losses = _Losses(schedule)
    training.model.fit(training.training_batches(), steps_per_epoch=steps, shuffle=False, callbacks=[losses], verbose=0)
    return RateRange(recipe.batch_size, np.array(losses.rates), np.array(losses.losses))
