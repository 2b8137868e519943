"""Images with boxes: sources, preprocessing, mixup and deterministic pipelines."""

from keras_tricks.data.detection.box_records import RecordBoxSplit, load_box_records
from keras_tricks.data.detection.mixup import DetectionMixUp
from keras_tricks.data.detection.pipeline import detection_evaluation_batches, detection_training_batches
from keras_tricks.data.detection.preprocessing import PADDING, DetectionPreprocessing, pad_targets
from keras_tricks.data.detection.voc_annotation import Annotation, read_annotation
from keras_tricks.data.detection.voc_folder import BoxSplit, DetectionDataSet, load_voc_folder

__all__ = [
    "PADDING",
    "Annotation",
    "BoxSplit",
    "DetectionDataSet",
    "DetectionMixUp",
    "DetectionPreprocessing",
    "RecordBoxSplit",
    "detection_evaluation_batches",
    "detection_training_batches",
    "load_box_records",
    "load_voc_folder",
    "pad_targets",
    "read_annotation",
]
