import keras
import numpy as np
import pytest
from keras import ops

pytest.importorskip("keras_hub", reason="the extra hub is not installed")
from keras_tricks import models
from keras_tricks.losses import RetinaNetLoss
from keras_tricks.models import RetinaNet, anchors, backbone

CLASSES, SIDE = 3, 64
TARGETS = np.array([[(4, 4, 40, 40, 0, 1), (10, 20, 60, 64, 2, 1)], [(0, 0, 32, 32, 1, 1), (-1,) * 6]], "float32")


def images(count=2):
    return np.random.default_rng(0).normal(size=(count, SIDE, SIDE, 3)).astype("float32")


def detector(name="resnet18", classes=CLASSES, **arguments):
    return RetinaNet(backbone(name, **arguments), classes, image_size=SIDE, filters=16, convolutions=2)


def few_layers():
    """Return a backbone that is quick to build."""
    image = x = keras.Input((None, None, 3))
    stages = {}
    for name, stride in (("stem", 4), ("stage1", 1), ("stage2", 2), ("stage3", 2), ("stage4", 2)):
        x = keras.layers.Conv2D(8, 3, strides=stride, padding="same", name=f"{name}_conv")(x)
        stages[name] = x
    return keras.Model(image, {name: x for name, x in stages.items() if name != "stem"})


def values(model, batch):
    return ops.convert_to_numpy(model(batch, training=False))


@pytest.mark.backend
def test_outputs_are_those_of_the_heads_in_the_order_of_the_anchors():
    model = RetinaNet(few_layers(), CLASSES, image_size=SIDE, filters=16, convolutions=1)
    outputs = values(model, images())
    places = anchors(SIDE)
    assert outputs.shape == (2, len(places), 4 + CLASSES)
    maps = keras.Model(model.input, model.get_layer("fpn").output)(images(), training=False)
    assert [each.shape[1:] for each in maps] == [(side, side, 16) for side in (8, 4, 2, 1, 1)]
    start = 0
    for level, each in zip(range(3, 8), maps, strict=True):
        side = each.shape[1]
        for head, channels in (("box_head", slice(0, 4)), ("classification_head", slice(4, None))):
            of_head = ops.convert_to_numpy(model.get_layer(head)(each))
            for y, x, anchor in np.ndindex(side, side, 9):
                number = start + (y * side + x) * 9 + anchor
                own = of_head[:, y, x].reshape(2, 9, -1)[:, anchor]
                np.testing.assert_allclose(outputs[:, number, channels], own, rtol=1e-4, atol=1e-5)
                centre = (places[number, :2] + places[number, 2:]) / 2
                np.testing.assert_allclose(centre, np.minimum(2**level, SIDE) * np.array([x, y]), atol=1)
        start += 9 * side**2


def test_a_new_detector_starts_from_the_prior_and_from_different_kernels():
    model = detector()
    scores = 1 / (1 + np.exp(-values(model, images())[..., 4:]))
    assert ((scores > 0.005) & (scores < 0.02)).all()
    np.testing.assert_allclose(scores.mean(), 0.01, rtol=0.05)
    kernels = [
        ops.convert_to_numpy(weight)[..., :16].reshape(-1)[:100]
        for layer in ("fpn", "box_head", "classification_head")
        for weight in model.get_layer(layer).weights
        if weight.name == "kernel"
    ]
    assert len(kernels) == 3 + 5 + 3 + 3
    together = np.corrcoef(kernels)
    assert np.abs(together[~np.eye(len(kernels), dtype=bool)]).max() < 0.5
    wide = RetinaNet(backbone("resnet18"), CLASSES, image_size=SIDE, convolutions=1)
    for layer, expected in ((wide, 0.01), (model, 0.04)):
        kernel = layer.get_layer("box_head").conv_layers[0].kernel
        np.testing.assert_allclose(np.std(ops.convert_to_numpy(kernel)), expected, rtol=0.1)


