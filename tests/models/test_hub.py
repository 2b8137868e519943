import importlib
import sys

import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks.models import backbone

keras_hub = pytest.importorskip("keras_hub", reason="the extra hub is not installed")
from keras_tricks.models.hub import HubBackbone, start_from_prior  # noqa: E402


def images(size, count=2):
    return np.random.default_rng(0).normal(size=(count, size, size, 3)).astype("float32")


def detector(name="nf_resnet26", **arguments):
    levels = keras_hub.models.RetinaNetBackbone(
        HubBackbone(backbone(name, **arguments)), min_level=3, max_level=7, use_p5=False, image_shape=(64, 64, 3)
    )
    return keras_hub.models.RetinaNetObjectDetector(
        levels, num_classes=3, bounding_box_format="xyxy", pre_logits_num_conv_layers=1
    )


@pytest.mark.backend
@pytest.mark.parametrize(
    ("name", "output_stride", "stages"),
    [
        ("resnet18", None, {"P2": "stage1", "P3": "stage2", "P4": "stage3", "P5": "stage4"}),
        ("resnet18", 16, {"P2": "stage1", "P3": "stage2", "P4": "stage4"}),
        ("nfnet_tiny", None, {"P0": "stage1", "P1": "stage2", "P2": "stage3", "P3": "stage4"}),
    ],
)
def test_levels_are_the_last_stages_of_each_stride(name, output_stride, stages):
    with keras.StatelessScope(initialize_variables=False):
        ours = backbone(name, output_stride=output_stride)
        theirs = HubBackbone(ours)
    assert theirs.pyramid_outputs == {level: ours.output[stage] for level, stage in stages.items()}
    assert [weight.path for weight in theirs.weights] == [weight.path for weight in ours.weights]


@pytest.mark.slow
def test_a_detector_trains_on_a_partly_frozen_backbone(tmp_path):
    model = detector("resnet18", variant="D", frozen_stages=1, batch_norm="frozen")
    start_from_prior(model)
    batch = images(64)
    boxes = np.array([[[4, 4, 40, 40], [10, 20, 60, 64]], [[0, 0, 32, 32], [-1, -1, -1, -1]]], "float32")
    labels = np.array([[0, 2], [1, -1]], "float32")
    before = {weight.path: ops.convert_to_numpy(weight).copy() for weight in model.weights}
    model.compile(keras.optimizers.SGD(1e-3))
    targets = {"boxes": boxes, "labels": labels}
    losses = model.fit(batch, targets, batch_size=2, epochs=2, verbose=0).history["loss"]
    assert losses[1] < losses[0]
    ours = {w.path for w in model.backbone.image_encoder.weights}
    after = {weight.path: ops.convert_to_numpy(weight) for weight in model.weights}
    same = {path for path in ours if np.array_equal(before[path], after[path])}
    assert same == {path for path in ours if "bn" in path or path.startswith(("stem_", "stage1_"))}
    model.save(tmp_path / "detector.keras")
    loaded = keras.models.load_model(tmp_path / "detector.keras")
    for name, output in model(batch, training=False).items():
        np.testing.assert_array_equal(
            ops.convert_to_numpy(loaded(batch, training=False)[name]), ops.convert_to_numpy(output)
        )
    assert len(loaded.trainable_weights) == len(model.trainable_weights)


def test_a_detector_starts_from_the_prior():
    model = detector()
    start_from_prior(model, 0.05)
    for head in (model.box_head, model.classification_head):
        # What the biases alone say.
        head.prediction_layer.kernel.assign(np.zeros(head.prediction_layer.kernel.shape))
    outputs = model(images(64), training=False)
    np.testing.assert_allclose(ops.convert_to_numpy(ops.sigmoid(outputs["cls_logits"])), 0.05, rtol=1e-5)
    assert not ops.convert_to_numpy(outputs["bbox_regression"]).any()
    for wrong in (0, 1.0, True, "0.1"):
        with pytest.raises(ValueError, match=r"in \(0, 1\). Received: probability="):
            start_from_prior(model, wrong)


def test_deeplab_of_keras_hub_takes_a_dilated_backbone():
    encoder = HubBackbone(backbone("resnet18", output_stride=16))
    levels = keras_hub.models.DeepLabV3Backbone(
        image_encoder=encoder,
        spatial_pyramid_pooling_key="P4",
        low_level_feature_key="P2",
        upsampling_size=4,
        dilation_rates=[1, 2, 3],
        image_shape=(32, 32, 3),
    )
    model = keras_hub.models.DeepLabV3ImageSegmenter(levels, num_classes=5)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Its own metric, categorical accuracy, wants one-hot masks.
    model.compile("sgd", loss, metrics=[])
    losses = [float(np.ravel(model.train_on_batch(images(32), np.ones((2, 32, 32))))[0]) for _ in range(3)]
    assert losses[-1] < losses[0]
    assert model(images(32), training=False).shape == (2, 32, 32, 5)


def test_without_keras_hub_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    monkeypatch.delitem(sys.modules, "keras_tricks.models.hub")
    with pytest.raises(ImportError, match=r"Expected keras-hub to be installed.*pip install 'keras-tricks\[hub\]'"):
        importlib.import_module("keras_tricks.models.hub")
