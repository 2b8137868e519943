"""Stochastic gradient descent with momentum, as the papers use it."""

import math
import numbers

import keras
from keras import ops

from keras_tricks.optimizers import on_tensorflow
from keras_tricks.optimizers.path_pattern import (
    checked_patterns,
    matches,
    matches_anywhere,
    shortest_pattern,
    variable_path,
)

NO_BIAS_DECAY = ("bias", "beta", "gamma", "gain", "skip_gain")
"""The variables that the papers do not decay: biases, normalization parameters, gains."""


@keras.saving.register_keras_serializable(package="keras_tricks")
class SGD(keras.optimizers.Optimizer):
    """Descend with momentum on raw gradients and weight decay inside the gradient.

    One step for a variable `w` with gradient `g` is

        g = g + weight_decay * w
        buffer = momentum * buffer + g
        w = w - learning_rate * (g + momentum * buffer)     # nesterov=True
        w = w - learning_rate * buffer                      # nesterov=False

    which is `torch.optim.SGD` with `dampening=0`. It differs from `keras.optimizers.SGD` in two
    ways. The learning rate stays outside the buffer, so a change of the rate acts at once on the
    whole update and not only on the gradients that follow. The weight decay is the L2 form, which
    passes through the momentum: at momentum 0.9 it decays about ten times as much as Keras's
    `weight_decay` of the same value, which is `w -= learning_rate * weight_decay * w`.

    Weight decay and momentum act on the gradient summed over replicas, so training on N replicas
    equals training on one device. The clipping arguments of the base class (`clipnorm`,
    `clipvalue`, `global_clipnorm`) do not: Keras clips each replica's own gradient, before the sum
    and before the weight decay is added.

    Arithmetic is done in float32 or wider, also for float16 and bfloat16 variables; the buffers
    have the variables' own dtype. Sparse gradients are taken as dense ones: momentum and weight
    decay move the rows without a gradient too.

    Args:
        learning_rate: float >= 0, a `keras.optimizers.schedules.LearningRateSchedule`, or a
            callable without arguments. Defaults to 0.1, the papers' rate at batch size 256.
        momentum: float in [0, 1), the share of the buffer that each step keeps. With 0 there is no
            buffer. Defaults to 0.9.
        nesterov: bool, whether to look ahead along the buffer. Needs `momentum > 0`. Defaults to
            `True`.
        weight_decay: float >= 0, the L2 coefficient. Kept as `coupled_weight_decay`: the
            base class's attribute `weight_decay`, the decoupled form, stays `None`. Defaults to 0;
            the papers use 1e-4 (ResNet) and 2e-5 (NFNet).
        no_decay: tuple of strings, the variables without weight decay. Each names whole components
            at the end of a variable's path: `"bias"` every bias, `"fc/kernel"` the kernel of
            every layer called `fc`; part of a component never matches. A leading `/` asks for the
            whole path. `NO_BIAS_DECAY` is the papers' choice. Defaults to `()`.
        rate_multipliers: dict from strings to floats > 0, what the learning rate is multiplied by for the variables
            that each string names, decay and momentum included: as if they had an optimizer of their own. A string
            names whole components anywhere in a variable's path, with `*` for any characters of one: `"predictions"`
            every variable of that layer, `"head_*/kernel"` the kernels of the layers whose names begin so, `"*"` all.
            The first that matches counts; a variable that none names keeps the rate. Defaults to `None`, no others.
        name: string, the name of the optimizer. Defaults to `"sgd"`.
        **kwargs: the other arguments of `keras.optimizers.Optimizer`: `clipnorm`, `clipvalue`,
            `global_clipnorm`, `use_ema`, `ema_momentum`, `ema_overwrite_frequency`,
            `loss_scale_factor`, `gradient_accumulation_steps`.

    Raises:
        ValueError: if an argument is out of range, `no_decay` is not a tuple of path endings, or `rate_multipliers`
            not a dict from paths to floats.

    Example:

        optimizer = SGD(0.1, weight_decay=1e-4, no_decay=NO_BIAS_DECAY, rate_multipliers={"predictions": 10.0})
        model.compile(optimizer, loss="categorical_crossentropy")

    Source: He et al. 2018, arXiv 1812.01187, sections 2.1 and 3.1; Brock et al. 2021,
    arXiv 2102.06171, section 5.1 and appendix A.
    """

    def __init__(
        self,
        learning_rate=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=0.0,
        no_decay=(),
        rate_multipliers=None,
        name="sgd",
        **kwargs,
    ):
        if isinstance(learning_rate, numbers.Real) and not isinstance(learning_rate, bool):
            # The base class takes no integers and no NumPy scalars.
            learning_rate = float(learning_rate)
            if not 0 <= learning_rate < math.inf:
                raise ValueError(
                    f"Expected `learning_rate` to be finite and >= 0. Received: learning_rate={learning_rate}"
                )
        if not isinstance(momentum, numbers.Real) or not 0 <= momentum < 1:
            raise ValueError(f"Expected `momentum` to be a float in [0, 1). Received: momentum={momentum}")
        if not isinstance(nesterov, bool):
            raise ValueError(f"Expected `nesterov` to be a bool. Received: nesterov={nesterov}")
        if nesterov and momentum == 0:
            raise ValueError(
                "Expected `momentum` > 0 with `nesterov=True`; pass `nesterov=False` for descent "
                f"without momentum. Received: momentum={momentum}"
            )
        if not isinstance(weight_decay, numbers.Real) or not 0 <= weight_decay < math.inf:
            raise ValueError(
                f"Expected `weight_decay` to be a finite float >= 0. Received: weight_decay={weight_decay}"
            )
        super().__init__(learning_rate, name=name, **kwargs)
        self.momentum = float(momentum)
        self.nesterov = nesterov
        self.coupled_weight_decay = float(weight_decay)
        self.no_decay = checked_patterns(no_decay, "no_decay")
        self.rate_multipliers = _checked_multipliers(rate_multipliers)
        self._excluded = set()

    def build(self, variables):
        """Create the momentum buffers and settle which variables decay.

        Args:
            variables: list of variables, those that will be trained.
        """
        if self.built:
            return
        super().build(variables)
        self.momentum_buffers = self.add_optimizer_variables(variables, "momentum") if self.momentum else []
        keys = [(id(variable), variable_path(variable)) for variable in variables]
        decaying_paths = [key[1] for key in keys if key not in self._excluded and not self._named(key[1])]
        for key in keys:
            if key in self._excluded and not self._named(key[1]):
                # As a pattern the choice survives saving; the variable itself would not.
                self.no_decay = (*self.no_decay, shortest_pattern(key[1], decaying_paths))
        self._excluded = set()
        self._decays = tuple(self.coupled_weight_decay > 0 and not self._named(path) for _, path in keys)
        self._multipliers = tuple(self._multiplier(path) for _, path in keys)

    def update_step(self, gradient, variable, learning_rate):
        """Move one variable by its gradient, summed over replicas and unscaled."""
        index = self._get_variable_index(variable)
        dtype = keras.backend.result_type(variable.dtype, "float32")
        if self._multipliers[index] != 1:
            learning_rate = ops.multiply(ops.cast(learning_rate, dtype), self._multipliers[index])
        update = ops.cast(gradient, dtype)
        if self._decays[index]:
            decay = ops.multiply(ops.cast(variable, dtype), self.coupled_weight_decay)
            update = ops.add(decay, update)
        if self.momentum:
            gradient = update
            buffer = self.momentum_buffers[index]
            same_dtype = dtype == keras.backend.standardize_dtype(variable.dtype)
            if keras.backend.backend() == "tensorflow" and same_dtype:
                on_tensorflow.apply_momentum(variable, buffer, update, learning_rate, self.momentum, self.nesterov)
                return
            update = ops.add(ops.multiply(ops.cast(buffer, dtype), self.momentum), gradient)
            self.assign(buffer, update)
            if self.nesterov:
                update = ops.add(ops.multiply(update, self.momentum), gradient)
        self.assign_sub(variable, ops.multiply(update, ops.cast(learning_rate, dtype)))

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Add variables to those without weight decay, before the optimizer is built.

        Keras's own method compares `var_names` with the last component of the path only. Here they
        are patterns as in `no_decay`. When the optimizer is built, each variable of `var_list` that
        is trained becomes a pattern of `no_decay`, so that a saved optimizer remembers it.

        Args:
            var_list: list of variables to exclude, or `None`.
            var_names: list of path endings to exclude, as in `no_decay`, or `None`.

        Raises:
            ValueError: if the optimizer is already built, or `var_names` are not path endings.
        """
        if self.built:
            raise ValueError(
                "Expected `exclude_from_weight_decay` to be called before the optimizer is built. "
                f"Received: built={self.built}"
            )
        patterns = checked_patterns(var_names if var_names is not None else (), "var_names")
        self.no_decay = (*self.no_decay, *patterns)
        self._excluded = self._excluded.union((id(variable), variable_path(variable)) for variable in var_list or ())

    def get_config(self):
        """Return the arguments that make an equal optimizer, without its state."""
        config = super().get_config()
        waiting = sorted(path for _, path in self._excluded if not self._named(path))
        config.update(
            {
                "momentum": self.momentum,
                "nesterov": self.nesterov,
                "weight_decay": self.coupled_weight_decay,
                "no_decay": [*self.no_decay, *waiting],
                "rate_multipliers": dict(self.rate_multipliers),
            }
        )
        return config

    def _named(self, path):
        return any(matches(path, pattern) for pattern in self.no_decay)

    def _multiplier(self, path):
        return next((value for pattern, value in self.rate_multipliers.items() if matches_anywhere(path, pattern)), 1.0)


def _checked_multipliers(multipliers):
    """Return a dict from wildcard patterns to floats, or raise if it is none."""
    multipliers = {} if multipliers is None else multipliers
    if not isinstance(multipliers, dict) or not all(
        isinstance(pattern, str)
        and all(pattern.split("/"))
        and isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and 0 < value < math.inf
        for pattern, value in multipliers.items()
    ):
        raise ValueError(
            "Expected `rate_multipliers` to be a dict from parts of paths to finite floats > 0, such as "
            f"{{'predictions': 10.0}}. Received: rate_multipliers={multipliers!r}"
        )
    return {pattern: float(value) for pattern, value in multipliers.items()}
