"""Image classification models with the signature of `keras.applications`, and what is built on them."""

from keras_tricks.models.deeplab_v3_plus import DeepLabV3Plus
from keras_tricks.models.detection import DecodeBoxes, anchors, detections
from keras_tricks.models.fcn import AUXILIARY_WEIGHT, FCN
from keras_tricks.models.feature_pyramid import backbone, feature_strides
from keras_tricks.models.inception_v3 import InceptionV3
from keras_tricks.models.mobilenet import MobileNet
from keras_tricks.models.nf_resnet import NFResNet20, NFResNet26, NFResNet50, NFResNet101
from keras_tricks.models.nfnet import (
    NFNetF0,
    NFNetF0Plus,
    NFNetF1,
    NFNetF1Plus,
    NFNetF2,
    NFNetF2Plus,
    NFNetF3,
    NFNetF3Plus,
    NFNetF4,
    NFNetF4Plus,
    NFNetF5,
    NFNetF5Plus,
    NFNetF6,
    NFNetF6Plus,
    NFNetF7,
    NFNetF7Plus,
    NFNetTiny,
)
from keras_tricks.models.resnet import (
    ResNet18,
    ResNet20,
    ResNet34,
    ResNet50,
    ResNet56,
    ResNet101,
    ResNet110,
    ResNet152,
)
from keras_tricks.models.retinanet import RetinaNet
from keras_tricks.models.segmentation_head import prediction_model

__all__ = [
    "AUXILIARY_WEIGHT",
    "FCN",
    "DecodeBoxes",
    "DeepLabV3Plus",
    "InceptionV3",
    "MobileNet",
    "NFNetF0",
    "NFNetF0Plus",
    "NFNetF1",
    "NFNetF1Plus",
    "NFNetF2",
    "NFNetF2Plus",
    "NFNetF3",
    "NFNetF3Plus",
    "NFNetF4",
    "NFNetF4Plus",
    "NFNetF5",
    "NFNetF5Plus",
    "NFNetF6",
    "NFNetF6Plus",
    "NFNetF7",
    "NFNetF7Plus",
    "NFNetTiny",
    "NFResNet20",
    "NFResNet26",
    "NFResNet50",
    "NFResNet101",
    "ResNet18",
    "ResNet20",
    "ResNet34",
    "ResNet50",
    "ResNet56",
    "ResNet101",
    "ResNet110",
    "ResNet152",
    "RetinaNet",
    "anchors",
    "backbone",
    "detections",
    "feature_strides",
    "prediction_model",
]