def test_it_trains_a_partly_frozen_backbone_and_is_saved(tmp_path):
    model = detector(variant="D", frozen_stages=1, batch_norm="frozen")
    base = {layer.name for layer in backbone("resnet18", variant="D").layers} - {"input_layer"}
    ours = {weight.path for layer in model.layers if layer.name in base for weight in layer.weights}
    before = {weight.path: ops.convert_to_numpy(weight).copy() for weight in model.weights}
    loss = RetinaNetLoss(CLASSES, SIDE, anchor_size=2)
    # Tracing takes longer than these few steps.
    model.compile(keras.optimizers.SGD(1e-2), loss, run_eagerly=True)
    losses = model.fit(images(), TARGETS, epochs=3, verbose=0).history["loss"]
    assert losses[2] < losses[1] < losses[0]
    same = {w.path for w in model.weights if np.array_equal(before[w.path], ops.convert_to_numpy(w))}
    frozen = {weight.path for weight in model.non_trainable_weights}
    assert frozen == {path for path in ours if "bn" in path or path.startswith(("stem_", "stage1_"))}
    # No box is large enough for the last level, and the background hardly moves it.
    assert frozen <= same <= frozen | {"fpn/coarser_P7/kernel"}
    model.save(tmp_path / "detector.keras")
    loaded = keras.models.load_model(tmp_path / "detector.keras", compile=False)
    np.testing.assert_array_equal(values(loaded, images()), values(model, images()))
    assert len(loaded.trainable_weights) == len(model.trainable_weights)


def test_replica_models_save_it_and_copies_compute_in_float32(tmp_path):
    from keras_tricks.distribute import ReplicaModel
    from keras_tricks.export import _in_float32

    keras.config.set_dtype_policy("mixed_float16")
    model = ReplicaModel.of(detector("nf_resnet26", classes=1))
    model.save(tmp_path / "detector.keras")
    keras.config.set_dtype_policy("float32")
    loaded = keras.models.load_model(tmp_path / "detector.keras")
    expected = values(model, images())
    np.testing.assert_array_equal(values(loaded, images()), expected)
    copy = _in_float32(loaded)
    assert {layer.compute_dtype for layer in copy.layers} == {"float32"}
    assert not np.array_equal(values(copy, images()), expected)
    np.testing.assert_allclose(values(copy, images()), expected, atol=0.01 * np.abs(expected).max())


def test_outputs_are_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    model = detector()
    assert model.output.dtype == "float32"
    assert model.get_layer("fpn").output[1].dtype == "float16"
    assert np.isfinite(values(model, images())).all()


@pytest.mark.parametrize(
    ("name", "arguments", "lateral"),
    [
        ("resnet18", {"output_stride": 16}, 2),
        ("nf_resnet26", {"small_images": True}, 1),
        ("nfnet_f0", {}, 3),
    ],
)
def test_backbones_of_other_strides_have_more_levels_of_the_pyramid(name, arguments, lateral):
    with keras.StatelessScope(initialize_variables=False):
        model = detector(name, **arguments)
    pyramid = model.get_layer("fpn")
    assert len(pyramid.lateral_conv_layers) == lateral
    assert [each.shape[1] for each in pyramid.output] == [8, 4, 2, 1, 1]
    assert model.output_shape == (None, len(anchors(SIDE)), 4 + CLASSES)


def test_other_models_and_backbones_without_the_stride_are_refused():
    with pytest.raises(ValueError, match=r"stride 8. Received: 'resnet20' with the strides 1, 2, 4"):
        detector("resnet20")
    with pytest.raises(ValueError, match=r"models.backbone returned. Received: backbone="):
        RetinaNet(models.ResNet18(weights=None), CLASSES, image_size=SIDE)


def test_wrong_arguments_say_what_was_expected():
    base = backbone("resnet18", input_shape=(SIDE, SIDE, 3))
    assert RetinaNet(base, CLASSES, image_size=SIDE, filters=4, convolutions=1).input is base.input
    for arguments, message in (
        ({"image_size": 96}, r"96x96 pixels, or of any size. Received: an input shape of \(None, 64, 64, 3\)"),
        ({"image_size": 72}, "a multiple of 32.* Received: image_size=72"),
        ({"image_size": 64.0}, "a multiple of 32.* Received: image_size=64.0"),
        ({"classes": 0}, "at least 1. Received: classes=0"),
        ({"filters": 0}, "at least 1. Received: filters=0"),
        ({"convolutions": -1}, "at least 1. Received: convolutions=-1"),
    ):
        with pytest.raises(ValueError, match=message):
            RetinaNet(base, **{"classes": CLASSES, "image_size": SIDE, **arguments})
