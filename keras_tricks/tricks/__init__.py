"""The catalogue of tricks, in the order in which they take hold within a stage.

Adding a trick: a file here, its import and its place in `TRICKS`, and its test.
"""

from __future__ import annotations

import difflib

from keras_tricks.trick import Trick
from keras_tricks.tricks.adaptive_gradient_clipping import AdaptiveGradientClipping
from keras_tricks.tricks.checkpoint_averaging import CheckpointAveraging
from keras_tricks.tricks.color_jitter import ColorJitter
from keras_tricks.tricks.cosine_decay import CosineDecay
from keras_tricks.tricks.cutmix import Cutmix
from keras_tricks.tricks.distillation import Distillation
from keras_tricks.tricks.gradient_accumulation import GradientAccumulation
from keras_tricks.tricks.gradient_clipping import GradientClipping
from keras_tricks.tricks.head_dropout import HeadDropout
from keras_tricks.tricks.head_learning_rate import HeadLearningRate
from keras_tricks.tricks.label_smoothing import LabelSmoothing
from keras_tricks.tricks.linear_scaling import LinearScaling
from keras_tricks.tricks.mixed_precision import MixedPrecision
from keras_tricks.tricks.mixup import Mixup
from keras_tricks.tricks.no_bias_decay import NoBiasDecay
from keras_tricks.tricks.pca_noise import PcaNoise
from keras_tricks.tricks.poly_decay import PolyDecay
from keras_tricks.tricks.progressive_resizing import ProgressiveResizing
from keras_tricks.tricks.rand_augment import RandAugment
from keras_tricks.tricks.random_resized_crop import RandomResizedCrop
from keras_tricks.tricks.random_scale import RandomScale
from keras_tricks.tricks.repeated_augmentation import RepeatedAugmentation
from keras_tricks.tricks.resnet_variant import ResnetVariant
from keras_tricks.tricks.sharpness_aware import SharpnessAware
from keras_tricks.tricks.step_decay import StepDecay
from keras_tricks.tricks.stochastic_depth import StochasticDepth
from keras_tricks.tricks.test_resolution import TestResolution
from keras_tricks.tricks.warmup import Warmup
from keras_tricks.tricks.weight_averaging import WeightAveraging
from keras_tricks.tricks.zero_gamma import ZeroGamma

TRICKS: dict[str, type[Trick]] = {
    trick.name: trick
    for trick in (
        LinearScaling,
        CosineDecay,
        StepDecay,
        PolyDecay,
        Warmup,
        ProgressiveResizing,
        ZeroGamma,
        NoBiasDecay,
        HeadLearningRate,
        AdaptiveGradientClipping,
        GradientClipping,
        MixedPrecision,
        ResnetVariant,
        StochasticDepth,
        HeadDropout,
        LabelSmoothing,
        RandomResizedCrop,
        RandomScale,
        ColorJitter,
        PcaNoise,
        RandAugment,
        RepeatedAugmentation,
        Mixup,
        Cutmix,
        WeightAveraging,
        CheckpointAveraging,
        TestResolution,
        Distillation,
        GradientAccumulation,
        SharpnessAware,
    )
}


def trick_class(name: str) -> type[Trick]:
    """Return the class of the trick called `name`.

    Raises:
        ValueError: There is no such trick; the message names the closest ones.
    """
    if name in TRICKS:
        return TRICKS[name]
    close = difflib.get_close_matches(name, TRICKS, n=3)
    hint = f"Did you mean {' or '.join(close)}?" if close else "`keras-tricks tricks` lists all."
    raise ValueError(f"There is no trick {name!r}. {hint}")


__all__ = [
    "TRICKS",
    "AdaptiveGradientClipping",
    "CheckpointAveraging",
    "ColorJitter",
    "CosineDecay",
    "Cutmix",
    "Distillation",
    "GradientAccumulation",
    "GradientClipping",
    "HeadDropout",
    "HeadLearningRate",
    "LabelSmoothing",
    "LinearScaling",
    "MixedPrecision",
    "Mixup",
    "NoBiasDecay",
    "PcaNoise",
    "PolyDecay",
    "ProgressiveResizing",
    "RandAugment",
    "RandomResizedCrop",
    "RandomScale",
    "RepeatedAugmentation",
    "ResnetVariant",
    "SharpnessAware",
    "StepDecay",
    "StochasticDepth",
    "TestResolution",
    "Warmup",
    "WeightAveraging",
    "ZeroGamma",
    "trick_class",
]
