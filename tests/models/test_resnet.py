import inspect

import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks import models
from keras_tricks.model_facts import MODELS
from keras_tricks.models import ResNet18, ResNet20, ResNet50

ANY_SIZE = (None, None, 3)


def convolutions(model):
    """Return the kernel, strides and filters of each convolution and the size of each pool."""
    structure = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            structure[layer.name] = (layer.kernel_size[0], layer.strides[0], layer.filters)
        elif isinstance(layer, keras.layers.AveragePooling2D | keras.layers.MaxPooling2D):
            structure[layer.name] = (type(layer).__name__, layer.pool_size[0], layer.strides[0])
    return structure


def differences(left, right):
    """Return the names of the entries that differ or are on one side only."""
    return {
        name: (left.get(name), right.get(name))
        for name in left.keys() | right.keys()
        if left.get(name) != right.get(name)
    }


@pytest.fixture(scope="module")
def resnet50():
    return {variant: ResNet50(input_shape=ANY_SIZE, variant=variant, zero_gamma=variant == "D") for variant in "ABCD"}


@pytest.fixture(scope="module")
def resnet20():
    return {variant: ResNet20(input_shape=ANY_SIZE, variant=variant, zero_gamma=variant == "D") for variant in "ABCD"}


def test_b_moves_the_stride_to_the_3x3(resnet50):
    expected = {}
    for stage, width in ((2, 128), (3, 256), (4, 512)):
        expected[f"stage{stage}_block1_conv1"] = ((1, 2, width), (1, 1, width))
        expected[f"stage{stage}_block1_conv2"] = ((3, 1, width), (3, 2, width))
    assert differences(convolutions(resnet50["A"]), convolutions(resnet50["B"])) == expected


def test_c_replaces_the_stem(resnet50):
    assert differences(convolutions(resnet50["B"]), convolutions(resnet50["C"])) == {
        "stem_conv1": ((7, 2, 64), (3, 2, 32)),
        "stem_conv2": (None, (3, 1, 32)),
        "stem_conv3": (None, (3, 1, 64)),
    }


def test_d_pools_in_the_strided_shortcuts(resnet50):
    expected = {}
    for stage, filters in ((2, 512), (3, 1024), (4, 2048)):
        name = f"stage{stage}_block1_shortcut"
        expected[f"{name}_conv"] = ((1, 2, filters), (1, 1, filters))
        expected[f"{name}_pool"] = (None, ("AveragePooling2D", 2, 2))
    assert differences(convolutions(resnet50["C"]), convolutions(resnet50["D"])) == expected


def test_variants_of_the_small_image_family(resnet20):
    a, b, c, d = (convolutions(resnet20[variant]) for variant in "ABCD")
    assert a == b == c
    assert a["stem_conv1"] == (3, 1, 16)
    assert differences(c, d) == {
        "stage2_block1_shortcut_conv": ((1, 2, 32), (1, 1, 32)),
        "stage2_block1_shortcut_pool": (None, ("AveragePooling2D", 2, 2)),
        "stage3_block1_shortcut_conv": ((1, 2, 64), (1, 1, 64)),
        "stage3_block1_shortcut_pool": (None, ("AveragePooling2D", 2, 2)),
    }


def test_layers_are_as_published(resnet50):
    for layer in resnet50["D"].layers:
        if isinstance(layer, keras.layers.Conv2D):
            assert not layer.use_bias
        if isinstance(layer, keras.layers.BatchNormalization):
            assert (layer.momentum, layer.epsilon, layer.synchronized) == (0.9, 1e-5, False)


@pytest.mark.parametrize("depth", ["resnet20", "resnet50"])
def test_zero_gamma_is_in_the_last_norm_of_every_branch_only(depth, request):
    built = request.getfixturevalue(depth)
    units = [layer.name for layer in built["D"].layers if layer.name.endswith("_add")]
    assert len(units) == {"resnet20": 9, "resnet50": 16}[depth]
    last = "bn3" if depth == "resnet50" else "bn2"
    expected = {unit.replace("add", last) for unit in units}
    for variant, names in (("D", expected), ("C", set())):
        norms = [x for x in built[variant].layers if isinstance(x, keras.layers.BatchNormalization)]
        gammas = {norm.name: ops.convert_to_numpy(norm.gamma) for norm in norms}
        assert {name for name, gamma in gammas.items() if not gamma.any()} == names
        assert {name for name, gamma in gammas.items() if (gamma == 1).all()} == (gammas.keys() - names)


