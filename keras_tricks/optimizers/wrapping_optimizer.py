"""WrappingOptimizer: the base of optimizers that change gradients for another one."""

import keras


class WrappingOptimizer(keras.optimizers.Optimizer):
    """Leave everything to an inner optimizer.

    Learning rate, schedule, averages, accumulation, state and counter are the inner optimizer's; this one has none.

    Args:
        inner_optimizer: the `keras.optimizers.Optimizer` that makes the steps. It belongs to this one from then on.
        name: string, the name of the optimizer.
    """

    def __init__(self, inner_optimizer, name):
        # The rate and the counter of the base class stay unused.
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer

    def build(self, variables):
        """Build the inner optimizer.

        Args:
            variables: list of variables, those that will be trained.
        """
        if self.built:
            return
        self.inner_optimizer.build(variables)
        super().build(variables)

    def apply(self, grads, trainable_variables=None):
        """Let the inner optimizer apply the gradients."""
        if trainable_variables is not None and not self.built:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
        self.inner_optimizer.apply(grads, trainable_variables)

    def apply_gradients(self, grads_and_vars):
        """Apply pairs of a gradient and its variable, and return the inner optimizer's counter."""
        gradients, variables = zip(*grads_and_vars, strict=True)
        self.apply(gradients, variables)
        return self.iterations

    def stateless_apply(self, optimizer_variables, grads, trainable_variables):
        """Return the variables and the state after a step, without changing them."""
        return self.inner_optimizer.stateless_apply(optimizer_variables, grads, trainable_variables)

    @property
    def variables(self):
        """The inner optimizer's variables; this one has no state."""
        return self.inner_optimizer.variables

    @property
    def iterations(self):
        """The inner optimizer's count of steps."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self):
        """The inner optimizer's learning rate."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def loss_scale_factor(self):
        """The inner optimizer's fixed loss scale, which a `LossScaleOptimizer` switches off."""
        return self.inner_optimizer.loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, factor):
        # The base class sets its default before there is an inner optimizer.
        if hasattr(self, "inner_optimizer"):
            self.inner_optimizer.loss_scale_factor = factor

    def scale_loss(self, loss):
        """Scale the loss as the inner optimizer does."""
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list):
        """Set the inner optimizer's final values, such as its averages."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def set_weights(self, weights):
        """Set the inner optimizer's state."""
        self.inner_optimizer.set_weights(weights)

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Exclude variables from the inner optimizer's weight decay."""
        self.inner_optimizer.exclude_from_weight_decay(var_list=var_list, var_names=var_names)

    def get_config(self):
        """Return the arguments that make an equal optimizer, without its state."""
        return {"name": self.name, "inner_optimizer": keras.saving.serialize_keras_object(self.inner_optimizer)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Make an optimizer from the result of `get_config`."""
        config = dict(config)
        inner = keras.saving.deserialize_keras_object(config.pop("inner_optimizer"), custom_objects=custom_objects)
        return cls(inner, **config)
