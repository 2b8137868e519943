"""The trainer that makes `fit` on N replicas give what one device gives."""

from __future__ import annotations

import functools
import itertools
import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_tricks import optimizers
from keras_tricks.distribute.loss_of_parts import checked_loss
from keras_tricks.distribute.on_replicas import draw_differently, require_same_on_replicas
from keras_tricks.keras_private import TrainerOverrides, all_layers, mask_of


class Batch(NamedTuple):
    """What one replica gets of a batch.

    Args:
        x: Inputs.
        y: Targets.
        sample_weight: Weights of the examples, or None.
    """

    x: Any
    y: Any
    sample_weight: Any = None


ExtraLoss = Callable[[Any, Any, Any], Any]
GradientMethod = Callable[["ReplicaTrainer", Batch], list[Any]]


class ReplicaTrainer(TrainerOverrides):
    """Train a model so that N replicas give what one device gives, and large batches fit into small memories.

    A mixin that stands before `keras.Model` among the bases of a class; `ReplicaModel` is it for functional models.
    In ordinary `fit`, on one device, under `MirroredStrategy` or `MultiWorkerMirroredStrategy`:

    - `accumulation_steps`: each replica works through its part of a batch in so many micro-batches and the optimizer
      makes one step with their mean gradient. The batches of the data set are the large ones, so that schedules,
      averages and callbacks count real steps. Keras's `gradient_accumulation_steps` counts micro-batches as steps, and
      fails under a strategy. Batch normalization sees the micro-batches.
    - `steps_per_execution` works under a strategy; callbacks then run once in so many steps.
    - A last batch that the replicas share unevenly weighs each example the same.
    - Random layers draw differently on each replica, those of Keras too.
    - `compile(jit_compile=True)` under a strategy compiles forward and backward pass with XLA, where Keras fails.
    - In float16 the optimizer is wrapped in `keras_tricks.optimizers.LossScaleOptimizer`.
    - What would silently train differently on replicas is refused by `compile`, with the reason.

    Args:
        accumulation_steps: Micro-batches a step. Defaults to 1.
        extra_losses: Functions of inputs, targets and predictions that return a loss for each example, shape (batch,),
            or their mean; they are added to the compiled loss in training. The way in for `losses.Distillation`.
        compiled_loss_weight: Factor >= 0 of the compiled loss, and of the layers' own losses, in training; validation
            has the whole loss. Defaults to 1.
        gradient_method: How the gradients of a step come about, a function of this trainer and a `Batch` that returns
            each replica's own gradients, made by one or more calls of `batch_gradients`. Defaults to one such call.
            The way in for `SharpnessAware`.

    Raises:
        ValueError: An argument is out of range, or the backend is not TensorFlow.
    """

    def __init__(
        self,
        *args: Any,
        accumulation_steps: int = 1,
        extra_losses: Sequence[ExtraLoss] = (),
        compiled_loss_weight: float = 1.0,
        gradient_method: GradientMethod | None = None,
        **kwargs: Any,
    ):
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                "Expected the TensorFlow backend, whose strategies this trainer is for. "
                f"Received: backend={keras.backend.backend()}"
            )
        if (
            not isinstance(accumulation_steps, numbers.Integral)
            or isinstance(accumulation_steps, bool)
            or accumulation_steps < 1
        ):
            raise ValueError(
                "Expected `accumulation_steps` to be an int of at least 1. "
                f"Received: accumulation_steps={accumulation_steps!r}"
            )
        if callable(extra_losses) or not all(callable(each) for each in extra_losses):
            raise ValueError(
                f"Expected `extra_losses` to be a tuple of functions. Received: extra_losses={extra_losses!r}"
            )
        if not isinstance(compiled_loss_weight, numbers.Real) or not 0 <= compiled_loss_weight < math.inf:
            raise ValueError(
                "Expected `compiled_loss_weight` to be a finite number of at least 0. "
                f"Received: compiled_loss_weight={compiled_loss_weight!r}"
            )
        if gradient_method is not None and not callable(gradient_method):
            raise ValueError(
                "Expected `gradient_method` to be a function of trainer and batch, such as SharpnessAware(). "
                f"Received: gradient_method={gradient_method!r}"
            )
        super().__init__(*args, **kwargs)
        self.accumulation_steps = accumulation_steps = int(accumulation_steps)
        # In functions' closures: as attributes, their models would become layers of this one.
        losses, method = tuple(extra_losses), gradient_method
        self._training_options = lambda: {
            "accumulation_steps": accumulation_steps,
            "extra_losses": losses,
            "compiled_loss_weight": compiled_loss_weight,
            "gradient_method": method,
        }

    def compile(self, optimizer="rmsprop", loss=None, **kwargs):
        """Compile as `keras.Model.compile` does, for replicas.

        Raises:
            ValueError: Something would train differently on replicas, or cannot: clipping arguments of a Keras
                optimizer, its `gradient_accumulation_steps` or `ema_overwrite_frequency`, Keras's own
                `LossScaleOptimizer`, synchronized batch normalization under XLA. Or on the parts of a batch, which
                micro-batches are too: a loss that is not the mean of the examples' losses.
        """
        optimizer = keras.optimizers.get(optimizer)
        if self.distribute_strategy.num_replicas_in_sync > 1:
            require_same_on_replicas(optimizer)
            draw_differently(all_layers(self))
            if kwargs.get("jit_compile") is True:
                self._require_no_synchronization()
        given_loss = loss
        if self._has_parts and loss is not None:
            loss = keras.tree.map_structure(checked_loss, loss)
        if (
            kwargs.get("auto_scale_loss", True)
            and self.dtype_policy.name == "mixed_float16"
            and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        ):
            optimizer = optimizers.LossScaleOptimizer(optimizer)
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        if given_loss is not None:
            self.loss = given_loss
        self._compiled_pass = None

    def fit(self, *args, steps_per_epoch=None, **kwargs):
        """Fit as `keras.Model.fit` does.

        Raises:
            ValueError: `steps_per_epoch` is not a multiple of `steps_per_execution`: Keras would make more steps.
        """
        if steps_per_epoch is not None and steps_per_epoch % self.steps_per_execution:
            raise ValueError(
                "Expected `steps_per_epoch` to be a multiple of `steps_per_execution`. "
                f"Received: steps_per_epoch={steps_per_epoch}, steps_per_execution={self.steps_per_execution}"
            )
        return super().fit(*args, steps_per_epoch=steps_per_epoch, **kwargs)

    def train_step(self, data):
        """Make one optimizer step with one batch, on one replica."""
        batch = Batch(*keras.utils.unpack_x_y_sample_weight(data))
        method = self._training_options()["gradient_method"]
        gradients = self.batch_gradients(batch) if method is None else method(self, batch)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self.get_metrics_result()

    @property
    def extra_losses(self) -> tuple[ExtraLoss, ...]:
        """What is added to the compiled loss in training."""
        return self._training_options()["extra_losses"]

    def seed_states(self) -> list[Any]:
        """Return the states of the random layers as they are now."""
        import tensorflow as tf

        return [tf.identity(variable.value) for variable in self._seed_variables]

    @property
    def _seed_variables(self) -> list[keras.Variable]:
        return [variable for variable in self.non_trainable_variables if variable.name == "seed_generator_state"]

    def batch_gradients(
        self, batch: Batch, weights: Sequence[Any] | None = None, seed_states: Sequence[Any] = ()
    ) -> list[Any]:
        """Return the gradients of one replica's part of a batch, over its micro-batches.

        Their sum over replicas is the gradient of the whole batch, times the loss scale.

        Args:
            batch: The replica's part.
            weights: Tensors in the place of the trainable variables. With them nothing else changes: neither metrics,
                nor the statistics of normalizations, nor the seeds of random layers.
            seed_states: With `weights`, what `seed_states` returned before another call: random layers then draw as
                they did in that one. Defaults to (), the present states.

        Returns:
            Gradients in the order of `trainable_variables`, None where the loss does not depend on one.
        """
        import tensorflow as tf

        total, replaced = None, None
        if weights is not None:
            seeds = zip(self._seed_variables, seed_states or self.seed_states(), strict=True)
            replaced = [*zip(self.trainable_variables, weights, strict=True), *seeds]
        for part, share in self._micro_batches(batch):
            before = [] if total is None else [gradient for gradient in total if gradient is not None]
            # One after the other: side by side they would need the memory of the whole batch.
            with tf.control_dependencies(before):
                part = keras.tree.map_structure(lambda leaf: None if leaf is None else tf.identity(leaf), part)
            gradients, loss, y_pred = self._pass(part, share, replaced)
            if replaced is None:
                count = tf.shape(keras.tree.flatten(part.x)[0])[0]
                self._track_loss(loss * self.distribute_strategy.num_replicas_in_sync, count)
                self.compute_metrics(part.x, part.y, y_pred, sample_weight=part.sample_weight)
            total = gradients if total is None else [_sum(*pair) for pair in zip(total, gradients, strict=True)]
        return total

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the compiled loss, and in training the extra losses, as this replica's share of the batch's mean."""
        if training and self._has_parts and any(mask_of(each) is not None for each in keras.tree.flatten(y_pred)):
            raise ValueError(
                "Expected predictions without a mask on replicas or with accumulation_steps: Keras divides by the "
                "number of unmasked places of each part of a batch, and the parts would count alike. Give the mask as "
                f"sample_weight. Received: model {self.name!r} with masked outputs"
            )
        loss = super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)
        if training:
            loss = loss * self._training_options()["compiled_loss_weight"]
            replicas = self.distribute_strategy.num_replicas_in_sync
            for extra in self.extra_losses:
                loss = loss + ops.cast(ops.mean(extra(x, y, y_pred)), loss.dtype) / replicas
        return loss

    def _pass(self, part: Batch, share: Any, replaced: list[Any] | None) -> tuple[list[Any], Any, Any]:
        """Return gradients, loss and predictions of a micro-batch."""
        import tensorflow as tf

        if not self.jit_compile or not self._has_strategy or replaced is not None:
            return self._forward_and_backward(part, share, replaced)
        if self._compiled_pass is None:
            forward_and_backward = functools.partial(self._forward_and_backward, replaced=None)
            self._compiled_pass = tf.function(forward_and_backward, jit_compile=True, autograph=False)
        return self._compiled_pass(part, tf.convert_to_tensor(share, tf.float32))

    def _forward_and_backward(self, part: Batch, share: Any, replaced: list[Any] | None) -> tuple[list[Any], Any, Any]:
        import tensorflow as tf

        def scaled_loss():
            y_pred = self(part.x, training=True)
            loss = self.compute_loss(x=part.x, y=part.y, y_pred=y_pred, sample_weight=part.sample_weight, training=True)
            return self.optimizer.scale_loss(loss * tf.cast(share, loss.dtype)), loss, y_pred

        if replaced is None:
            with tf.GradientTape() as tape:
                scaled, loss, y_pred = scaled_loss()
            return tape.gradient(scaled, self.trainable_weights), loss, y_pred
        weights = [value for _, value in replaced[: len(self.trainable_variables)]]
        with (
            tf.GradientTape() as tape,
            keras.StatelessScope(state_mapping=replaced, collect_losses=True) as scope,
        ):
            tape.watch(weights)
            scaled, loss, y_pred = scaled_loss()
        # The next micro-batch draws on.
        replaced[len(weights) :] = [(seed, scope.get_current_value(seed)) for seed in self._seed_variables]
        return tape.gradient(scaled, weights), loss, y_pred

    def _micro_batches(self, batch: Batch) -> list[tuple[Batch, Any]]:
        """Return the micro-batches of a replica's part, each with its share of the part, times the part's weight."""
        import tensorflow as tf

        first = keras.tree.flatten(batch.x)[0]
        count, steps = first.shape[0], self.accumulation_steps
        weight = 1.0 if count is not None else self._weight_of_part(tf.shape(first)[0])
        if steps == 1:
            return [(batch, weight)]
        if count is not None and count < steps:
            raise ValueError(
                f"Expected at least {steps} examples on each replica, one for each of the accumulation_steps. Set a "
                f"larger batch or fewer steps. Received: {count} examples"
            )
        total = tf.shape(first)[0] if count is None else count
        if count is None:
            tf.debugging.assert_greater_equal(
                total,
                steps,
                f"A batch leaves a replica with fewer examples than the {steps} accumulation_steps. Set larger "
                "batches, and leave out the last, partial one (drop_remainder=True).",
            )
        edges = [total * place // steps for place in range(steps + 1)]
        return [
            (
                keras.tree.map_structure(
                    lambda leaf, start=start, end=end: None if leaf is None else leaf[start:end], batch
                ),
                weight * ops.cast(end - start, "float32") / ops.cast(total, "float32"),
            )
            for start, end in itertools.pairwise(edges)
        ]

    def _weight_of_part(self, count: Any) -> Any:
        """Return how much more than an average one this replica's part of a batch weighs."""
        import tensorflow as tf

        replicas = self.distribute_strategy.num_replicas_in_sync
        if replicas == 1:
            return 1.0
        count = tf.cast(count, tf.float32)
        whole = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, count)
        return count * replicas / whole

    @property
    def _has_parts(self) -> bool:
        """Whether the loss of a batch is put together from those of its parts."""
        return self.accumulation_steps > 1 or self.distribute_strategy.num_replicas_in_sync > 1

    def _require_no_synchronization(self) -> None:
        for layer in all_layers(self):
            if getattr(layer, "synchronized", False):
                raise ValueError(
                    "Expected no synchronized batch normalization with jit_compile=True on replicas: XLA compiles one "
                    f"replica alone. Set synchronized=False or jit_compile=False. Received: layer {layer.name!r}"
                )


def _sum(first: Any, second: Any) -> Any:
    import tensorflow as tf

    if first is None or second is None:
        return second if first is None else first
    return tf.convert_to_tensor(first) + tf.convert_to_tensor(second)