@pytest.mark.parametrize(
    ("builder", "size"),
    [pytest.param(ResNet20, 16, marks=pytest.mark.backend), (ResNet50, 33)],
)
def test_with_zero_gamma_each_block_is_its_shortcut(builder, size):
    model = builder(input_shape=(size, size, 3), variant="D", zero_gamma=True)
    ends = {
        layer.name: (*layer.input, model.get_layer(layer.name.replace("add", "output")).output)
        for layer in model.layers
        if layer.name.endswith("_add")
    }
    images = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype("float32")
    blocks = keras.Model(model.input, ends)
    for training in (False, True):
        for tensors in blocks(images, training=training).values():
            shortcut, branch, output = map(ops.convert_to_numpy, tensors)
            assert not branch.any()
            np.testing.assert_array_equal(output, np.maximum(shortcut, 0))
            assert output.any()


@pytest.mark.backend
@pytest.mark.parametrize("size", [pytest.param(32, marks=pytest.mark.backend_slow), 35])
@pytest.mark.parametrize("variant", [pytest.param("A", marks=pytest.mark.backend_slow), "D"])
def test_any_image_size_and_pooling(variant, size):
    images = np.random.default_rng(1).normal(size=(2, size, size, 3)).astype("float32")
    maps = ResNet20(include_top=False, input_shape=ANY_SIZE, variant=variant)
    average = ResNet20(include_top=False, input_shape=ANY_SIZE, variant=variant, pooling="avg")
    largest = ResNet20(include_top=False, input_shape=ANY_SIZE, variant=variant, pooling="max")
    average.set_weights(maps.get_weights())
    largest.set_weights(maps.get_weights())
    features = ops.convert_to_numpy(maps(images))
    side = -(-size // 4)
    assert features.shape == (2, side, side, 64)
    for model, pooled in ((average, features.mean((1, 2))), (largest, features.max((1, 2)))):
        np.testing.assert_allclose(ops.convert_to_numpy(model(images)), pooled, rtol=1e-4)


@pytest.mark.backend
def test_d_averages_what_is_there_at_the_edge_of_an_odd_image():
    model = ResNet20(include_top=False, input_shape=(9, 9, 3), variant="D")
    pool = model.get_layer("stage2_block1_shortcut_pool")
    images = np.arange(9 * 9, dtype="float32").reshape(1, 9, 9, 1)
    pooled = ops.convert_to_numpy(pool(images))[0, ..., 0]
    assert pooled.shape == (5, 5)
    assert pooled[0, 0] == np.mean([0, 1, 9, 10])
    assert pooled[0, 4] == np.mean([8, 17])
    assert pooled[4, 4] == 80


@pytest.mark.backend
def test_save_and_load(tmp_path):
    model = ResNet20(input_shape=(16, 16, 1), classes=4, variant="D", zero_gamma=True)
    model.set_weights([np.random.default_rng(2).uniform(0.1, 1, weight.shape) for weight in model.weights])
    images = np.random.default_rng(3).normal(size=(2, 16, 16, 1)).astype("float32")
    expected = ops.convert_to_numpy(model(images))
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    copies = [loaded]
    for file in ("model.keras", "model.weights.h5"):
        copies.append(ResNet20(input_shape=(16, 16, 1), classes=4, variant="D", weights=str(tmp_path / file)))
    for copy in copies:
        np.testing.assert_array_equal(ops.convert_to_numpy(copy(images)), expected)


def test_weights_of_another_depth_are_refused(tmp_path):
    ResNet20(input_shape=(16, 16, 3), classes=4).save_weights(tmp_path / "four.weights.h5")
    with pytest.raises(ValueError, match="shape"):
        ResNet20(input_shape=(16, 16, 3), classes=5, weights=tmp_path / "four.weights.h5")


@pytest.mark.backend
@pytest.mark.parametrize("activation", [pytest.param(None, marks=pytest.mark.backend_slow), "softmax"])
@pytest.mark.parametrize("precision", ["float16", pytest.param("bfloat16", marks=pytest.mark.backend_slow)])
def test_the_classifier_is_float32_under_mixed_precision(precision, activation):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(f"mixed_{precision}")
    try:
        model = ResNet20(input_shape=(16, 16, 3), classifier_activation=activation)
    finally:
        keras.config.set_dtype_policy(policy)
    outputs = model(np.ones((2, 16, 16, 3), "float32"))
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
    assert model.get_layer("stage1_block1_output").output.dtype == precision
    assert {weight.dtype for weight in model.weights} == {"float32"}
    if activation:
        sums = ops.convert_to_numpy(outputs).sum(-1)
        np.testing.assert_allclose(sums, 1, rtol=1e-6)


@pytest.mark.backend
def test_logits_are_the_probabilities_without_softmax():
    logits = ResNet20(input_shape=(16, 16, 3), classifier_activation=None)
    model = ResNet20(input_shape=(16, 16, 3))
    model.set_weights(logits.get_weights())
    images = np.random.default_rng(4).normal(size=(2, 16, 16, 3)).astype("float32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(images)),
        ops.convert_to_numpy(ops.softmax(logits(images))),
        rtol=1e-5,
    )


def test_kernels_are_drawn_apart_with_variance_two_over_fan_out():
    model = ResNet18(input_shape=ANY_SIZE)
    first, second = (model.get_layer(f"stage4_block2_conv{index}").kernel for index in (1, 2))
    assert not np.array_equal(ops.convert_to_numpy(first), ops.convert_to_numpy(second))
    for name, fan_out in (("stage4_block1_conv1", 9 * 512), ("stage4_block1_shortcut_conv", 512)):
        kernel = ops.convert_to_numpy(model.get_layer(name).kernel)
        np.testing.assert_allclose(kernel.std(), np.sqrt(2 / fan_out), rtol=0.02)


def test_seed_decides_the_weights():
    drawn = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        drawn.append(ResNet20(input_shape=(16, 16, 3)).get_weights())
    equal = [
        all(np.array_equal(left, right) for left, right in zip(drawn[0], other, strict=True)) for other in drawn[1:]
    ]
    assert equal == [True, False]


def test_synchronized_batch_norm_is_in_every_norm():
    model = ResNet20(input_shape=(16, 16, 3), synchronized_batch_norm=True)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert len(norms) == 21
    assert all(norm.synchronized for norm in norms)


@pytest.mark.parametrize("name", [facts.builder for facts in MODELS.values()])
def test_signature_and_help(name):
    builder = getattr(models, name)
    parameters = inspect.signature(builder).parameters
    assert list(parameters)[:6] == [
        "include_top",
        "weights",
        "input_shape",
        "pooling",
        "classes",
        "classifier_activation",
    ]
    documentation = inspect.getdoc(builder)
    assert all(f"{parameter}: " in documentation for parameter in parameters)
    assert max(map(len, documentation.splitlines())) <= 100
    assert "{" not in documentation


@pytest.mark.parametrize(
    ("builder", "arguments", "message"),
    [
        (ResNet50, {"variant": "E"}, "one of A, B, C, D. Received: variant='E'"),
        (ResNet50, {"variant": "d"}, "Received: variant='d'"),
        (ResNet50, {"input_shape": (31, 64, 3)}, "at least 32x32.*ResNet-50"),
        (ResNet20, {"input_shape": (7, 32, 3)}, "at least 8x8"),
        (ResNet20, {"input_shape": (65, 65, 3)}, "at most 64x64.*Received: input_shape"),
        (ResNet20, {"input_shape": (32, 32)}, "height, width, channels"),
        (ResNet20, {"input_shape": (32, 32, None)}, "height, width, channels"),
        (ResNet20, {"input_shape": 32}, "height, width, channels"),
        (ResNet20, {"input_shape": None}, "height, width, channels"),
        (ResNet20, {"classes": 0}, "at least 1. Received: classes=0"),
        (ResNet20, {"classes": 2.5}, "Received: classes=2.5"),
        (ResNet20, {"pooling": "mean"}, "Received: pooling='mean'"),
        (ResNet20, {"classifier_activation": "sotfmax"}, "sotfmax"),
        (ResNet20, {"weights": "imagenet"}, r"ResNet-20 \(CIFAR\).*Received: weights='imagenet'"),
        (ResNet18, {"weights": "imagenet"}, "ResNet-18. Received: weights='imagenet'"),
        (ResNet50, {"weights": "imagenet", "variant": "B"}, "Received: variant='B'"),
        (ResNet50, {"weights": "imagenet", "classes": 10}, "Received: classes=10"),
        (
            ResNet50,
            {"weights": "imagenet", "classifier_activation": "sigmoid"},
            "Received: classifier_activation='sigmoid'",
        ),
        (ResNet50, {"weights": "imagenet", "input_shape": (64, 64, 1)}, "three channels"),
        (ResNet20, {"weights": "missing.weights.h5"}, "Received: weights='missing.weights.h5'"),
        (ResNet20, {"weights": "imagnet"}, "'imagenet' or the path.*Received: weights='imagnet'"),
        (ResNet20, {"weights": __file__}, "existing .weights.h5 or .keras file"),
    ],
)
def test_wrong_arguments_say_what_was_expected(builder, arguments, message):
    with pytest.raises(ValueError, match=message):
        builder(**arguments)


def test_channels_first_is_refused():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="Received: image_data_format='channels_first'"):
            ResNet20()
    finally:
        keras.config.set_image_data_format("channels_last")
