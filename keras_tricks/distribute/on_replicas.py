"""What must be otherwise on several replicas: optimizers that are refused, and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_tricks import optimizers
from keras_tricks.layers.seed_generator import ReplicaSeedGenerator


def draw_differently(layers: Sequence[keras.layers.Layer]) -> None:
    """Let Keras's random layers draw differently on each replica, as those of this package do."""
    for layer in layers:
        for value in vars(layer).values():
            if type(value) is keras.random.SeedGenerator:
                value.__class__ = ReplicaSeedGenerator


def require_same_on_replicas(optimizer: Any) -> None:
    """Raise where Keras's optimizers act on each replica's own gradient, or fail."""
    while optimizer is not None:
        kind = type(optimizer).__name__
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) and not isinstance(
            optimizer, optimizers.LossScaleOptimizer
        ):
            raise ValueError(
                "Expected keras_tricks.optimizers.LossScaleOptimizer on replicas: that of Keras sees an overflow on "
                f"the first one only. Received: {kind} of Keras"
            )
        for argument, instead in (
            ("clipnorm", "keras_tricks.optimizers.GradientClipping or AdaptiveGradientClipping"),
            ("global_clipnorm", "keras_tricks.optimizers.GradientClipping"),
            ("clipvalue", "keras_tricks.optimizers.GradientClipping or AdaptiveGradientClipping"),
            ("gradient_accumulation_steps", "accumulation_steps of ReplicaModel"),
            ("ema_overwrite_frequency", "keras_tricks.callbacks.WeightAveraging"),
        ):
            value = getattr(optimizer, argument, None)
            if value:
                raise ValueError(
                    f"Expected an optimizer without `{argument}` on replicas: Keras lets it act on each replica's own "
                    f"gradient, or fails. Use {instead}. Received: {argument}={value!r} of {kind}"
                )
        optimizer = getattr(optimizer, "inner_optimizer", None)
