"""Our backbones in the detectors and segmenters of keras-hub, which the extra `hub` installs."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import keras
from keras import ops

from keras_tricks.models.feature_pyramid import feature_strides

try:
    import keras_hub

    # keras-hub gives these two no public name.
    from keras_hub.src.models.retinanet import prediction_head
    from keras_hub.src.models.retinanet.feature_pyramid import FeaturePyramid
except ImportError as error:
    raise ImportError(
        "Expected keras-hub to be installed, for its detectors and segmenters: pip install 'keras-tricks[hub]'"
    ) from error

AnchorGenerator = keras_hub.layers.AnchorGenerator
BoxMatcher = keras_hub.layers.BoxMatcher
NonMaxSuppression = keras_hub.layers.NonMaxSuppression

__all__ = [
    "AnchorGenerator",
    "BoxMatcher",
    "DetectionHead",
    "FeaturePyramid",
    "HubBackbone",
    "NonMaxSuppression",
    "start_from_prior",
]


@keras.saving.register_keras_serializable(package="keras_tricks")
class HubBackbone(keras_hub.models.FeaturePyramidBackbone):
    """A backbone of ours as keras-hub wants one.

    It has the layers of the backbone, and so its weights, frozen or not. keras-hub calls maps by powers of two: `"P3"`
    has an eighth of the height and width of the images. Of the stages of one stride, of which a dilated backbone has
    several, it takes the last.

    This module must be imported before a saved model with such a backbone is loaded.
    `keras_hub.models.RetinaNetBackbone` adds maps of twice the size to each other, so that the sides of its images must
    be multiples of 32; those of `keras_hub.models.DeepLabV3Backbone` must be multiples of the output stride.

    Args:
        backbone: What `keras_tricks.models.backbone` returned.
        **kwargs: `name` and `trainable`.

    Example:

        pyramid = HubBackbone(models.backbone("resnet50", weights, variant="D", batch_norm="frozen"))
        levels = keras_hub.models.RetinaNetBackbone(pyramid, min_level=3, max_level=7, use_p5=False)
        detector = keras_hub.models.RetinaNetObjectDetector(levels, num_classes=20, bounding_box_format="xyxy")
        start_from_prior(detector)

    Source: https://keras.io/keras_hub/, `FeaturePyramidBackbone`.
    """

    def __init__(self, backbone: keras.Model, **kwargs: Any):
        levels = {
            f"P{stride.bit_length() - 1}": backbone.output[stage] for stage, stride in feature_strides(backbone).items()
        }
        super().__init__(inputs=backbone.input, outputs=levels, **kwargs)
        self.pyramid_outputs = levels
        self.backbone = backbone

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the model."""
        return {
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> HubBackbone:
        """Return the model of a configuration."""
        return cls(**{**config, "backbone": keras.saving.deserialize_keras_object(config["backbone"])})


@keras.saving.register_keras_serializable(package="keras_tricks")
class DetectionHead(prediction_head.PredictionHead):
    """keras-hub's head, which can be part of any saved model.

    That of keras-hub 0.32 cannot be built from the list that a saved model has as its shape, and writes down the
    initializer of its kernels as that of its biases.

    This module must be imported before a saved model with such a head is loaded.
    """

    def build(self, input_shape: Any) -> None:
        """Create the weights."""
        super().build(tuple(input_shape))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return super().get_config() | {"bias_initializer": keras.initializers.serialize(self.bias_initializer)}


def start_from_prior(detector: keras_hub.models.RetinaNetObjectDetector, probability: float = 0.01) -> None:
    """Let a new detector give each class of each anchor a low probability, and no box an offset.

    Without it the many anchors that have no object dominate the first steps. keras-hub 0.32 gives the bias that is
    meant for the classes to the boxes.

    Args:
        detector: A detector that has not been trained. The biases of its last convolutions are overwritten.
        probability: The probability, in (0, 1). Defaults to 0.01, as published.

    Raises:
        ValueError: If the probability is out of range.

    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, arXiv 1708.02002, sections 3.3 and 4.1.
    """
    if isinstance(probability, bool) or not isinstance(probability, Real) or not 0 < probability < 1:
        raise ValueError(f"Expected probability to be in (0, 1). Received: probability={probability!r}")
    for head, value in (
        (detector.box_head, 0.0),
        (detector.classification_head, math.log(probability / (1 - probability))),
    ):
        bias = head.prediction_layer.bias
        bias.assign(ops.full(bias.shape, value, bias.dtype))
