"""All that depends on private methods and attributes of Keras, each with the reason; Keras is pinned for their sake.

`tests/test_keras_private.py` fails when one of them changes, or when Keras mends what they are for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras


def trained_variables(optimizer: keras.optimizers.Optimizer) -> list[Any]:
    """Return the variables that an optimizer was built with.

    `_trainable_variables`: no public attribute has them, and `apply` without variables means these.
    """
    return optimizer._trainable_variables


def all_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of a model and of the models inside it.

    `_flatten_layers`: the public `layers` has those of the first level only.
    """
    return list(model._flatten_layers(include_self=False))


def variable_index(optimizer: keras.optimizers.Optimizer, variable: Any) -> int:
    """Return the place of a variable among those that an optimizer was built with.

    `_get_variable_index`: on a replica the variable is another object, which only Keras's own key finds.
    """
    return optimizer._get_variable_index(variable)


def before_update(optimizer: keras.optimizers.Optimizer, change: Callable[[Any, Any], Any]) -> None:
    """Let `change(gradient, variable)` act on each gradient where an optimizer is about to move the variable.

    The only place that sees the reduced, unscaled and accumulated gradient of a variable is inside the optimizer's
    `apply`, where it calls its `update_step`. On PyTorch some optimizers have `_parallel_update_step` for all variables
    at once and never call `update_step`.
    """
    kind = type(optimizer)

    def update_step(gradient, variable, learning_rate):
        kind.update_step(optimizer, change(gradient, variable), variable, learning_rate)

    def parallel_update_step(gradients, variables, learning_rate):
        changed = [change(*pair) for pair in zip(gradients, variables, strict=True)]
        kind._parallel_update_step(optimizer, changed, variables, learning_rate)

    optimizer.update_step = update_step
    if hasattr(optimizer, "_parallel_update_step"):
        optimizer._parallel_update_step = parallel_update_step


ChangeOfGradients = Callable[[Sequence[Any], Sequence[Any]], list[Any]]


def before_updates(
    optimizer: keras.optimizers.Optimizer, change: ChangeOfGradients, first: bool = False, name: str | None = None
) -> None:
    """Let `change(gradients, variables)` act on all gradients, reduced over replicas, before the updates.

    `_all_reduce_sum_gradients` (TensorFlow) is the only place where one replica has them all; Keras's own clipping by
    the global norm acts before it, on each replica's own gradients. On other backends there is nothing to reduce, and
    `_backend_update_step` has the gradients after their accumulation.

    Args:
        optimizer: The optimizer that makes the updates.
        change: Returns the gradients to go on with.
        first: Whether it acts before those that were given earlier, and not after them.
        name: What it is called; an earlier one of the same name acts no more. Defaults to None, nothing.
    """
    method = "_all_reduce_sum_gradients" if keras.backend.backend() == "tensorflow" else "_backend_update_step"
    hook = vars(optimizer).get(method)
    if hook is None:
        hook = _hook_of_updates(optimizer, changes := [])
        hook.changes = changes
        setattr(optimizer, method, hook)
    hook.changes[:] = [each for each in hook.changes if name is None or each[0] != name]
    hook.changes.insert(0 if first else len(hook.changes), (name, change))


def _hook_of_updates(optimizer: keras.optimizers.Optimizer, changes: list[tuple[str | None, ChangeOfGradients]]) -> Any:
    kind = type(optimizer)

    def changed(gradients, variables):
        for _, change in changes:
            gradients = change(gradients, variables)
        return gradients

    def all_reduce_sum_gradients(grads_and_vars):
        pairs = kind._all_reduce_sum_gradients(optimizer, grads_and_vars)
        gradients, variables = zip(*pairs, strict=True) if pairs else ((), ())
        return list(zip(changed(list(gradients), list(variables)), variables, strict=True))

    def backend_update_step(gradients, variables, learning_rate):
        kind._backend_update_step(optimizer, changed(gradients, variables), variables, learning_rate)

    return all_reduce_sum_gradients if keras.backend.backend() == "tensorflow" else backend_update_step


def trace_steps_anew(model: keras.Model) -> None:
    """Let a `fit` of a model on TensorFlow trace its training step when it comes to the next one, also in its midst.

    `make_train_function(force=True)`: the public way to it, `compile`, makes new metrics and another loss. `fit` looks
    its `train_function` up at each step.
    """
    if model.train_function is not None:
        model.make_train_function(force=True)


def mask_of(tensor: Any) -> Any:
    """Return the mask that a masking layer gave to its output, or None.

    `_keras_mask`: where Keras's losses look for it.
    """
    return getattr(tensor, "_keras_mask", None)


def values_in_fit(model: keras.Model, variables: list[Any]) -> Callable[[], list[Any]]:
    """Return a function that reads variables in the middle of an epoch of `fit` on JAX.

    `_jax_state`, `_jax_state_synced`: `fit` then has the values there, and the variables have none. The public way,
    `Callback.model`, moves all values into the variables and `fit` moves them back, which costs milliseconds a step.
    """
    lists = {
        "trainable_variables": model.trainable_variables,
        "non_trainable_variables": model.non_trainable_variables,
        "optimizer_variables": model.optimizer.variables,
    }
    places = {id(each): (name, place) for name, each_list in lists.items() for place, each in enumerate(each_list)}
    wanted = [places[id(variable)] for variable in variables]

    def read():
        state = getattr(model, "_jax_state", None)
        if not state or model._jax_state_synced:
            return [variable.value for variable in variables]
        return [state[name][place] for name, place in wanted]

    return read


