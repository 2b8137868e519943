"""Adaptive gradient clipping around any Keras optimizer."""

import math
import numbers

import keras
from keras import ops

from keras_tricks.keras_private import before_update, variable_index
from keras_tricks.optimizers import on_tensorflow
from keras_tricks.optimizers.path_pattern import checked_patterns, matches, variable_path
from keras_tricks.optimizers.wrapping_optimizer import WrappingOptimizer

_SMALLEST_NORM = 1e-6


def clip_gradient(gradient, weight, axes, clipping=0.01, eps=1e-3):
    """Scale each unit's gradient so that its norm is at most `clipping` times the norm of the unit's weights.

    The arithmetic is done in float32 or wider; a sparse gradient is made dense.

    Args:
        gradient: tensor, the gradient of `weight`.
        weight: tensor or variable, of any floating dtype.
        axes: tuple of ints, the axes that make up one unit. The norm is taken over them, one norm for each place along
            the other axes. All axes: the tensor is one unit.
        clipping: float > 0, the largest ratio of the two norms. Defaults to 0.01.
        eps: float > 0, the smallest norm that a unit's weights count with. Defaults to 1e-3.

    Returns:
        Tensor with the shape and dtype of `gradient`.
    """
    if hasattr(gradient, "dense_shape"):
        # A sum with zeros adds up the rows that TensorFlow's sparse gradients repeat.
        gradient = ops.add(ops.zeros(weight.shape, gradient.dtype), gradient)
    dtype = keras.backend.result_type(weight.dtype, "float32")
    wide = ops.cast(gradient, dtype)
    # Where no norm is small enough to meet the two floors at once, the smaller of two factors is the formula.
    if keras.backend.backend() == "tensorflow" and clipping * eps >= _SMALLEST_NORM and _is_plain(weight, axes):
        factor = on_tensorflow.unit_scale(wide, ops.cast(weight, dtype), clipping, eps, _SMALLEST_NORM)
        return ops.cast(ops.multiply(wide, factor), gradient.dtype)
    bound = ops.multiply(ops.maximum(_norm(ops.cast(weight, dtype), axes), eps), clipping)
    norm = _norm(wide, axes)
    scale = ops.where(ops.greater(norm, bound), ops.divide(bound, ops.maximum(norm, _SMALLEST_NORM)), 1.0)
    return ops.cast(ops.multiply(wide, scale), gradient.dtype)


