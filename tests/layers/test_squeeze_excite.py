import numpy as np
import pytest
from keras import ops

from keras_tricks.layers import SqueezeExcite

pytestmark = pytest.mark.backend


@pytest.mark.parametrize(("ratio", "hidden"), [(0.5, 3), (0.4, 2), (1 / 16, 1)])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_output_is_the_formula(scale, ratio, hidden):
    draw = np.random.default_rng(0).standard_normal
    images = draw((3, 4, 5, 6)).astype("float32")
    layer, gate = SqueezeExcite(ratio, scale=scale), SqueezeExcite(ratio, scale=scale, gate_only=True)
    for each in (layer, gate):
        each.build(images.shape)
    weights = [draw(weight.shape) for weight in layer.weights]
    assert [weight.shape for weight in weights] == [(6, hidden), (hidden,), (hidden, 6), (6,)]
    layer.set_weights(weights)
    gate.set_weights(weights)
    squeezed = np.maximum(images.mean((1, 2)) @ weights[0] + weights[1], 0) @ weights[2] + weights[3]
    expected = scale / (1 + np.exp(-squeezed))[:, None, None, :]
    for each, value in ((gate, expected), (layer, expected * images)):
        outputs = ops.convert_to_numpy(each(images))
        np.testing.assert_allclose(outputs, value, rtol=1e-4, atol=1e-5)
        assert outputs.shape == each.compute_output_shape(images.shape)


def test_with_scale_two_a_gate_is_about_one_at_the_start():
    images = np.random.default_rng(1).standard_normal((2, 8, 8, 32)).astype("float32")
    gate = ops.convert_to_numpy(SqueezeExcite(scale=2.0, gate_only=True)(images))
    np.testing.assert_allclose(gate, 1, atol=0.2)


def test_weights_have_names():
    layer = SqueezeExcite(name="se")
    layer.build((None, None, None, 8))
    assert [weight.path for weight in layer.weights] == [
        "se/fc1/kernel",
        "se/fc1/bias",
        "se/fc2/kernel",
        "se/fc2/bias",
    ]


def test_config_round_trip():
    layer = SqueezeExcite(0.25, scale=2.0, gate_only=True, name="se")
    assert SqueezeExcite.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ratio": 0}, "above 0. Received: ratio=0"),
        ({"scale": -1.0}, "above 0. Received: scale=-1.0"),
        ({"gate_only": 1}, "a bool. Received: gate_only=1"),
    ],
)
def test_wrong_arguments_say_what_was_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        SqueezeExcite(**arguments)