_LEFT = "left_behind"


def let_steps_leave(
    model: keras.Model, ask: Callable[[], Any], begin: Callable[[Any], None], end: Callable[[], Any], keep: Any
) -> None:
    """Let the compiled training steps of a model on JAX be told something, and leave something besides their logs.

    `train_function(state, iterator)`: on JAX a step's values leave it by what it returns alone, which is its logs and
    the state; the former would reach all callbacks, the latter be in all checkpoints. It is made anew around a
    `train_step` of more arguments and results, which `make_train_function` compiles as it finds it, and which nobody
    else sees. `compile` makes an end of it.

    Args:
        model: A compiled model, also in its `fit` before the first step.
        ask: Returns what a step is told, arrays of the same shape each time, before each call.
        begin: Gets that inside of the step.
        end: Returns, inside of the step and at its end, what it leaves.
        keep: Gets that after each call: with `steps_per_execution`, from the last step of several.
    """
    step, own = model.train_step, vars(model).get("train_step")

    def telling_step(state, data):
        told, data = data
        begin(told)
        logs, state = step(state, data)
        return {**logs, _LEFT: end()}, state

    model.train_step = telling_step
    try:
        model.make_train_function(force=True)
    finally:
        del model.train_step
        if own is not None:
            model.train_step = own
    several_steps = model.train_function

    def train_function(state, iterator):
        told = ask()
        logs, state = several_steps(state, ((told, data) for data in iterator))
        keep(logs.pop(_LEFT))
        return logs, state

    model.train_function = train_function


class TrainerOverrides:
    """What has to differ in Keras's TensorFlow trainer for `fit` to be right on replicas.

    It stands before `keras.Model` among the bases of a class. Without a distribution strategy it changes nothing.

    - `_make_function`: with `steps_per_execution` Keras loops inside the graph, where the distributed iterator fails
      with a placeholder error; here the batches are fetched first and the steps unrolled. With several workers Keras
      averages the logs along an axis that scalars do not have.
    - `_maybe_symbolic_build`: with several workers Keras averages a batch of data, which cannot be reduced. The shapes
      of the data set tell the same, and no batch has to be loaded for it.
    - `_loss_tracker`: the loss in the logs, which a train step of one's own has to update.
    """

    def _make_function(self, step_function):
        import tensorflow as tf

        if not self._has_strategy:
            return super()._make_function(step_function)
        strategy = self.distribute_strategy

        def one_step(data):
            present = keras.tree.map_structure(
                lambda leaf: None if isinstance(leaf, tf.experimental.Optional) else leaf, data
            )
            return _mean_over_replicas(strategy, strategy.run(step_function, args=(present,)))

        def first_step(iterator):
            return one_step(iterator.get_next())

        def several_steps(batches):
            for data in batches:
                logs = one_step(data)
            return logs

        if not self.run_eagerly:
            one_step = tf.function(one_step, reduce_retracing=True, autograph=False)
            first_step = tf.function(first_step, reduce_retracing=True, autograph=False)
            several_steps = tf.function(several_steps, reduce_retracing=True, autograph=False)

        def function(iterator):
            distributed = isinstance(iterator, tf.data.Iterator | tf.distribute.DistributedIterator)
            if distributed and self.steps_per_execution == 1:
                return first_step(iterator)
            batches = list(_at_most(self.steps_per_execution, iterator))
            if not batches:
                raise StopIteration
            if len(batches) == self.steps_per_execution:
                return several_steps(batches)
            for data in batches:
                logs = one_step(data)
            return logs

        return function

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        if not self._has_strategy:
            return
        if iterator is not None:
            spec = iterator._distributed_dataset.element_spec
            data_batch = keras.tree.map_structure(_spec_of_one_replica, spec)
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=data_batch)

    @property
    def _has_strategy(self) -> bool:
        """Whether the model was made in the scope of a strategy; `distribute_strategy` always is one."""
        return self._distribute_strategy is not None

    def _track_loss(self, loss: Any, count: Any) -> None:
        """Take the loss of `count` examples into the logs."""
        self._loss_tracker.update_state(loss, sample_weight=count)


def _at_most(count: int, iterator: Any) -> Iterator[Any]:
    """Yield so many batches, or those that are left."""
    for _ in range(count):
        try:
            yield next(iterator)
        except StopIteration:
            return


def _mean_over_replicas(strategy: Any, logs: dict[str, Any]) -> dict[str, Any]:
    import tensorflow as tf

    values = keras.tree.flatten(logs)
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        # One vector: each reduction is a message to every worker.
        stacked = strategy.run(lambda *each: tf.stack([tf.cast(value, tf.float32) for value in each]), args=values)
        means = tf.unstack(strategy.reduce(tf.distribute.ReduceOp.MEAN, stacked, axis=None), num=len(values))
    else:
        means = [tf.reduce_mean(strategy.experimental_local_results(value), axis=0) for value in values]
    return keras.tree.pack_sequence_as(logs, means)


def _spec_of_one_replica(spec: Any) -> Any:
    return getattr(spec, "_value_specs", (spec,))[0]


def strategy_with_its_own_keys(kind: type, base: int, *arguments: Any) -> Any:
    """Return a `tf.distribute` strategy whose collective operations are numbered from `base` on.

    `_collective_key_base`: two strategies in one process number theirs alike, and TensorFlow takes the groups of the
    second one for those of the first: "Shape mismatch in the collective instance", "joining a group with size 4".
    """
    return type(kind.__name__, (kind,), {"_collective_key_base": base})(*arguments)
