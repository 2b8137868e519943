"""Ablations: variants of a recipe, and what their runs say of each trick. Nothing here imports Keras."""
