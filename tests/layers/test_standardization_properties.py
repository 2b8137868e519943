import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_tricks.layers import ScaledStandardizedConv2D


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 3), st.integers(8, 40), st.integers(1, 5), st.floats(0.1, 100), st.floats(-3, 3), st.integers(0, 99)
)
def test_columns_have_mean_zero_and_norm_one_whatever_their_scale_and_shift(
    size, channels, filters, scale, shift, seed
):
    kernel = np.random.default_rng(seed).standard_normal((size, size, channels, filters))
    layer = ScaledStandardizedConv2D(filters, size, epsilon=1e-12)
    layer.build((None, 9, 9, channels))
    kernels = []
    for value in (kernel, scale * (kernel + shift)):
        layer.kernel.assign(value)
        kernels.append(ops.convert_to_numpy(layer.standardized_kernel()))
    np.testing.assert_allclose(kernels[0].mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose((kernels[0] ** 2).sum((0, 1, 2)), 1, rtol=1e-3)
    np.testing.assert_allclose(kernels[1], kernels[0], atol=2e-4)
