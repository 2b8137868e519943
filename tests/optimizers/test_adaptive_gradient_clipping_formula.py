from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_tricks.optimizers.adaptive_gradient_clipping import clip_gradient

pytestmark = pytest.mark.backend

FIXTURE = Path(__file__).parents[1] / "parity" / "fixtures" / "agc.npz"
UNIT_AXES = {
    "conv/kernel": (0, 1, 2),
    "pointwise/kernel": (0, 1, 2),
    "depthwise/kernel": (0, 1),
    "zeros/kernel": (0, 1, 2),
    "fc/kernel": (0,),
    "fc/bias": (0,),
    "skip/gain": (),
}


def numpy_of(each):
    return ops.convert_to_numpy(ops.cast(ops.convert_to_tensor(each), "float32"))


def tensor(value, dtype="float32"):
    return ops.convert_to_tensor(np.asarray(value, dtype="float32"), dtype=dtype)


def unit_norm(value, axes):
    return np.sqrt(np.sum(np.square(np.asarray(value, "float64")), axis=axes, keepdims=True))


def formula(gradient, weight, axes, clipping=0.01, eps=1e-3):
    bound = clipping * np.maximum(unit_norm(weight, axes), eps)
    norm = unit_norm(gradient, axes)
    return np.where(norm > bound, gradient * bound / np.maximum(norm, 1e-6), gradient)


@pytest.mark.parametrize("clipping", [0.01, 0.08])
def test_equals_timm(clipping):
    with np.load(FIXTURE) as fixture:
        stored = dict(fixture)
    for name, axes in UNIT_AXES.items():
        weight, gradient = stored[f"weight:{name}"], stored[f"gradient:{name}"]
        expected = stored[f"clipped:{clipping}:{name}"]
        clipped = numpy_of(clip_gradient(tensor(gradient), tensor(weight), axes, clipping))
        np.testing.assert_allclose(clipped, expected, rtol=2e-6, atol=1e-9, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(
    clipping=st.floats(2e-3, 10),
    eps=st.floats(1e-3, 1),
    gradient_scale=st.floats(-6, 6),
    weight_scale=st.floats(-6, 3),
    seed=st.integers(0, 2**16),
)
def test_clipped_norms_stay_under_the_bound_and_clipping_again_changes_nothing(
    clipping, eps, gradient_scale, weight_scale, seed
):
    generator = np.random.default_rng(seed)
    axes = (0, 1, 2)
    gradient = generator.normal(size=(2, 2, 3, 4)) * 10**gradient_scale
    weight = tensor(generator.normal(size=(2, 2, 3, 4)) * 10**weight_scale * generator.integers(0, 2, 4))
    once = clip_gradient(tensor(gradient), weight, axes, clipping, eps)
    bound = clipping * np.maximum(unit_norm(numpy_of(weight), axes), eps)
    assert np.all(unit_norm(numpy_of(once), axes) <= bound * (1 + 1e-5))
    np.testing.assert_allclose(numpy_of(once), formula(gradient, numpy_of(weight), axes, clipping, eps), rtol=1e-4)
    twice = clip_gradient(once, weight, axes, clipping, eps)
    np.testing.assert_allclose(numpy_of(twice), numpy_of(once), rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(factor=st.floats(0.01, 100), seed=st.integers(0, 2**16))
def test_clipping_follows_the_scale_of_weight_and_gradient(factor, seed):
    generator = np.random.default_rng(seed)
    gradient, weight = generator.normal(size=(5, 4)), generator.normal(size=(5, 4))
    plain = clip_gradient(tensor(gradient), tensor(weight), (0,))
    scaled = clip_gradient(tensor(gradient * factor), tensor(weight * factor), (0,))
    np.testing.assert_allclose(numpy_of(scaled), factor * numpy_of(plain), rtol=1e-5)
    larger = clip_gradient(tensor(gradient * (1 + factor)), tensor(weight), (0,))
    np.testing.assert_allclose(numpy_of(larger), numpy_of(plain), rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(-6, 6), seed=st.integers(0, 2**16))
def test_a_huge_clipping_changes_nothing(scale, seed):
    generator = np.random.default_rng(seed)
    gradient = tensor(generator.normal(size=(5, 4)) * 10**scale)
    clipped = clip_gradient(gradient, tensor(generator.normal(size=(5, 4))), (0,), clipping=1e30)
    np.testing.assert_array_equal(numpy_of(clipped), numpy_of(gradient))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 2e-3), ("bfloat16", 1e-2)])
def test_half_precision_is_clipped_in_float32(dtype, tolerance):
    # The square of 300 is no float16.
    gradient, weight = np.full((5, 2), 300.0), np.linspace(0.5, 1, 10).reshape(5, 2)
    clipped = clip_gradient(tensor(gradient, dtype), tensor(weight, dtype), (0,))
    assert keras.backend.standardize_dtype(clipped.dtype) == dtype
    np.testing.assert_allclose(numpy_of(clipped), formula(gradient, weight, (0,)), rtol=tolerance)
