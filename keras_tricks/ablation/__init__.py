"""Ablations: variants of a recipe, and what their runs say of each trick. Nothing here imports Keras."""

from keras_tricks.ablation.designs import DESIGNS, Design, Variant, in_paper_order, parse_seeds, variants

__all__ = ["DESIGNS", "Design", "Variant", "in_paper_order", "parse_seeds", "variants"]
