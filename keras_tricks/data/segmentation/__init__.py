"""Images with masks: sources, preprocessing and deterministic pipelines."""

from keras_tricks.data.segmentation.classes import IGNORED, MaskClasses, read_classes, voc_color
from keras_tricks.data.segmentation.mask_files import read_mask
from keras_tricks.data.segmentation.mask_folder import MaskSplit, SegmentationDataSet, load_mask_folder
from keras_tricks.data.segmentation.mask_records import RecordMaskSplit, load_mask_records
from keras_tricks.data.segmentation.pipeline import segmentation_evaluation_batches, segmentation_training_batches
from keras_tricks.data.segmentation.preprocessing import SegmentationPreprocessing

__all__ = [
    "IGNORED",
    "MaskClasses",
    "MaskSplit",
    "RecordMaskSplit",
    "SegmentationDataSet",
    "SegmentationPreprocessing",
    "load_mask_folder",
    "load_mask_records",
    "read_classes",
    "read_mask",
    "segmentation_evaluation_batches",
    "segmentation_training_batches",
    "voc_color",
]
