import keras
import numpy as np
import pytest

from keras_tricks.layers import ACTIVATION_GAMMAS
from keras_tricks.models import NFNetTiny, NFResNet20, ResNet20
from keras_tricks.propagation import BlockSignal, SignalPropagation, signal_propagation


def noise(size=32, count=32):
    return np.random.default_rng(0).standard_normal((count, size, size, 3)).astype("float32")


@pytest.mark.backend
def test_rows_are_the_moments_of_blocks_and_branches():
    model = NFNetTiny(input_shape=(16, 16, 3))
    for layer in model.layers:
        if hasattr(layer, "skip_gain"):
            layer.skip_gain.assign(0.7)
    batch = noise(16, 4)
    result = signal_propagation(model, batch)
    assert result.model == "nfnet_tiny"
    names = ["stage1_block1", "stage2_block1", "stage3_block1", "stage3_block2", "stage4_block1"]
    assert [row.block for row in result.rows] == names
    wanted = {name: [model.get_layer(f"{name}_{part}").output for part in ("add", "conv3", "se")] for name in names}
    tensors = keras.Model(model.input, wanted).predict_on_batch(batch)
    for row in result.rows:
        output, features, gate = tensors[row.block]
        branch = features * gate
        expected = [
            np.mean(output.mean((0, 1, 2)) ** 2),
            np.mean(output.var((0, 1, 2))),
            np.mean(branch.mean((0, 1, 2)) ** 2),
            np.mean(branch.var((0, 1, 2))),
        ]
        measured = [row.squared_mean, row.variance, row.branch_squared_mean, row.branch_variance]
        np.testing.assert_allclose(measured, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.backend
@pytest.mark.parametrize("alpha", [0.2, pytest.param(0.5, marks=pytest.mark.backend_slow)])
def test_variance_of_a_new_nf_resnet_is_near_the_prediction(alpha):
    keras.utils.set_random_seed(0)
    rows = signal_propagation(NFResNet20(alpha=alpha), noise(), skip_gain=1).rows
    predicted = [row.predicted_variance for row in rows]
    # It grows with every block of a stage and starts again with the next.
    np.testing.assert_allclose(predicted, [1 + alpha**2, 1 + 2 * alpha**2] * 3)
    np.testing.assert_allclose([row.variance for row in rows], predicted, rtol=0.2)
    assert all(0.7 < row.branch_variance < 1.2 for row in rows)
    assert all(row.squared_mean < 0.05 for row in rows)


def test_variance_without_gammas_vanishes(monkeypatch):
    keras.utils.set_random_seed(0)
    monkeypatch.setitem(ACTIVATION_GAMMAS, "relu", 1.0)
    rows = signal_propagation(NFResNet20(), noise(), skip_gain=1).rows
    variances = [row.variance for row in rows]
    assert variances[0] < 0.5
    assert variances[-1] < 0.1
    assert rows[-1].branch_variance < 0.01


def test_own_skip_gains_are_measured_and_kept():
    model = NFResNet20(input_shape=(16, 16, 3))
    own = signal_propagation(model, noise(16, 4)).rows
    # Every branch is still shut, so the blocks of a stage are equal, and beta shrinks the next stage.
    assert own[0].variance == own[1].variance
    np.testing.assert_allclose([row.predicted_variance for row in own], np.repeat([1, 1 / 1.08, 1 / 1.08**2], 2))
    weights = model.get_weights()
    open_branches = signal_propagation(model, noise(16, 4), skip_gain=1).rows
    assert open_branches[1].variance > own[1].variance
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_failing_measurement_leaves_the_skip_gains_alone():
    model = NFResNet20(input_shape=(16, 16, 3))
    with pytest.raises(ValueError, match="shape"):
        signal_propagation(model, noise(17, 2), skip_gain=1)
    assert not float(model.get_layer("stage1_block1_skip").skip_gain)


def test_a_network_that_normalizes_has_no_prediction():
    rows = signal_propagation(ResNet20(input_shape=(16, 16, 3)), noise(16, 4)).rows
    assert len(rows) == 9
    assert {row.predicted_variance for row in rows} == {None}
    assert all(row.branch_variance > 0 for row in rows)


def test_a_model_without_blocks_is_refused():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs), name="dense")
    with pytest.raises(ValueError, match=r"residual blocks\. Received: model='dense'"):
        signal_propagation(model, np.ones((1, 4)))


@pytest.mark.parametrize("predicted", [1.0, None])
def test_plot_is_a_png(predicted, tmp_path):
    rows = tuple(BlockSignal(f"block{i}", 0.1 * i, 1 + i, 0.2, 10.0**i, predicted) for i in range(4))
    path = SignalPropagation("model", rows).plot(tmp_path / "new" / "spp.png")
    assert path == tmp_path / "new" / "spp.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 10_000


def test_skip_gains_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="without skip gains"):
        signal_propagation(ResNet20(input_shape=(16, 16, 3)), noise(16, 4), skip_gain=1)
