"""Convolution with scaled weight standardization."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import keras
from keras import ops

from keras_tricks.layers import on_tensorflow

_EPSILON_MODES = ("floor", "add")


@keras.saving.register_keras_serializable(package="keras_tricks")
class ScaledStandardizedConv2D(keras.layers.Conv2D):
    """Convolve with a kernel that is standardized for each output channel, without a normalization layer.

    The kernel `W` that is stored and trained stays as it is. What convolves is

        scale * gain * (W - mean) / sqrt(max(variance * fan_in, epsilon))       # epsilon_mode="floor"
        scale * gain * (W - mean) / sqrt((variance + epsilon) * fan_in)         # epsilon_mode="add"

    with the mean and the (biased) variance over height, width and input channels of each output channel,
    and `fan_in` the number of these, of one group. An input with mean 0 and variance 1 so gives an
    output of variance 1 at any width, and the mean shift that activations cause is removed. There is always a
    bias, and one learned `gain` for each output channel.

    The statistics are computed in float32 also under `mixed_float16` and in float16; the kernel is then
    cast to the compute type.

    Args:
        filters: Number of output channels.
        kernel_size: Height and width of the kernel, an integer or two.
        strides: Integer or two. Defaults to 1.
        padding: `"valid"`; `"same"`, which pads the end of an even image more where it is strided, as in the
            original networks; or `"symmetric"`, zeros evenly on both sides, `dilation * (kernel - 1) // 2` of them, as
            in PyTorch. Defaults to `"valid"`.
        groups: Number of groups that the channels are split into. Defaults to 1.
        epsilon: Number above 0 that keeps constant kernels finite. Defaults to 1e-4, as published.
        epsilon_mode: `"floor"`, the original; or `"add"`, as in timm, with an epsilon of 1e-5 or 1e-6 there. Defaults
            to `"floor"`.
        scale: Constant that the standardized kernel is multiplied by. The gamma of the activation before it
            may stand here. Defaults to 1.
        split_groups: Whether a grouped convolution is computed as one convolution for each group, and
            these concatenated. The results are equal. Defaults to None: on TensorFlow without a GPU, where the
            built-in grouped convolution is some 25 times slower.
        gain_initializer: Initializer of the gain. Defaults to `"ones"`.
        kernel_initializer: Initializer of the kernel. Defaults to None, a normal distribution of variance
            1 / fan in, as published.
        **kwargs: The other arguments of `keras.layers.Conv2D`, but no `use_bias`.

    Shapes:
        `(batch, height, width, channels)` to `(batch, new height, new width, filters)`.

    Raises:
        ValueError: If an argument is out of range.

    Example:

        x = ScaledStandardizedConv2D(128, 3, padding="same", groups=4)(x)

    Source: Brock et al. 2021, arXiv 2101.08692, section 4.2; Brock et al. 2021, arXiv 2102.06171, section 2 and
    the code of its appendix D.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        padding: str = "valid",
        groups: int = 1,
        epsilon: float = 1e-4,
        epsilon_mode: str = "floor",
        scale: float = 1.0,
        split_groups: bool | None = None,
        gain_initializer: Any = "ones",
        kernel_initializer: Any = None,
        **kwargs: Any,
    ):
        for name, value in (("epsilon", epsilon), ("scale", scale)):
            if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < math.inf:
                raise ValueError(f"Expected {name} to be a finite number above 0. Received: {name}={value!r}")
        if epsilon_mode not in _EPSILON_MODES:
            raise ValueError(f"Expected epsilon_mode to be 'floor' or 'add'. Received: epsilon_mode={epsilon_mode!r}")
        if split_groups not in (None, True, False):
            raise ValueError(f"Expected split_groups to be None or a bool. Received: split_groups={split_groups!r}")
        if "use_bias" in kwargs:
            raise ValueError(f"Expected no use_bias: there always is one. Received: use_bias={kwargs['use_bias']!r}")
        symmetric = padding == "symmetric"
        super().__init__(
            filters,
            kernel_size,
            strides=strides,
            padding="valid" if symmetric else padding,
            groups=groups,
            kernel_initializer=kernel_initializer
            or keras.initializers.VarianceScaling(1.0, mode="fan_in", distribution="untruncated_normal"),
            **kwargs,
        )
        self.symmetric = symmetric
        self.epsilon = float(epsilon)
        self.epsilon_mode = epsilon_mode
        self.scale = float(scale)
        self.split_groups = split_groups
        self.gain_initializer = keras.initializers.get(gain_initializer)

    def build(self, input_shape: Any) -> None:
        """Create kernel, bias and gain."""
        super().build(input_shape)
        self.gain = self.add_weight(shape=(self.filters,), initializer=self.gain_initializer, name="gain")

    def add_weight(self, *args: Any, autocast: bool = False, **kwargs: Any) -> Any:
        """Add a weight that mixed precision leaves in its own type, for the statistics."""
        return super().add_weight(*args, autocast=autocast, **kwargs)

    def standardized_kernel(self) -> Any:
        """Return the kernel that convolves, in float32 or wider."""
        dtype = "float32" if self.kernel.dtype in ("float16", "bfloat16") else self.kernel.dtype
        kernel, gain = ops.cast(self.kernel, dtype), ops.cast(self.gain, dtype) * self.scale
        shape = kernel.shape
        fan_in = math.prod(shape[:-1])
        kernel = ops.reshape(kernel, (fan_in, self.filters))
        if keras.backend.backend() == "tensorflow":
            return ops.reshape(on_tensorflow.standardize(kernel, gain, self.epsilon, self.epsilon_mode), shape)
        centred = kernel - ops.mean(kernel, axis=0)
        variance = ops.mean(ops.square(centred), axis=0)
        if self.epsilon_mode == "floor":
            denominator = ops.maximum(variance * fan_in, self.epsilon)
        else:
            denominator = (variance + self.epsilon) * fan_in
        return ops.reshape(centred * (ops.rsqrt(denominator) * gain), shape)

    def call(self, inputs: Any) -> Any:
        """Return the convolution with the standardized kernel, plus the bias."""
        kernel = ops.cast(self.standardized_kernel(), self.compute_dtype)
        if self.symmetric:
            inputs = ops.pad(inputs, self._padding())
        outputs = self._convolve(inputs, kernel)
        bias = ops.cast(self.bias, self.compute_dtype)
        if keras.backend.backend() == "tensorflow":
            outputs = on_tensorflow.add_bias(outputs, bias, self.data_format)
        elif self.data_format == "channels_last":
            outputs = outputs + bias
        else:
            outputs = outputs + ops.reshape(bias, (1, self.filters, 1, 1))
        return outputs if self.activation is None else self.activation(outputs)

    def _convolve(self, inputs: Any, kernel: Any) -> Any:
        if self.groups == 1 or not self._splits_groups():
            return self.convolution_op(inputs, kernel)
        axis = -1 if self.data_format == "channels_last" else 1
        parts = zip(ops.split(inputs, self.groups, axis), ops.split(kernel, self.groups, -1), strict=True)
        return ops.concatenate([self.convolution_op(*part) for part in parts], axis)

    def _splits_groups(self) -> bool:
        if self.split_groups is not None:
            return self.split_groups
        return keras.backend.backend() == "tensorflow" and on_tensorflow.on_cpu()

    def _padding(self) -> tuple[tuple[int, int], ...]:
        sides = [(d * (k - 1) // 2,) * 2 for d, k in zip(self.dilation_rate, self.kernel_size, strict=True)]
        return ((0, 0), *sides, (0, 0)) if self.data_format == "channels_last" else ((0, 0), (0, 0), *sides)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the outputs."""
        if self.symmetric:
            grown = [
                None if size is None else size + sum(sides)
                for size, sides in zip(input_shape, self._padding(), strict=True)
            ]
            input_shape = tuple(grown)
        return super().compute_output_shape(input_shape)

    def save_own_variables(self, store: dict[str, Any]) -> None:
        """Save kernel, bias and gain; `Conv2D` knows no gain."""
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store: dict[str, Any]) -> None:
        """Load kernel, bias and gain."""
        keras.layers.Layer.load_own_variables(self, store)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        config = {
            **super().get_config(),
            "epsilon": self.epsilon,
            "epsilon_mode": self.epsilon_mode,
            "scale": self.scale,
            "split_groups": self.split_groups,
            "gain_initializer": keras.initializers.serialize(self.gain_initializer),
        }
        if self.symmetric:
            config["padding"] = "symmetric"
        del config["use_bias"]
        return config