@keras.saving.register_keras_serializable(package="keras_tricks")
class AdaptiveGradientClipping(WrappingOptimizer):
    """Clip each unit's gradient relative to the norm of its weights, then let another optimizer use it.

    For a unit with weights `W` and gradient `G`, `bound = clipping * max(|W|, eps)`, and if `|G| > bound`

        G = G * bound / max(|G|, 1e-6)

    A unit is what makes one output of a layer:

    | variable | a unit |
    | --- | --- |
    | at most one axis longer than 1: biases, gains, gamma, beta | the whole tensor |
    | dense kernel `(in, out)` | a column: the norm is over axis 0 |
    | multi-head kernel `(in, heads, size)` | over axis 0, as in the published code |
    | convolution kernel `(height, width, in, out)`, also 3D | over all axes but the last |
    | depthwise kernel `(height, width, channels, multiplier)` | over axes 0 and 1 |

    A kernel counts as depthwise if its name is `depthwise_kernel` or if it has four axes of which the last has length
    1: Keras calls the kernel of a `DepthwiseConv2D` just `kernel`, and multiplier 1 is what networks use. `unit_axes`
    says otherwise for single variables, such as those of a `Conv1D` or of a depthwise convolution with a larger
    multiplier.

    The clipping acts on the gradient that the inner optimizer is about to use: summed over replicas, free of loss
    scaling, averaged over accumulated steps, after Keras's own `clipnorm` and the like if the inner optimizer has them.
    Weight decay and momentum see the clipped gradient and are not clipped themselves; where Keras decays weights apart
    from the gradient (`AdamW`), it does so once, before the norms are taken. Everything else (learning rate, schedule,
    averages, accumulation, state) is the inner optimizer's, which belongs to this one from then on and clips also when
    called directly. In half precision the loss scaling goes outside, as `compile` does by itself:
    `LossScaleOptimizer(AdaptiveGradientClipping(SGD()))`.

    Args:
        inner_optimizer: the `keras.optimizers.Optimizer` to clip for, such as `SGD` or `AdamW`. Not a
            `LossScaleOptimizer` or `MultiOptimizer`, which go outside.
        clipping: float > 0, the largest ratio of a unit's gradient norm to its weight norm. Defaults to 0.01, the
            paper's value at batch size 4096; smaller batches take more, 0.02 to 0.08 at 1024 to 256.
        eps: float > 0, the smallest norm that a unit's weights count with, so that weights that start at zero can
            move. Defaults to 1e-3.
        no_clipping: tuple of strings, the variables that are not clipped. Each names whole components at the end of a
            variable's path: `"bias"` every bias, `"fc/kernel"` the kernel of every layer called `fc`. A leading `/`
            asks for the whole path. Each must match a variable. Defaults to `("predictions/kernel",)`, the kernel of
            the classifier in our models and in `keras.applications`, which the paper leaves alone. Name that of
            another model, or pass `()` to clip every variable.
        unit_axes: dict from such a path ending to a tuple of ints >= 0, the axes that make up one unit. The first
            ending that matches counts. Defaults to `None`, the table above.
        name: string, the name of the optimizer. Defaults to `"adaptive_gradient_clipping"`.

    Raises:
        ValueError: if an argument is out of range, `inner_optimizer` cannot be clipped for, or, when the optimizer is
            built, an entry of `no_clipping` or `unit_axes` matches no variable.

    Example:

        optimizer = AdaptiveGradientClipping(SGD(1.6, weight_decay=2e-5, no_decay=NO_BIAS_DECAY), clipping=0.01)
        model.compile(optimizer, loss="categorical_crossentropy")

    Source: Brock et al. 2021, arXiv 2102.06171, section 4.1 and appendix A.
    """

    def __init__(
        self,
        inner_optimizer,
        clipping=0.01,
        eps=1e-3,
        no_clipping=("predictions/kernel",),
        unit_axes=None,
        name="adaptive_gradient_clipping",
    ):
        if not _can_be_clipped(inner_optimizer):
            raise ValueError(
                "Expected `inner_optimizer` to be a Keras optimizer with an update of its own, such as SGD or AdamW; "
                "LossScaleOptimizer and MultiOptimizer go outside of AdaptiveGradientClipping. "
                f"Received: inner_optimizer={inner_optimizer!r}"
            )
        for argument, value in (("clipping", clipping), ("eps", eps)):
            if not isinstance(value, numbers.Real) or not 0 < value < math.inf:
                raise ValueError(f"Expected `{argument}` to be a finite float > 0. Received: {argument}={value!r}")
        super().__init__(inner_optimizer, name=name)
        self.clipping = float(clipping)
        self.eps = float(eps)
        self.no_clipping = checked_patterns(no_clipping, "no_clipping")
        self._unit_axes = _checked_axes(unit_axes)
        before_update(inner_optimizer, self._clipped)

    def _clipped(self, gradient, variable):
        axes = self._axes[variable_index(self, variable)]
        return gradient if axes is None else clip_gradient(gradient, variable, axes, self.clipping, self.eps)

    def clipped_shares(self, gradients, variables):
        """Return which share of the units of each clipped variable has a gradient that is too large.

        Args:
            gradients: list of gradients as the inner optimizer is about to use them, before this clipping, or `None`.
            variables: list of their variables.

        Returns:
            Dict from the path of a variable to a float32 scalar from 0 to 1, without variables that are not clipped.
        """
        shares = {}
        for gradient, variable in zip(gradients, variables, strict=True):
            index = variable_index(self, variable)
            axes = self._axes[index]
            if gradient is None or axes is None:
                continue
            dtype = keras.backend.result_type(variable.dtype, "float32")
            wide = ops.cast(ops.convert_to_tensor(gradient), dtype)
            bound = ops.multiply(ops.maximum(_norm(ops.cast(variable, dtype), axes), self.eps), self.clipping)
            shares[self._paths[index]] = ops.mean(ops.cast(ops.greater(_norm(wide, axes), bound), "float32"))
        return shares

    def build(self, variables):
        """Build the inner optimizer and settle what a unit is in each variable.

        Args:
            variables: list of variables, those that will be trained.
        """
        if self.built:
            return
        paths = [variable_path(variable) for variable in variables]
        for pattern in (*self.no_clipping, *(pattern for pattern, _ in self._unit_axes)):
            if not any(matches(path, pattern) for path in paths):
                kernels = [path for path, each in zip(paths, variables, strict=True) if len(each.shape) > 1]
                raise ValueError(
                    "Expected each entry of `no_clipping` and `unit_axes` to match a variable that is trained. Name "
                    f"the kernel of the classifier in `no_clipping` (the last kernels are {kernels[-3:]}), or pass "
                    f"no_clipping=() to clip every variable. Received: {pattern!r}, which matches none"
                )
        self._axes = tuple(
            None if any(matches(path, pattern) for pattern in self.no_clipping) else self._axes_of(path, each.shape)
            for path, each in zip(paths, variables, strict=True)
        )
        self._paths = tuple(paths)
        super().build(variables)

    def _axes_of(self, path, shape):
        rank = len(shape)
        named = [axes for pattern, axes in self._unit_axes if matches(path, pattern)]
        if named:
            if max(named[0]) >= rank:
                raise ValueError(
                    f"Expected `unit_axes` of {path!r} to be below its {rank} axes. Received: unit_axes={named[0]}"
                )
            return named[0]
        if sum(length > 1 for length in shape) <= 1:
            return tuple(range(rank))
        if matches(path, "depthwise_kernel") or (rank == 4 and shape[-1] == 1):
            return (0, 1)
        return (0,) if rank <= 3 else tuple(range(rank - 1))

    def get_config(self):
        """Return the arguments that make an equal optimizer, without its state."""
        return {
            **super().get_config(),
            "clipping": self.clipping,
            "eps": self.eps,
            "no_clipping": list(self.no_clipping),
            "unit_axes": {pattern: list(axes) for pattern, axes in self._unit_axes},
        }


