"""Dynamic loss scaling that looks at every replica and every worker."""

import math
import numbers

import keras
from keras import ops

from keras_tricks.keras_private import trained_variables

_SMALLEST_SCALE = 2.0**-24


@keras.saving.register_keras_serializable(package="keras_tricks")
class LossScaleOptimizer(keras.optimizers.LossScaleOptimizer):
    """Scale the loss so that small float16 gradients do not vanish, and skip the steps in which large ones overflow.

    The loss is multiplied by `dynamic_scale` and the gradients are divided by it, in float32. If any gradient of any
    replica on any worker is infinite or NaN, no replica makes the step: weights, momentum, averages of the optimizer
    and its step counter stay as they are, and the scale is halved. After `dynamic_growth_steps` finite steps in a row
    it is doubled.

    `keras.optimizers.LossScaleOptimizer`, which this one replaces in the same place, looks at the first replica only:
    an overflow on another one destroys the weights of all, and with several workers they wait for each other for ever.

    Wrap any optimizer in it and pass it to `compile`, which leaves an optimizer that scales the loss as it is.

    Besides those of Keras it has these scalar variables, which are saved with the optimizer:

    | variable | meaning |
    | --- | --- |
    | `dynamic_scale` | float32, the present scale |
    | `skipped_steps` | int32, all steps that were skipped |
    | `skips_in_a_row` | int32, those since the last step that was made |
    | `first_bad_gradient` | int32, index of the first variable whose gradient was not finite in the last skipped step |

    Args:
        inner_optimizer: the `keras.optimizers.Optimizer` that makes the steps.
        initial_scale: float > 0, the scale to begin with. Defaults to 32768; a scale too high costs a few skips.
        dynamic_growth_steps: int >= 1, how many finite steps in a row double the scale. Defaults to 2000.
        name: string, the name of the optimizer. Defaults to `None`, a name of its own.
        **kwargs: those of `keras.optimizers.LossScaleOptimizer`, which exist for old saved models.

    Raises:
        ValueError: if an argument is out of range, or `inner_optimizer` is no optimizer or scales the loss itself.

    Example:

        keras.config.set_dtype_policy("mixed_float16")
        model.compile(LossScaleOptimizer(SGD(0.1)), loss="categorical_crossentropy")

    Source: Micikevicius et al. 2017, Mixed Precision Training, arXiv 1710.03740, section 3.2.
    """

    def __init__(self, inner_optimizer, initial_scale=2.0**15, dynamic_growth_steps=2000, name=None, **kwargs):
        if not isinstance(inner_optimizer, keras.optimizers.Optimizer) or isinstance(
            inner_optimizer, keras.optimizers.LossScaleOptimizer
        ):
            raise ValueError(
                "Expected `inner_optimizer` to be a Keras optimizer that does not scale the loss itself. "
                f"Received: inner_optimizer={inner_optimizer!r}"
            )
        if not isinstance(initial_scale, numbers.Real) or not 0 < initial_scale < math.inf:
            raise ValueError(
                f"Expected `initial_scale` to be a finite float > 0. Received: initial_scale={initial_scale!r}"
            )
        if not isinstance(dynamic_growth_steps, numbers.Integral) or dynamic_growth_steps < 1:
            raise ValueError(
                "Expected `dynamic_growth_steps` to be an int of at least 1. "
                f"Received: dynamic_growth_steps={dynamic_growth_steps!r}"
            )
        super().__init__(inner_optimizer, float(initial_scale), int(dynamic_growth_steps), name=name, **kwargs)

    def build(self, var_list):
        """Build the inner optimizer and the counters.

        Args:
            var_list: list of variables, those that will be trained.
        """
        if self.built:
            return
        self.skipped_steps = self._counter("skipped_steps")
        self.skips_in_a_row = self._counter("skips_in_a_row")
        self.first_bad_gradient = self._counter("first_bad_gradient")
        super().build(var_list)

    def _counter(self, name):
        return self.add_variable(shape=(), dtype="int32", initializer="zeros", aggregation="none", name=name)

    def apply(self, grads, trainable_variables=None):
        """Make the step if all gradients of all replicas are finite, and adapt the scale.

        Args:
            grads: list of gradients of the scaled loss.
            trainable_variables: list of their variables. Defaults to `None`, those the optimizer was built with.
        """
        grads = list(grads)
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            if not self.built:
                with keras.name_scope(self.name):
                    self.build(trainable_variables)
        if not grads:
            return
        if keras.backend.backend() == "tensorflow":
            self._apply_on_replicas(grads, trainable_variables)
        elif keras.backend.backend() == "jax":
            self._apply_by_values(grads, trained_variables(self))
        else:
            self._apply_or_skip(_not_finite(grads), lambda: self._step(grads, trainable_variables))

    def _apply_on_replicas(self, grads, trainable_variables):
        import tensorflow as tf

        replica = tf.distribute.get_replica_context()
        if replica is None:
            raise ValueError(
                "Expected `apply` to be called by each replica, inside `strategy.run`. Received: a call for all of them"
            )
        not_finite = _not_finite(grads)
        if not tf.distribute.has_strategy():
            self._apply_or_skip(not_finite, lambda: self._step(grads, trainable_variables))
            return
        if tf.__internal__.distribute.strategy_supports_no_merge_call():
            not_finite = replica.all_reduce(tf.distribute.ReduceOp.SUM, not_finite)
            self._apply_or_skip(not_finite, lambda: self._step(grads, trainable_variables))
            return

        def decide_together(strategy, not_finite, grads, trainable_variables):
            # The condition stands outside of the replicas: inside, a branch could not add up their gradients.
            def step():
                strategy.extended.call_for_each_replica(self._step, args=(grads, trainable_variables))

            self._apply_or_skip(strategy.reduce(tf.distribute.ReduceOp.SUM, not_finite, axis=None), step)

        replica.merge_call(decide_together, args=(not_finite, grads, trainable_variables))

    def _apply_by_values(self, grads, variables):
        """Assign the result of `stateless_apply`: the branches of JAX's condition must not assign."""
        values = [each.value for each in self.variables], grads, [each.value for each in variables]
        new_trainable, new_own = self.stateless_apply(*values)
        for variable, value in zip([*variables, *self.variables], [*new_trainable, *new_own], strict=True):
            variable.assign(value)

    def _apply_or_skip(self, not_finite, step):
        new_values = self._state_after(not_finite)
        ops.cond(_all_finite(not_finite), step, lambda: None)
        for variable, value in new_values:
            variable.assign(value)

    def _step(self, grads, trainable_variables):
        variables = trained_variables(self) if trainable_variables is None else trainable_variables
        self.inner_optimizer.apply(self._unscaled(grads, variables), trainable_variables)

    def _unscaled(self, grads, variables):
        scale = ops.copy(self.dynamic_scale)
        return [
            gradient
            if gradient is None or getattr(variable, "overwrite_with_gradient", False)
            else _divided(gradient, scale)
            for gradient, variable in zip(grads, variables, strict=True)
        ]

    def stateless_apply(self, optimizer_variables, grads, trainable_variables):
        """Return the variables and the state after a step, without changing them."""
        if not self.built:
            raise ValueError("Expected the optimizer to be built, by `build(variables)`. Received: built=False")
        values = dict(zip(map(id, self.variables), optimizer_variables, strict=True))
        own = self.variables[: len(self.variables) - len(self.inner_optimizer.variables)]
        inner_values = [values[id(variable)] for variable in self.inner_optimizer.variables]
        not_finite = _not_finite(grads)
        with keras.StatelessScope(state_mapping=list(zip(self.variables, optimizer_variables, strict=True))):
            unscaled = self._unscaled(grads, trained_variables(self))
            changed = {id(variable): value for variable, value in self._state_after(not_finite)}
        new_trainable, new_inner = ops.cond(
            _all_finite(not_finite),
            lambda: self.inner_optimizer.stateless_apply(inner_values, unscaled, trainable_variables),
            lambda: (list(trainable_variables), inner_values),
        )
        new_own = [changed.get(id(variable), values[id(variable)]) for variable in own]
        return new_trainable, new_own + list(new_inner)

    def _state_after(self, not_finite):
        """Return pairs of a variable of this optimizer and its value after the step."""
        finite = _all_finite(not_finite)
        counter, scale = ops.copy(self.step_counter), ops.copy(self.dynamic_scale)
        grows = ops.equal(counter, self.dynamic_growth_steps - 1)
        larger = ops.where(grows, ops.multiply(scale, 2.0), scale)
        # A scale of zero would turn finite gradients into NaN.
        smaller = ops.maximum(ops.multiply(scale, 0.5), _SMALLEST_SCALE)
        skipped = ops.cast(ops.logical_not(finite), "int32")
        first = ops.cast(ops.argmax(ops.cast(ops.greater(not_finite, 0), "int32")), "int32")
        restarts = ops.logical_or(grows, ops.logical_not(finite))
        return [
            (self.step_counter, ops.where(restarts, ops.zeros_like(counter), counter + 1)),
            (self.dynamic_scale, ops.where(finite, larger, smaller)),
            (self.skipped_steps, ops.add(self.skipped_steps, skipped)),
            (self.skips_in_a_row, ops.multiply(ops.add(self.skips_in_a_row, skipped), skipped)),
            (self.first_bad_gradient, ops.where(finite, ops.copy(self.first_bad_gradient), first)),
        ]


def _not_finite(grads):
    """Return a float32 vector with a 1 for each gradient that is not finite, in their order; it can be summed."""
    flags = [ops.zeros((), "bool") if each is None else ops.any(ops.logical_not(ops.isfinite(each))) for each in grads]
    return ops.cast(ops.stack(flags), "float32")


def _divided(gradient, scale):
    """Divide in float32 or wider: a scale of 65536 is infinite in float16."""
    if hasattr(gradient, "dense_shape"):
        return gradient / ops.cast(scale, gradient.dtype)
    dtype = keras.backend.result_type(gradient.dtype, "float32")
    return ops.cast(ops.divide(ops.cast(gradient, dtype), ops.cast(scale, dtype)), gradient.dtype)


def _all_finite(not_finite):
    return ops.equal(ops.sum(not_finite), 0)
