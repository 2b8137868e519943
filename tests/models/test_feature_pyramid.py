import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks import models
from keras_tricks.layers import ScaledActivation, StochasticDepth
from keras_tricks.models import backbone, feature_strides

SMALL = {"resnet20": {"variant": "D"}, "nf_resnet20": {}, "nfnet_tiny": {}}


def images(height, width=None, count=1, seed=0):
    return np.random.default_rng(seed).normal(size=(count, height, width or height, 3)).astype("float32")


def randomize(model, seed=0):
    """Give each weight a value that shows; what squeeze and excite decide is the same everywhere."""
    draw = np.random.default_rng(seed)
    for weight in model.weights:
        value = 0.1 * draw.normal(size=weight.shape)
        if weight.name == "kernel":
            value = ops.convert_to_numpy(weight)
        if "_se/" in weight.path and weight.name == "kernel":
            value = np.zeros(weight.shape)
        elif weight.name in ("gamma", "gain", "skip_gain", "moving_variance"):
            value = 1 + value
        weight.assign(value)
    return model


def computed(model, batch):
    return {stage: ops.convert_to_numpy(maps) for stage, maps in model(batch, training=False).items()}


@pytest.mark.parametrize(
    ("name", "arguments", "output_stride", "strides"),
    [
        ("resnet18", {"variant": "B"}, None, (4, 8, 16, 32)),
        ("resnet50", {"variant": "D"}, 16, (4, 8, 16, 16)),
        ("resnet50", {"variant": "C"}, 8, (4, 8, 8, 8)),
        ("nf_resnet26", {"small_images": False}, 8, (4, 8, 8, 8)),
        ("nf_resnet26", {"small_images": True}, 4, (1, 2, 4, 4)),
        ("nfnet_f0", {"variant": "timm", "small_images": False}, 16, (4, 8, 16, 16)),
        ("nfnet_tiny", {}, None, (1, 2, 4, 8)),
        ("resnet20", {}, 2, (1, 2, 2)),
        ("nf_resnet20", {}, None, (1, 2, 4)),
    ],
)
def test_strides_and_shapes_at_odd_sizes(name, arguments, output_stride, strides):
    with keras.StatelessScope(initialize_variables=False):
        pyramid = backbone(name, input_shape=(61, 35, 3), output_stride=output_stride, **arguments)
    assert list(pyramid.output) == [f"stage{stage}" for stage in range(1, len(strides) + 1)]
    assert tuple(feature_strides(pyramid).values()) == strides
    for maps, stride in zip(pyramid.output.values(), strides, strict=True):
        assert maps.shape[1:3] == (-(-61 // stride), -(-35 // stride))


@pytest.mark.backend
@pytest.mark.parametrize(
    "name",
    ["resnet20", *(pytest.param(name, marks=pytest.mark.backend_slow) for name in ("nf_resnet20", "nfnet_tiny"))],
)
def test_a_backbone_is_the_classifier_without_its_head(name, tmp_path):
    builder = {"resnet20": models.ResNet20, "nf_resnet20": models.NFResNet20, "nfnet_tiny": models.NFNetTiny}[name]
    classifier = randomize(builder(input_shape=(17, 17, 3), classes=3, **SMALL[name]))
    classifier.save(tmp_path / "model.keras")
    classifier.save_weights(tmp_path / "model.weights.h5")
    batch = images(17)
    last = "stage3_block3_output" if name == "resnet20" else "final_act"
    inner = {"last": classifier.get_layer(last).output}
    inner["first"] = classifier.get_layer("stage1_block1_add").output
    expected = keras.Model(classifier.input, inner)(batch, training=False)
    for file in ("model.keras", "model.weights.h5"):
        pyramid = backbone(name, tmp_path / file, **SMALL[name])
        theirs = {weight.path: weight for weight in classifier.weights}
        assert [weight.path for weight in pyramid.weights] == [path for path in theirs if path in _paths(pyramid)]
        for weight in pyramid.weights:
            np.testing.assert_array_equal(ops.convert_to_numpy(weight), ops.convert_to_numpy(theirs[weight.path]))
        first = keras.Model(pyramid.input, pyramid.get_layer("stage1_block1_add").output)(batch, training=False)
        np.testing.assert_array_equal(ops.convert_to_numpy(first), ops.convert_to_numpy(expected["first"]))
        if name == "nfnet_tiny":
            continue
        maps, reference = computed(pyramid, batch)["stage3"], ops.convert_to_numpy(expected["last"])
        # The classifier of a network without normalization does not divide by the expected deviation.
        expected_std = 1 if name == "resnet20" else np.sqrt(1 + 2 * 0.2**2)
        np.testing.assert_allclose(maps * expected_std, reference, rtol=1e-5, atol=1e-6)


def _paths(model):
    return {weight.path for weight in model.weights}


@pytest.mark.backend
@pytest.mark.parametrize(
    ("name", "arguments", "size", "output_stride"),
    [
        pytest.param("resnet20", {"variant": "A"}, (16, 23), 2, marks=pytest.mark.backend_slow),
        ("resnet20", {"variant": "D"}, (16, 23), 2),
        pytest.param("nf_resnet20", {}, (17, 21), 2, marks=pytest.mark.backend_slow),
        pytest.param("nfnet_tiny", {}, (17, 9), 2, marks=pytest.mark.backend_slow),
    ],
)
def test_dilated_maps_are_the_strided_ones_and_those_between(name, arguments, size, output_stride):
    strided = randomize(backbone(name, **arguments))
    dilated = backbone(name, output_stride=output_stride, **arguments)
    dilated.set_weights(strided.get_weights())
    batch = images(*size)
    expected, found = computed(strided, batch), computed(dilated, batch)
    strides = feature_strides(strided)
    for stage, stride in feature_strides(dilated).items():
        step = strides[stage] // stride
        assert step == (strides[stage] // 2 if strides[stage] > 2 else 1)
        sampled = found[stage][:, ::step, ::step]
        np.testing.assert_allclose(sampled, expected[stage], rtol=1e-4, atol=1e-5 * np.abs(expected[stage]).max())
        if step > 1:
            assert not np.allclose(found[stage][:, 1::step, ::step][:, : sampled.shape[1] - 1], sampled[:, :-1])


@pytest.mark.parametrize(
    ("name", "variant"), [("resnet50", "A"), ("resnet50", "D"), ("resnet18", "D"), ("nf_resnet26", "timm")]
)
def test_dilated_maps_of_the_large_networks_are_the_strided_ones(name, variant):
    strided = randomize(backbone(name, variant=variant))
    dilated = backbone(name, variant=variant, output_stride=8)
    dilated.set_weights(strided.get_weights())
    batch = images(64, 72)
    expected, found = computed(strided, batch), computed(dilated, batch)
    for stage, step in (("stage1", 1), ("stage2", 1), ("stage3", 2), ("stage4", 4)):
        sampled = found[stage][:, ::step, ::step]
        np.testing.assert_allclose(sampled, expected[stage], rtol=1e-4, atol=1e-5 * np.abs(expected[stage]).max())


def test_maps_without_normalization_have_variance_one_for_the_heads():
    pyramid = backbone("nf_resnet26", activation="silu", alpha=0.5)
    for layer in pyramid.layers:
        if layer.name.endswith("_skip"):
            layer.skip_gain.assign(1.0)
    outputs = [layer for layer in pyramid.layers if layer.name.endswith("_output")]
    assert all(isinstance(layer, ScaledActivation) and layer.activation == "silu" for layer in outputs)
    for stage, maps in computed(pyramid, images(96, count=2)).items():
        assert np.square(maps).mean() == pytest.approx(1.0 + maps.mean() ** 2, rel=0.35), stage


def fitted(pyramid):
    """Return which layers have weights that changed in a step of training."""
    outputs = [keras.layers.GlobalAveragePooling2D()(maps) for maps in pyramid.output.values()]
    model = keras.Model(pyramid.input, keras.layers.Dense(2)(keras.layers.Concatenate()(outputs)))
    before = {weight.path: ops.convert_to_numpy(weight).copy() for weight in pyramid.weights}
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(images(9, count=2), np.ones((2, 2), "float32"), batch_size=2, verbose=0)
    return {
        weight.path
        for weight in pyramid.weights
        if not np.array_equal(ops.convert_to_numpy(weight), before[weight.path])
    }


@pytest.mark.backend
@pytest.mark.backend_slow
def test_frozen_stages_do_not_change_in_fit():
    pyramid = randomize(backbone("resnet20", frozen_stages=2))
    frozen = {path for path in _paths(pyramid) if path.startswith(("stem_", "stage1_", "stage2_"))}
    assert fitted(pyramid) == _paths(pyramid) - frozen
    pyramid = randomize(backbone("nf_resnet20", frozen_stages=1))
    frozen = {path for path in _paths(pyramid) if path.startswith(("stem_", "stage1_"))}
    assert fitted(pyramid) == _paths(pyramid) - frozen
    assert not backbone("nf_resnet20", frozen_stages=3).trainable_weights


@pytest.mark.backend
def test_frozen_batch_norm_does_not_change_in_fit_and_uses_its_moving_statistics():
    pyramid = randomize(backbone("resnet20", batch_norm="frozen"))
    norms = {path for path in _paths(pyramid) if "bn" in path}
    batch = images(9, count=2)
    for stage, maps in pyramid(batch, training=True).items():
        np.testing.assert_array_equal(ops.convert_to_numpy(maps), computed(pyramid, batch)[stage])
    assert fitted(pyramid) == _paths(pyramid) - norms
    assert {path for path in fitted(randomize(backbone("resnet20"))) if "bn" in path} == norms


def test_frozen_stages_are_in_inference_in_training(tmp_path):
    arguments = {"stochastic_depth_rate": 0.9, "frozen_stages": 3, "input_shape": (8, 8, 3)}
    pyramid = randomize(backbone("nf_resnet20", **arguments))
    assert sum(isinstance(layer, StochasticDepth) for layer in pyramid.layers) == 5
    pyramid.save(tmp_path / "frozen.keras")
    batch = images(8, count=4)
    expected = computed(pyramid, batch)
    for model in (pyramid, keras.models.load_model(tmp_path / "frozen.keras")):
        assert not model.trainable_weights
        for stage, maps in model(batch, training=True).items():
            np.testing.assert_array_equal(ops.convert_to_numpy(maps), expected[stage])


def test_synchronized_batch_norm_is_in_every_norm():
    norms = [
        layer
        for layer in backbone("resnet20", batch_norm="synchronized").layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert len(norms) == 21
    assert all(norm.synchronized and norm.trainable for norm in norms)


def test_weights_of_a_run_by_directory_and_id(tmp_path, monkeypatch):
    from keras_tricks import runs, weights_facts

    directory = tmp_path / "20260101T000000Z-small-0a0a"
    directory.mkdir()
    (directory / "recipe.json").write_text("{}")
    monkeypatch.setattr(weights_facts, "default_root", lambda: tmp_path)
    with pytest.raises(ValueError, match=r"run to have finished.*no model.keras.*0a0a"):
        backbone("resnet20", directory.name)
    classifier = randomize(models.ResNet20(classes=4))
    classifier.save(directory / runs.schema.MODEL_FILE)
    for source in (directory, str(directory), directory.name):
        pyramid = backbone("resnet20", source)
        kernel = pyramid.get_layer("stage3_block3_conv2").kernel
        np.testing.assert_array_equal(kernel, classifier.get_layer("stage3_block3_conv2").kernel)


def test_weights_of_another_model_are_refused_by_name(tmp_path):
    models.NFResNet20(input_shape=(16, 16, 3)).save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(ValueError, match=r"missing: .*for stem_conv1/kernel.*left over: "):
        backbone("resnet20", tmp_path / "other.weights.h5")
    models.ResNet56().save_weights(tmp_path / "deeper.weights.h5")
    with pytest.raises(ValueError, match=r"left over: layers/conv2d"):
        backbone("resnet20", tmp_path / "deeper.weights.h5")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("resnet51", {}, "name of a model.*Received: name='resnet51'"),
        ("mobilenet", {}, "ResNet, an NF-ResNet or an NFNet.*Received: model='mobilenet'"),
        ("resnet50", {"output_stride": 4}, "None or one of 8, 16, 32. Received: output_stride=4"),
        ("resnet50", {"output_stride": True}, "Received: output_stride=True"),
        ("resnet20", {"output_stride": 8}, "None or one of 2, 4. Received: output_stride=8"),
        ("nfnet_f0", {"output_stride": 32, "small_images": True}, "one of 2, 4, 8. Received: output_stride=32"),
        ("resnet20", {"frozen_stages": 4}, "integer from 0 to 3. Received: frozen_stages=4"),
        ("resnet20", {"frozen_stages": -1}, "Received: frozen_stages=-1"),
        ("resnet20", {"batch_norm": "global"}, "trained, synchronized, frozen. Received: batch_norm='global'"),
        ("nf_resnet20", {"batch_norm": "frozen"}, "no batch normalization. Received: batch_norm='frozen'"),
        ("resnet20", {"weights": "imagnet"}, "Received: weights='imagnet'"),
    ],
)
def test_wrong_arguments_say_what_was_expected(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        backbone(name, **arguments)
