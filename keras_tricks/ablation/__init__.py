"""Ablations: variants of a recipe, and what their runs say of each trick. Nothing here imports Keras."""

from keras_tricks.ablation.designs import DESIGNS, Design, Variant, in_paper_order, parse_seeds, variants
from keras_tricks.ablation.statistics import PairedDifference, Spread, paired_difference, spread

__all__ = [
    "DESIGNS",
    "Design",
    "PairedDifference",
    "Spread",
    "Variant",
    "in_paper_order",
    "paired_difference",
    "parse_seeds",
    "spread",
    "variants",
]