def _is_plain(weight, axes):
    """Return whether a unit is a whole vector, or a place along the last axis."""
    vector = sum(length > 1 for length in weight.shape) <= 1
    return len(axes) == len(weight.shape) if vector else axes == tuple(range(len(weight.shape) - 1))


def _norm(tensor, axes):
    return ops.sqrt(ops.sum(ops.square(tensor), axes, keepdims=True))


def _can_be_clipped(optimizer):
    return (
        isinstance(optimizer, keras.optimizers.Optimizer)
        and not isinstance(optimizer, AdaptiveGradientClipping)
        and type(optimizer).update_step is not keras.optimizers.Optimizer.update_step
    )


def _checked_axes(unit_axes):
    """Return pairs of a path ending and its axes, or raise if they are not."""
    unit_axes = {} if unit_axes is None else unit_axes
    if not isinstance(unit_axes, dict) or not all(
        isinstance(axes, list | tuple) and axes and all(isinstance(axis, int) and axis >= 0 for axis in axes)
        for axes in unit_axes.values()
    ):
        raise ValueError(
            "Expected `unit_axes` to be a dict from a path ending to a tuple of axes >= 0, such as "
            f"{{'depthwise/kernel': (0, 1)}}. Received: unit_axes={unit_axes!r}"
        )
    checked_patterns(tuple(unit_axes), "unit_axes")
    return tuple((pattern, tuple(axes)) for pattern, axes in unit_axes.items())
